"""Retries a sink after temporary failures."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from typing_extensions import override

from infra.platform.process.retry import Backoff, Retries, Troubles
from infra.platform.sinks.batch import Batch, Partition
from infra.platform.sinks.connector import SinkConnector, WriteStatus


class RetryingSink(SinkConnector):
    """Wraps a sink: failed calls are retried with backoff and jitter, up to a limit or until
    `give_up`.

    Refusals and mistakes in the configuration are passed on at once. Order is kept: a partition's
    next batch waits.
    """

    def __init__(
        self,
        sink: SinkConnector,
        backoff: Backoff | None = None,
        chance: Callable[[], float] = random.random,
        troubles: Troubles | None = None,
    ) -> None:
        self.name = sink.name
        self._sink = sink
        self._retries = Retries(f"sink {sink.name}", backoff, chance, troubles)

    @property
    def retries(self) -> int:
        """The number of retries."""
        return self._retries.count

    @property
    def troubles(self) -> Troubles:
        """The calls that fail now and are retried."""
        return self._retries.troubles

    @property
    @override
    def incomplete_rows(self) -> int:
        return self._sink.incomplete_rows

    def give_up(self) -> None:
        """From now on, raise the first failure."""
        self._retries.give_up()

    async def open(self) -> None:
        """Open the sink; there is no retry, so that a wrong address shows at once."""
        await self._sink.open()

    @override
    async def identify(self, topic_ids: Mapping[str, str]) -> None:
        await self._retries.again("identify", lambda: self._sink.identify(topic_ids))

    @override
    async def positions(self, places: Sequence[Partition]) -> Mapping[Partition, int] | None:
        return await self._retries.again("positions", lambda: self._sink.positions(places))

    @override
    async def write(self, batch: Batch) -> WriteStatus:
        return await self._retries.again("write", lambda: self._sink.write(batch))

    @override
    async def flush(self) -> None:
        await self._retries.again("flush", self._sink.flush)

    @override
    async def close(self) -> None:
        await self._sink.close()

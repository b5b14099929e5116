"""Sinks that measure the way to the sink: one counts, one is slow."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from typing_extensions import override

from infra.platform.process.argument import Argument, whole
from infra.platform.sinks.batch import Batch, Partition
from infra.platform.sinks.connector import SinkConnector, WriteStatus
from infra.platform.sinks.plugin import SinkPlugin


class CountingSink(SinkConnector):
    """Counts events; tests can wait until a number of them has come.

    An event that comes again counts once.
    """

    name = "counting"

    def __init__(self) -> None:
        self.count = 0
        self._next: dict[Partition, int] = {}
        self._changed = asyncio.Condition()

    @override
    async def open(self) -> None:
        pass

    @override
    async def identify(self, topic_ids: Mapping[str, str]) -> None:
        pass

    @override
    async def positions(self, places: Sequence[Partition]) -> None:
        return None

    @override
    async def write(self, batch: Batch) -> WriteStatus:
        async with self._changed:
            self.count += int((batch.offsets >= self._next.get(batch.place, 0)).sum())
            self._next[batch.place] = max(batch.end, self._next.get(batch.place, 0))
            self._changed.notify_all()
        return WriteStatus.DURABLE

    async def reached(self, count: int) -> None:
        """Return when at least `count` events have come."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.count >= count)

    @override
    async def flush(self) -> None:
        pass

    @override
    async def close(self) -> None:
        pass


class SlowSink(CountingSink):
    """Sleeps once in every write, whatever the batch's size."""

    name = "slow"

    def __init__(self, delay_s: float) -> None:
        super().__init__()
        self._delay_s = delay_s

    @override
    async def write(self, batch: Batch) -> WriteStatus:
        await asyncio.sleep(self._delay_s)
        return await super().write(batch)


COUNTING = SinkPlugin("counting", make=lambda _: CountingSink(), real=False)
SLOW = SinkPlugin(
    "slow",
    make=lambda options: SlowSink(int(options.sink_delay_ms) / 1000),
    arguments=(
        Argument(
            "--sink-delay-ms",
            "slow: milliseconds that it sleeps in each write",
            default="50",
            check=whole(0),
        ),
    ),
    real=False,
)

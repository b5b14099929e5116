"""Tries a sink again when it fails for the moment."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog

from infra.platform.batch import Batch, Partition
from infra.platform.error import PlatformError, RetryableError
from infra.platform.sinks.connector import SinkConnector, WriteStatus

logger = structlog.get_logger()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait between attempts: doubling from `first_s` to `longest_s`, each time by chance shorter.

    After `limit_s` of failing the last failure is raised.
    """

    first_s: float = 0.05
    longest_s: float = 5.0
    limit_s: float = 60.0

    def pause_s(self, attempt: int, chance: float) -> float:
        """The pause after the attempt of this number (from 1); `chance` is from 0 to 1 (full jitter over half)."""
        whole_s: float = min(self.longest_s, self.first_s * 2 ** min(attempt - 1, 30))
        return whole_s * (1 + chance) / 2


class RetryingSink:
    """Wraps a sink: what fails is tried again with backoff and jitter, up to a limit or until `give_up`.

    Refusals and mistakes in the configuration are passed on at once. Order is kept: a partition's next batch waits.
    """

    def __init__(
        self, sink: SinkConnector, backoff: Backoff | None = None, chance: Callable[[], float] = random.random
    ) -> None:
        self.name = sink.name
        self.retries = 0
        self.last_failure = ""
        self._sink = sink
        self._backoff = backoff or Backoff()
        self._chance = chance
        self._given_up = asyncio.Event()

    def give_up(self) -> None:
        """From now on the first failure is raised."""
        self._given_up.set()

    async def open(self) -> None:
        """See SinkConnector; not tried again, so that a wrong address shows at once."""
        await self._sink.open()

    async def positions(self, places: Sequence[Partition]) -> Mapping[Partition, int]:
        """See SinkConnector."""
        return await self._again("positions", lambda: self._sink.positions(places))

    async def write(self, batch: Batch) -> WriteStatus:
        """See SinkConnector."""
        return await self._again("write", lambda: self._sink.write(batch))

    async def flush(self) -> None:
        """See SinkConnector."""
        await self._again("flush", self._sink.flush)

    async def close(self) -> None:
        """See SinkConnector."""
        await self._sink.close()

    async def _again(self, what: str, action: Callable[[], Awaitable[T]]) -> T:
        started_s = time.monotonic()
        attempt = 0
        while True:
            attempt += 1
            try:
                return await action()
            except Exception as error:
                if isinstance(error, PlatformError) and not isinstance(error, RetryableError):
                    raise
                if self._given_up.is_set() or time.monotonic() - started_s > self._backoff.limit_s:
                    raise
                await self._pause(what, attempt, error)

    async def _pause(self, what: str, attempt: int, error: Exception) -> None:
        self.retries += 1
        self.last_failure = f"{what}: {type(error).__name__}: {error}"
        pause_s = self._backoff.pause_s(attempt, self._chance())
        if isinstance(error, RetryableError):
            pause_s = max(pause_s, error.retry_after_s)
        logger.warning("platform.sink.retry", sink=self.name, attempt=attempt, pause_s=pause_s, error=self.last_failure)
        try:
            await asyncio.wait_for(self._given_up.wait(), pause_s)
        except TimeoutError:
            return

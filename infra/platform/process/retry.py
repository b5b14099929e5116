"""Trying again what fails for the moment: how long to wait, and when to give up."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from infra.platform.process.error import PlatformError, RetryableError

logger = structlog.get_logger()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait between attempts: doubling from `first_s` to `longest_s`, each time by
    chance shorter.

    After `limit_s` of failing the last failure is raised.
    """

    first_s: float = 0.05
    longest_s: float = 5.0
    limit_s: float = 60.0

    def pause_s(self, attempt: int, chance: float) -> float:
        """The pause after the attempt of this number (from 1);

        `chance` is from 0 to 1 (full jitter over half).
        """
        whole_s: float = min(self.longest_s, self.first_s * 2 ** min(attempt - 1, 30))
        return whole_s * (1 + chance) / 2


class Retries:
    """Tries again what fails on one other side, `name`, with backoff and jitter, up to a limit or
    until `give_up`.

    Refusals and mistakes in the configuration are passed on at once.
    """

    def __init__(
        self, name: str, backoff: Backoff | None = None, chance: Callable[[], float] = random.random
    ) -> None:
        self.count = 0
        self._name = name
        self._backoff = backoff or Backoff()
        self._chance = chance
        self._given_up = asyncio.Event()

    def give_up(self) -> None:
        """From now on the first failure is raised."""
        self._given_up.set()

    @property
    def given_up(self) -> bool:
        """Whether nothing is to be waited for any more."""
        return self._given_up.is_set()

    async def again(self, what: str, action: Callable[[], Awaitable[T]]) -> T:
        """The action's answer, as soon as there is one; else its last failure."""
        started_s = time.monotonic()
        attempt = 0
        while True:
            attempt += 1
            try:
                return await action()
            except Exception as error:
                if isinstance(error, PlatformError) and not isinstance(error, RetryableError):
                    raise
                if self.given_up or time.monotonic() - started_s > self._backoff.limit_s:
                    raise
                await self.pause(what, attempt, error)

    async def pause(self, what: str, attempt: int, error: Exception) -> None:
        """Wait as long as after the attempt of this number; not longer than until `give_up`."""
        self.count += 1
        pause_s = self._backoff.pause_s(attempt, self._chance())
        if isinstance(error, RetryableError):
            pause_s = max(pause_s, error.retry_after_s)
        failure = f"{what}: {type(error).__name__}: {error}"
        logger.warning(
            "platform.retry", of=self._name, attempt=attempt, pause_s=pause_s, error=failure
        )
        try:
            await asyncio.wait_for(self._given_up.wait(), pause_s)
        except TimeoutError:
            return

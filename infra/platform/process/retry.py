"""Retries after temporary failures: how long to wait, and when to give up."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakSet

import structlog

from infra.platform.process.error import PlatformError, RetryableError

logger = structlog.get_logger()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Backoff:
    """The waits between attempts: doubled from `first_s` to `longest_s`, each shortened at random.

    After `limit_s` of failures the last one is raised.
    """

    first_s: float = 0.05
    longest_s: float = 5.0
    limit_s: float = 60.0

    def pause_s(self, attempt: int, chance: float) -> float:
        """The pause after this attempt (counted from 1); `chance` is from 0 to 1 (full jitter over
        half).
        """
        whole_s: float = min(self.longest_s, self.first_s * 2 ** min(attempt - 1, 30))
        return whole_s * (1 + chance) / 2


class Troubles:
    """Failures that are being retried: shown with the errors until they succeed."""

    def __init__(self) -> None:
        self._now: dict[object, str] = {}

    def note(self, key: object, text: str) -> None:
        """This fails, and not for the first time."""
        self._now[key] = text

    def over(self, key: object) -> None:
        """This has succeeded, or is no longer tried."""
        self._now.pop(key, None)

    def texts(self) -> list[str]:
        """All of them."""
        return list(self._now.values())


#: Tasks that wait for a retry, and tasks that must no longer wait.
_WAITING: WeakSet[asyncio.Task[Any]] = WeakSet()
_HURRIED: WeakSet[asyncio.Task[Any]] = WeakSet()


def hurry(task: asyncio.Task[Any]) -> None:
    """Cancel a task that waits for a retry, now or as soon as it waits: then no action is cut off
    in the middle.
    """
    _HURRIED.add(task)
    if task in _WAITING:
        task.cancel()


class Retries:
    """Retries actions on one other side, `name`, with backoff and jitter, up to a limit or until
    `give_up`.

    Refusals and configuration errors are raised at once. A failure is in `troubles` from the second
    time on until it succeeds.
    """

    def __init__(
        self,
        name: str,
        backoff: Backoff | None = None,
        chance: Callable[[], float] = random.random,
        troubles: Troubles | None = None,
    ) -> None:
        self.count = 0
        self.troubles = troubles or Troubles()
        self._name = name
        self._backoff = backoff or Backoff()
        self._chance = chance
        self._given_up = asyncio.Event()

    def give_up(self) -> None:
        """Raise every first failure from now on."""
        self._given_up.set()

    @property
    def given_up(self) -> bool:
        """Whether nothing is to be waited for any more."""
        return self._given_up.is_set()

    async def again(self, what: str, action: Callable[[], Awaitable[T]]) -> T:
        """The action's result; or its last failure if the retries are over."""
        started_s = time.monotonic()
        attempt, trouble = 0, object()
        try:
            while True:
                attempt += 1
                try:
                    return await action()
                except Exception as error:
                    if isinstance(error, PlatformError) and not isinstance(error, RetryableError):
                        raise
                    if self.given_up or time.monotonic() - started_s > self._backoff.limit_s:
                        raise
                    if attempt > 1:
                        self.troubles.note(trouble, self._text(what, attempt, error))
                    await self.pause(what, attempt, error)
        finally:
            self.troubles.over(trouble)

    def _text(self, what: str, attempt: int, error: Exception) -> str:
        return f"{self._name} fails, attempt {attempt} of {what}: {type(error).__name__}: {error}"

    async def pause(self, what: str, attempt: int, error: Exception) -> None:
        """Wait as long as after this attempt, but not longer than until `give_up`."""
        self.count += 1
        pause_s = self._backoff.pause_s(attempt, self._chance())
        if isinstance(error, RetryableError):
            pause_s = max(pause_s, error.retry_after_s)
        failure = f"{what}: {type(error).__name__}: {error}"
        logger.warning(
            "platform.retry", of=self._name, attempt=attempt, pause_s=pause_s, error=failure
        )
        task = asyncio.current_task()
        assert task is not None, "called in a task"
        if task in _HURRIED:
            raise asyncio.CancelledError
        _WAITING.add(task)
        try:
            await asyncio.wait_for(self._given_up.wait(), pause_s)
        except TimeoutError:
            return
        finally:
            _WAITING.discard(task)

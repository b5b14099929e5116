"""How a run waits: for a named condition, with a limit, while it watches for deaths and silence."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import gevent
import structlog

from cdc_users.error import TargetError
from cdc_users.step.state import Broken, Facts

logger = structlog.get_logger()

POLL_S = 0.1
#: A process that lives and has not answered for so long counts as stopped.
SILENT_S = 20.0
#: If nothing has moved for so long although arrivals are due, nothing will move again.
STUCK_S = 30.0
#: The time from the first request to stop until the result exists: Ctrl-C ends a run in 30 s.
STOP_S = 24.0
#: The part of a stop's time for what follows the audit: processes, objects and the steward.
CLEAN_UP_RESERVED_S = 10.0
#: A second request to stop leaves time for the files alone.
HURRY_S = 6.0


class CutShortError(TargetError):
    """A run that was asked to stop had no more time for an action."""


@dataclass(slots=True)
class Stopping:
    """Whether a run is to end early, why, and when."""

    reason: str = ""
    _deadline_s: float | None = None
    clock: Callable[[], float] = time.monotonic

    def __bool__(self) -> bool:
        return bool(self.reason)

    def ask(self, reason: str) -> None:
        """End early: no further arrivals; then audit and conclude."""
        if not self.reason:
            self.reason = reason
            self._deadline_s = self.clock() + STOP_S

    def hurry(self) -> None:
        """End at once: conclude only from what is known."""
        soon_s = self.clock() + HURRY_S
        self._deadline_s = soon_s if self._deadline_s is None else min(self._deadline_s, soon_s)

    def left_s(self, reserved_s: float = 0.0) -> float | None:
        """The remaining time, less the time reserved for later parts of the end; None if there is
        no limit.
        """
        if self._deadline_s is None:
            return None
        return max(0.0, self._deadline_s - reserved_s - self.clock())


@dataclass(frozen=True, slots=True)
class Progress:
    """Shows that something moves: `read` returns another value than before, or None if nothing is
    due. If the value stays the same for `stuck_s`, nothing moves any more.
    """

    read: Callable[[], object]
    stuck_s: float = STUCK_S


@contextlib.contextmanager
def no_longer_than(stopping: Stopping, reserved_s: float, what: str) -> Iterator[None]:
    """End an action that has limits of its own by CutShortError, if a run that was asked to stop
    has no more time for it.
    """
    caller = gevent.getcurrent()

    def cut_short() -> None:
        while stopping.left_s(reserved_s) != 0.0:
            gevent.sleep(POLL_S)
        gevent.kill(caller, CutShortError(f"the run was asked to stop before {what}"))

    watcher = gevent.spawn(cut_short)
    try:
        yield
    finally:
        watcher.kill()


@dataclass(slots=True)
class Waiting:
    """Waits on behalf of one run; if something breaks the run meanwhile, it is in
    `facts.broken`.
    """

    facts: Facts
    #: Returns what has died; raises HarnessError if the observer is lost.
    death: Callable[[], Broken | None]
    #: Why a living process does not answer, if a server of the stack is the cause.
    stack_trouble: Callable[[], str | None]
    stopping: Stopping = field(default_factory=Stopping)
    stack_exit_code: int = 3
    clock: Callable[[], float] = time.monotonic
    _silent_since_s: float | None = None

    def until(
        self,
        what: str,
        done: Callable[[], bool],
        limit_s: float | None,
        *,
        progress: Progress | None = None,
        reserved_s: float = 0.0,
    ) -> bool:
        """Wait for a condition; False when the time is over, or something has died.

        With `progress` the wait also ends when nothing moves any more. If the run is stopping, the
        wait leaves `reserved_s` of the remaining time unused.
        """
        began_s = moved_s = self.clock()
        seen = progress.read() if progress is not None else None
        while True:
            if (death := self.death()) is not None:
                self.facts.broken.append(death)
                return False
            if self._answered(what, done, reserved_s):
                return True
            if self.facts.broken:
                return False
            now_s, left_s = self.clock(), self.stopping.left_s(reserved_s)
            over = limit_s is not None and now_s - began_s > limit_s
            # A silent part is waited for until it answers or is named: silence is no answer.
            if left_s == 0.0 or (over and self._silent_since_s is None):
                return False
            if progress is not None:
                now = progress.read()
                if now is None or now != seen:
                    seen, moved_s = now, now_s
                elif now_s - moved_s > progress.stuck_s:
                    self._stuck(what, now_s - moved_s)
                    return False
            gevent.sleep(POLL_S)

    def _answered(self, what: str, done: Callable[[], bool], reserved_s: float) -> bool:
        try:
            # A paused process lets a request wait until the request's own limit; a stopping run has
            # no time for that.
            with no_longer_than(self.stopping, reserved_s, what):
                found = done()
        except CutShortError:
            return False
        except TargetError as error:
            self._silence(what, error)
            return False
        self._silent_since_s = None
        return found

    def _silence(self, what: str, error: TargetError) -> None:
        """A part does not answer. It may be busy, though not for ever, or its process may soon be
        seen to be dead. A run that was asked to stop knows already why it ends, and its waits have
        limits.
        """
        now_s = self.clock()
        if self._silent_since_s is None:
            self._silent_since_s = now_s
            logger.warning("benchmark.telemetry.silent", waiting_for=what, problem=str(error))
        quiet_s = now_s - self._silent_since_s
        if quiet_s <= SILENT_S or self.stopping:
            return
        if (trouble := self.stack_trouble()) is not None:
            self.facts.broken.append(Broken(trouble, self.stack_exit_code))
            return
        self.facts.broken.append(
            Broken(f"{error}, silent for {quiet_s:.0f} s while {what} was awaited", error.exit_code)
        )

    def _stuck(self, what: str, quiet_s: float) -> None:
        trouble = self.stack_trouble()
        reason = trouble or f"nothing has moved for {quiet_s:.0f} s while {what} was awaited"
        code = self.stack_exit_code if trouble else 4
        self.facts.broken.append(Broken(reason, code))

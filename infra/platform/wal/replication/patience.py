"""How long a failing source is retried: errors are classified by SQLSTATE, and only progress renews
the patience.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import psycopg

from infra.platform.process.error import UnreachableError

T = TypeVar("T")

#: Codes of conditions that pass by themselves (PostgreSQL documentation, "PostgreSQL Error Codes"):
#: connection exceptions, lack of resources, operator intervention (shutdown, starting up), a slot
#: or object in use. Without a code the connection broke or was never made.
PASSING_CLASSES = ("08", "53", "57", "55006")
FIRST_PAUSE_S = 0.1
MOST_PAUSE_S = 2.0
ASK_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class PatienceClock:
    """The time, and a way to wait."""

    now_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def is_passing(sqlstate: str) -> bool:
    """Whether an error of this code may be gone at the next attempt."""
    return sqlstate == "" or sqlstate.startswith(PASSING_CLASSES)


def patiently(
    ask: Callable[[], T], limit_s: float, clock: PatienceClock, note: Callable[[str], None]
) -> T:
    """An answer of a server that may be away for a while: the request is repeated until the time is
    over.

    Errors that do not pass by themselves are raised at once. `note` gets the reason for the wait,
    and "" when the wait is over.
    """
    deadline_s = clock.now_s() + limit_s
    while True:
        try:
            answer = ask()
        except (UnreachableError, psycopg.Error) as error:
            if not is_passing(getattr(error, "sqlstate", None) or ""):
                raise
            if clock.now_s() >= deadline_s:
                raise
            note(str(error).strip())
            clock.sleep(ASK_AGAIN_S)
        else:
            note("")
            return answer


class Patience:
    """Decides after each failure how long to pause, or that the patience is over.

    The time runs from the first failure after the last progress. A connection that brings no data
    is no progress, or a permanent error would be retried for ever. An error that does not pass by
    itself ends the patience when it comes twice in a row.
    """

    def __init__(self, limit_s: float, now_s: Callable[[], float]) -> None:
        self.failures = 0
        self.trouble = ""
        self._limit_s = limit_s
        self._now_s = now_s
        self._since_s = 0.0
        self._pause_s = FIRST_PAUSE_S
        self._permanent = ""

    def progress(self) -> None:
        """Note that new data has come."""
        self.failures = 0
        self.trouble = self._permanent = ""
        self._pause_s = FIRST_PAUSE_S

    def pause_s(self, message: str, sqlstate: str, limit_s: float | None = None) -> float | None:
        """How long to wait after this failure, in seconds; None if retrying is over."""
        limit_s = self._limit_s if limit_s is None else limit_s
        if not self.failures:
            self._since_s = self._now_s()
        self.failures += 1
        self.trouble = message
        again = sqlstate == self._permanent
        self._permanent = "" if is_passing(sqlstate) else sqlstate
        if self._permanent and again:
            return None
        left_s = self._since_s + limit_s - self._now_s()
        if left_s <= 0:
            return None
        pause_s, self._pause_s = self._pause_s, min(self._pause_s * 2, MOST_PAUSE_S)
        return min(pause_s, left_s)

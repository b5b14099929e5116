"""What the harness asks of the source beside the lanes: outcomes, fences, and its log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class LogPosition:
    """How far the source's log has come: the server's own words, and a count of bytes that only
    grows while the server runs.
    """

    text: str
    bytes: int


class SourceLook(Protocol):
    """A connection in autocommit mode to the tables that a run's lanes write to.

    Statements are complete texts in the source's own SQL. `failures` are the driver's errors.
    """

    failures: tuple[type[Exception], ...]

    @staticmethod
    def silent(failure: Exception) -> bool:
        """Whether a failure means that the server does not answer, and not that it refuses."""
        raise NotImplementedError

    def execute(self, statement: str) -> None:
        """Carry out one statement; raises the driver's error."""

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query; raises the driver's error."""

    def lanes_idle(self) -> bool:
        """Whether no lane's connection is at work; what has been sent is then decided."""

    def position(self) -> LogPosition | None:
        """How far the server's log has come, by all of its writers; None if this role may not ask
        for it.
        """

    def close(self) -> None:
        """Close the connection."""

"""The reader's view of a replication session."""

from __future__ import annotations

from typing import Protocol


class ReplicationSession(Protocol):
    """The methods of ReplicationStream that the reader uses."""

    idle_lsn: int
    asked: bool
    more: bool
    silence_s: float

    @property
    def overdue(self) -> bool:
        """Whether the server is to be asked for a sign of life."""

    def read(self, limit: int) -> list[bytes]:
        """The messages that are here now."""

    def check_silence(self) -> None:
        """Raise StreamError where the server has been silent for too long."""

    def rest(self) -> None:
        """Silence counts from now."""

    def wait(self, timeout_s: float) -> None:
        """Return when something may have come."""

    def confirm(self, written_lsn: int, durable_lsn: int) -> None:
        """Tell the server what it may forget."""

    def close(self) -> None:
        """End the session."""

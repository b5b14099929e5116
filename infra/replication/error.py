"""Errors of logical replication.

ReplicationError
├── DecodeError    bytes that are no pgoutput message, or contradict what the server sent before
└── StreamError    the replication connection could not be made, or it broke
    └── BusyError  another process reads the slot
"""

from __future__ import annotations


class ReplicationError(Exception):
    """Root of the errors of reading a replication slot."""


class DecodeError(ReplicationError):
    """A message that cannot be read; `offset` is the position in it, in bytes, where reading
    failed.
    """

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"pgoutput message cannot be read at byte {offset}: {reason}")
        self.reason = reason
        self.offset = offset


class StreamError(ReplicationError):
    """The replication connection could not be made, or it broke.

    `sqlstate` is the server's own code for it; empty if the server sent none.
    """

    def __init__(self, message: str, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class BusyError(StreamError):
    """Another process reads the slot, or the server has not noticed yet that its reader was
    killed.
    """

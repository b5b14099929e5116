"""Errors of the direct reader.

PlatformError
└── DecodeError   bytes that are no pgoutput message, or do not fit what the server said before
"""

from __future__ import annotations

from infra.platform.error import PlatformError


class DecodeError(PlatformError):
    """A message that cannot be read; `offset` is the position in it, in bytes, where reading failed."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"pgoutput message cannot be read at byte {offset}: {reason}")
        self.reason = reason
        self.offset = offset

"""Errors of the source that the direct reader reads.

PlatformError
├── SetupError     exit 2: the server, the publication or an option must be mended; the message has the SQL
├── SlotError      exit 3: there is no slot to read, or changes that it should hold are gone
└── StreamError    the replication connection ended; the reader connects again, and gives up after a while
    └── BusyError  somebody reads the slot
"""

from __future__ import annotations

from infra.platform.error import PlatformError


class SetupError(PlatformError):
    """What was asked for cannot be done with this server; nothing was changed."""


class SlotError(PlatformError):
    """The slot cannot be had, or going on from it would skip changes."""


class StreamError(PlatformError):
    """The replication connection could not be made, or broke."""


class BusyError(StreamError):
    """Somebody reads the slot: another reader, or one that was killed and is not missed yet."""

"""Errors of the direct reader's source.

Errors of reading itself are in `infra.replication.error`.

PlatformError
├── SetupError         exit 2: server, publication or an option must be mended; the message has
│                      the SQL
└── SlotGoneError      exit 3: there is no slot to read, or changes that it should hold are gone
    └── HistoryError   the server's WAL is not the one that was read before
"""

from __future__ import annotations

from infra.platform.process.error import PlatformError


class SetupError(PlatformError):
    """The server cannot do what was asked for; nothing was changed."""


class SlotGoneError(PlatformError):
    """The slot cannot be read, or reading on would skip changes."""


class HistoryError(SlotGoneError):
    """Changes may be missing between what was published and what the slot has now."""

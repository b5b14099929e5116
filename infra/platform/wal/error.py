"""Errors of the source that the direct reader reads.

What reading itself can report is in `infra.replication.error`.

PlatformError
├── SetupError         exit 2: server, publication or an option must be mended; the message has
│                      the SQL
└── SlotGoneError      exit 3: there is no slot to read, or changes that it should hold are gone
    └── HistoryError   the server's WAL is not the one that was read before
"""

from __future__ import annotations

from infra.platform.process.error import PlatformError


class SetupError(PlatformError):
    """What was asked for cannot be done with this server; nothing was changed."""


class SlotGoneError(PlatformError):
    """The slot cannot be had, or going on from it would skip changes."""


class HistoryError(SlotGoneError):
    """Changes may be missing between what was published and what the slot has now."""

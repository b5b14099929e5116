"""Errors of the platform.

PlatformError
├── UnreachableError   exit 3: a server does not answer at the start; the message says what was tried
└── EventError         an event that cannot be processed; it stops its partition and shows in the telemetry
"""

from __future__ import annotations


class PlatformError(Exception):
    """Root of what the platform itself can report."""


class UnreachableError(PlatformError):
    """A server that is needed does not answer."""


class EventError(PlatformError):
    """An event that cannot be processed; names its topic, partition and offset."""

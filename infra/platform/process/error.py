"""Errors of the platform.

PlatformError
├── UnreachableError   exit 3: a server does not answer at the start; the message names it
├── ConfigError        exit 2: something that only its owner can put right; the message says how
│   └── TableRefusedError     of one target: none of its events can be written as it is
├── EventError         an event that cannot be processed; it stops its partition
│                      unless there is a dead-letter topic
├── RefusedError       a sink refuses events: the same write would be refused again
└── RetryableError     a write or flush that may succeed later; it may or may not have taken effect
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class Remedy(Enum):
    """What is done about an answer of the other side; each sink has its table of them."""

    RETRY = "retry"
    REFUSE_EVENT = "refuse the event"
    REFUSE_TABLE = "refuse the table"
    END = "end"


class PlatformError(Exception):
    """Root of what the platform itself can report."""


class UnreachableError(PlatformError):
    """A server that is needed does not answer."""


class ConfigError(PlatformError):
    """What was asked for cannot be done as things are."""


class TableRefusedError(ConfigError):
    """A target that can take no event as it is, whatever the event; names the target."""


class EventError(PlatformError):
    """An event that cannot be processed; names its topic, partition and offset."""


class RefusedError(PlatformError):
    """Events that the sink will never take; which of them, the platform finds out by writing fewer
    at a time.
    """


class RetryableError(PlatformError):
    """A failure of the moment;

    `retry_after_s` is how long the other side asked to be left alone.
    """

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


#: What an answer is raised as, by its remedy.
RAISED_AS: Mapping[Remedy, type[PlatformError]] = {
    Remedy.RETRY: RetryableError,
    Remedy.REFUSE_EVENT: RefusedError,
    Remedy.REFUSE_TABLE: TableRefusedError,
    Remedy.END: ConfigError,
}

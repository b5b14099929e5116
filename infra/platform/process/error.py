"""Errors of the platform.

PlatformError
├── UnreachableError   exit 3: a server does not answer at the start; the message names it
├── ConfigError        exit 2: only the owner can correct this; the message has the remedy
│   └── TableRefusedError     a target takes no event in its present state
├── EventError         an event that cannot be processed; it stops its partition
│                      unless there is a dead-letter topic
├── RefusedError       a sink refuses events: the same write would be refused again
└── RetryableError     a write or flush that may succeed later; it may or may not have taken effect
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class Remedy(Enum):
    """The reaction to an error of the other side; each sink has a table of its errors."""

    RETRY = "retry"
    REFUSE_EVENT = "refuse the event"
    REFUSE_TABLE = "refuse the table"
    END = "end"


class PlatformError(Exception):
    """Root of the errors that the platform reports."""


class UnreachableError(PlatformError):
    """A server that is needed does not answer."""


class ConfigError(PlatformError):
    """The request cannot be carried out in the present state of things."""


class TableRefusedError(ConfigError):
    """A target that takes no event in its present state, whatever the event; names the target."""


class EventError(PlatformError):
    """An event that cannot be processed; names its topic, partition and offset."""


class RefusedError(PlatformError):
    """Events that the sink will never take; the platform finds out which by writing fewer at a
    time.
    """


class RetryableError(PlatformError):
    """A temporary failure; `retry_after_s` is how long the other side asked to wait."""

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

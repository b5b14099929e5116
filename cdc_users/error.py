"""Errors of the harness.

HarnessError (exit 2)
├── OptionsError    mistakes in options, from wherever they come, all of them together
├── SubjectError    a subject of the schema registry holds a schema that ours does not fit
├── ObserverError   the observer died, so nothing can be said any more
├── TargetError     (exit 3) a server or a child process that is needed does not answer
│   ├── PlatformSilentError  (exit 1) the system under test lives and does not answer
│   └── ObserverSilentError  (exit 2) the observer lives and does not answer
├── PlatformAnswerError  a platform answers something else than docs/platform.md asks for
├── StewardError    the process that creates and removes a run's objects has died or is silent
└── ResultError     a result directory that cannot be written or read
"""

from __future__ import annotations

from collections.abc import Sequence


class HarnessError(Exception):
    """Root of what the harness itself can report; `exit_code` is what the process ends with."""

    exit_code = 2


class OptionsError(HarnessError):
    """Every mistake of one set of options, each a sentence that names the value and the remedy."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(dict.fromkeys(mistakes))
        super().__init__("\n".join(self.mistakes))


class ObserverError(HarnessError):
    """The process that watches where events land has died; the message has its exit and the end of
    its log.
    """


class TargetError(HarnessError):
    """Something that the run needs does not answer, or died; the message says what was tried."""

    exit_code = 3


class PlatformSilentError(TargetError):
    """The platform's telemetry does not answer, or it does not come up."""

    exit_code = 1


class ObserverSilentError(TargetError):
    """The observer does not answer, or it does not come up."""

    exit_code = 2


class FenceRefusedError(TargetError):
    """A table of the run no longer takes its rows: somebody else has dropped or altered it."""

    exit_code = 4


class PlatformAnswerError(HarnessError):
    """A platform answers something else than it must; the message names the field."""


class StewardError(HarnessError):
    """The steward has died, or does not answer; the next run removes what this one has left."""


class StewardSilentError(StewardError):
    """The steward lives and has not answered in time."""


class SubjectError(HarnessError):
    """A subject in the schema registry does not take our schema; the message says what to do about
    it.
    """


class ResultError(HarnessError):
    """A result directory that is in the way, cannot be written, or has another schema."""

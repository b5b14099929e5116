"""Errors of the harness.

HarnessError (exit 2)
├── OptionsError    mistakes in options, all of them together
├── SubjectError    the schema registry's subject does not take our schema
├── ObserverError   the observer died, so no measurement is possible
├── TargetError     (exit 3) a server or a child process that the run needs does not answer
│   ├── PlatformSilentError  (exit 1) the system under test lives and does not answer
│   └── ObserverSilentError  (exit 2) the observer lives and does not answer
├── PlatformAnswerError  a platform's answer breaks its contract (docs/platform-contract.md)
├── StewardError    the process that creates and removes a run's objects has died or is silent
└── ResultError     a result directory that cannot be written or read
"""

from __future__ import annotations

from collections.abc import Sequence


class HarnessError(Exception):
    """Root of the errors that the harness reports; `exit_code` is the process's exit code."""

    exit_code = 2


class OptionsError(HarnessError):
    """Every mistake of one set of options; each is a sentence with the value and the remedy."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(dict.fromkeys(mistakes))
        super().__init__("\n".join(self.mistakes))


class ObserverError(HarnessError):
    """The observer has died; the message has its exit code and the end of its log."""


class TargetError(HarnessError):
    """A server or process that the run needs does not answer, or died; the message has what was
    tried.
    """

    exit_code = 3


class PlatformSilentError(TargetError):
    """The platform does not start, or its telemetry does not answer."""

    exit_code = 1


class ObserverSilentError(TargetError):
    """The observer does not start, or does not answer."""

    exit_code = 2


class FenceRefusedError(TargetError):
    """A table of the run no longer takes its rows: somebody else has dropped or altered it."""

    exit_code = 4


class PlatformAnswerError(HarnessError):
    """A platform's answer breaks its contract; the message names the field."""


class StewardError(HarnessError):
    """The steward has died or does not answer; the next run removes what this run leaves."""


class StewardSilentError(StewardError):
    """The steward lives and has not answered in time."""


class SubjectError(HarnessError):
    """A subject in the schema registry does not take our schema; the message has the remedy."""


class ResultError(HarnessError):
    """A result directory that is in the way, cannot be written, or has another schema."""

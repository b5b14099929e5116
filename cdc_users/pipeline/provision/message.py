"""Requests of a run to its steward, and the steward's answers: one line of JSON each."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from cdc_users.measure.wire import Versioned
from cdc_users.pipeline.prepared import Names as Names
from cdc_users.scenario import Pipeline
from infra.faults.fault import FaultObjects
from infra.stack.endpoints import Endpoints

_Body = TypeVar("_Body")


class OpenStack(Versioned, frozen=True, kw_only=True, tag_field="do", tag="open"):
    """Find the stack or start one; `allowed` targets may be outside loopback."""

    run: str
    profile: str
    allowed: tuple[str, ...] = ()


class PreparePipeline(Versioned, frozen=True, kw_only=True, tag_field="do", tag="prepare"):
    """Create one pipeline's objects.

    A topic, or a connector with its table, that the user names is taken as it is and never removed.
    """

    name: str
    tables: tuple[str, ...]
    tuning: str
    pipeline: Pipeline
    #: For the user's own tables: the wishes for their rows, the seed, and whether the user's code
    #: makes the rows.
    mix: tuple[int, int, int] = (100, 0, 0)
    seed: int = 1
    custom_rows: bool = False


class AwaitCommitted(Versioned, frozen=True, kw_only=True, tag_field="do", tag="committed"):
    """Wait until Connect has stored the position of the run's connector."""


class AskHealth(Versioned, frozen=True, kw_only=True, tag_field="do", tag="health"):
    """Report what has happened to the servers since the pipeline was prepared."""


class AwaitReady(Versioned, frozen=True, kw_only=True, tag_field="do", tag="ready"):
    """Wait, under load, until the fault can be done that the servers were prepared for."""


class InjectFault(Versioned, frozen=True, kw_only=True, tag_field="do", tag="inject"):
    """Do a fault to the servers or to the run's objects; the journal has it before that.

    `allowed` servers may be outside loopback.
    """

    fault: str
    objects: FaultObjects
    allowed: tuple[str, ...] = ()


class HealFault(Versioned, frozen=True, kw_only=True, tag_field="do", tag="heal"):
    """Undo the last fault."""


class ReleasePipeline(Versioned, frozen=True, kw_only=True, tag_field="do", tag="release"):
    """Remove what was prepared; the stack stays."""


class CloseSteward(Versioned, frozen=True, kw_only=True, tag_field="do", tag="close"):
    """Remove everything and exit."""


StewardRequest = (
    OpenStack
    | PreparePipeline
    | AwaitCommitted
    | AskHealth
    | AwaitReady
    | InjectFault
    | HealFault
    | ReleasePipeline
    | CloseSteward
)


class StackFound(msgspec.Struct, frozen=True):
    """The stack's endpoints, and whether this run started the stack."""

    endpoints: Endpoints
    owns_stack: bool


class Health(msgspec.Struct, frozen=True):
    """What has restarted since `prepare`, what is permanently gone, how somebody else disturbed the
    run, and how many records the run's topics have deleted.
    """

    restarted: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    disturbed: tuple[str, ...] = ()
    deleted_records: int = 0
    #: How far PostgreSQL's clock is ahead of the run's, and the uncertainty of that.
    source_ahead_us: int = 0
    source_bound_us: int = 0


class Problems(msgspec.Struct, frozen=True):
    """What could not be removed."""

    problems: tuple[str, ...] = ()


class StewardAnswer(Versioned, Generic[_Body], frozen=True, kw_only=True):
    """The answer; or why there is none, and the run's exit code for it."""

    ok: _Body | None = None
    error: str = ""
    exit_code: int = 0

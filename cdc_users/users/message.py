"""The messages between the master and the processes with lanes."""

from __future__ import annotations

import msgspec

from cdc_users.measure.clock import Anchor
from cdc_users.measure.latency.histogram import EncodedHistogram
from cdc_users.measure.schedule.plan import Schedule, SchedulePart
from cdc_users.measure.wire import Versioned
from cdc_users.users.target import LaneTarget, NullTarget
from cdc_users.users.workload.keyspace import Outcome
from cdc_users.users.workload.workload import Workload


class Tally(msgspec.Struct, kw_only=True):
    """The outcomes of a process's share of one step. Counts are cumulative, so the last report has
    everything.

    `exhausted` counts late arrivals that were due before any lane was free.
    """

    offered: int = 0
    started: int = 0
    completed: int = 0
    failed: int = 0
    dropped: int = 0
    late: int = 0
    exhausted: int = 0
    rows: int = 0
    bytes: int = 0
    busy_s: float = 0.0
    errors: dict[str, int] = {}


class RunMessage(Versioned, kw_only=True, frozen=True):
    """Parts of every message between master and workers: the run, and the token that the master
    made for it. A process refuses messages with another run's token.
    """

    run: str
    token: str = ""


class Assignment(RunMessage, kw_only=True, frozen=True):
    """A step for one process: its share of the plan, and all that its lanes need.

    `parts` replaces `share` and `shares`. With `drop_after_s` an arrival that starts later than
    this is dropped; without it every arrival is carried out, however late.
    """

    step: int
    t0_us: int
    schedule: Schedule
    anchor: Anchor
    target: LaneTarget | NullTarget | None = None
    share: int = 0
    shares: int = 1
    first_lane: int = 0
    rows_per_arrival: int = 1
    workload: Workload = Workload()
    parts: tuple[SchedulePart, ...] = ()
    drop_after_s: float | None = None

    @property
    def owned(self) -> tuple[SchedulePart, ...]:
        """The parts of the schedule that this process owns."""
        return self.parts or (SchedulePart(0, self.schedule.count, self.share, self.shares),)


class WorkerReport(RunMessage, kw_only=True, frozen=True):
    """A process's results for its share of one step so far."""

    step: int
    share: int
    tally: Tally
    series: dict[str, EncodedHistogram]
    #: By writer, the sequence numbers of each outcome.
    ranges: dict[int, dict[Outcome, list[list[int]]]]
    cpu_s: float
    wanted_cpu_s: float
    done: bool
    #: How far the worker's clock may be off the master's; None if they are one clock, -1 if that is
    #: not known.
    clock_bound_us: int | None = None


class ClockReading(RunMessage, kw_only=True, frozen=True):
    """A worker asks for the time by the master's anchor, and the master answers."""

    number: int
    anchor: Anchor
    master_us: int = 0


class Ask(RunMessage, kw_only=True, frozen=True):
    """Ask for a report now."""


class Halt(RunMessage, kw_only=True, frozen=True):
    """Take no further arrivals."""

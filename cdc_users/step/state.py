"""The data that a run gathers: one state for each step, and the facts of the whole run.

Plain data for the conclusion.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cdc_users.measure.judgement.backlog import ProgressSample
from cdc_users.measure.judgement.cost import Costs
from cdc_users.measure.judgement.pressure import PressureSample
from cdc_users.measure.judgement.processor import ProcessorUse
from cdc_users.measure.judgement.threshold import Threshold
from cdc_users.measure.latency.recorder import Recorder
from cdc_users.measure.ledger.ledger import Audit, Outcomes
from cdc_users.measure.offset import ONE_CLOCK, ClockOffset
from cdc_users.observe.message import Final
from cdc_users.pipeline.telemetry import StepSnapshot
from cdc_users.scenario import CourseOutcome, Step
from cdc_users.step.fault import FaultState, fault_of
from cdc_users.users.message import Tally, WorkerReport
from cdc_users.users.workload.keyspace import Outcome
from infra.faults.fault import RETENTION, Fault


@dataclass(frozen=True, slots=True)
class ReportedShare:
    """One process's report on its share of a step, decoded on arrival."""

    tally: Tally = field(default_factory=Tally)
    recorder: Recorder = field(default_factory=Recorder)
    #: By writer, the outcomes of its sequences.
    outcomes: Mapping[int, Outcomes] = field(default_factory=dict)
    cpu_s: float = 0.0
    wanted_cpu_s: float = 0.0
    done: bool = False
    #: The uncertainty of its clock; None if it is the master's, -1 if it is not known.
    clock_bound_us: int | None = None

    @classmethod
    def of(cls, report: WorkerReport) -> ReportedShare:
        """The report, decoded."""
        return cls(
            report.tally,
            Recorder([report.series]),
            {writer: _outcomes(ranges) for writer, ranges in report.ranges.items()},
            report.cpu_s,
            report.wanted_cpu_s,
            report.done,
            report.clock_bound_us,
        )


def _outcomes(ranges: Mapping[Outcome, Sequence[Sequence[int]]]) -> Outcomes:
    runs = {name: [(first, last) for first, last in found] for name, found in ranges.items()}
    return Outcomes(**{str(name): found for name, found in runs.items()})


@dataclass(slots=True)
class StepState:
    """One step during its run and afterwards: the reports of the processes with lanes, and the
    times of events (wall us).
    """

    number: int
    step: Step
    workers: tuple[str, ...] = ()
    t0_us: int = 0
    loaded_us: int = 0
    #: When the platform began to read, in a drain step.
    drain_us: int = 0
    #: When the drain was complete, or its time was over.
    ended_us: int = 0
    #: How many of the step's marks have been announced.
    marked: int = 0
    drained: bool = False
    #: Why its load was cut short; empty if it was not.
    cut: str = ""
    #: How long no event had arrived when the wait for the rest was given up.
    quiet_s: float = 0.0
    #: Events that had been sent and not delivered when the load ended.
    backlog_at_end: int = 0
    #: Events sent and delivered, once a second under load.
    looks: list[ProgressSample] = field(default_factory=list)
    reports: dict[str, ReportedShare] = field(default_factory=dict)
    #: The fault that was done to the pipeline, from its injection on.
    fault: FaultState | None = None

    @property
    def done_fault(self) -> Fault | None:
        """The declaration of that fault; None if none was done."""
        planned = self.step.fault
        return None if planned is None or self.fault is None else fault_of(planned)

    @property
    def loaded(self) -> bool:
        """Whether every process has finished its share."""
        return bool(self.workers) and all(self.is_done(worker) for worker in self.workers)

    def is_done(self, worker: str) -> bool:
        """Whether this process has finished its share."""
        return worker in self.reports and self.reports[worker].done

    def total(self, name: str) -> int:
        """The sum of one count over all processes; a load that ended with its fault offered only
        the arrivals that came due.
        """
        if name == "offered" and self.cut and self.step.fault is not None:
            return self.begun
        return sum(int(getattr(report.tally, name)) for report in self.reports.values())

    @property
    def begun(self) -> int:
        """Arrivals whose turn has come: started, or dropped instead."""
        return self.total("started") + self.total("dropped")

    @property
    def sent(self) -> int:
        """Events that must arrive: the acknowledged sequences of all writers."""
        return sum(
            last - first + 1 for item in self.outcomes().values() for first, last in item.acked
        )

    def outcomes(self) -> dict[int, Outcomes]:
        """The outcomes of each writer's sequences."""
        return {
            writer: outcome
            for report in self.reports.values()
            for writer, outcome in report.outcomes.items()
        }

    def recorder(self) -> Recorder:
        """The series of all processes, merged without loss."""
        merged = Recorder()
        for report in self.reports.values():
            merged.merge(report.recorder)
        return merged


class Broken(NamedTuple):
    """The problem that broke a run, and its exit code."""

    reason: str
    exit_code: int


class Gone(NamedTuple):
    """A part of the system under test that is permanently gone, and the step that showed it."""

    step: int
    what: str


@dataclass(slots=True)
class Facts:
    """The facts of a run besides its steps."""

    stop_reason: str = ""
    #: How many processes with lanes were lost, and of how many.
    workers_lost: int = 0
    workers: int = 0
    #: How many processes of other runs were refused.
    strangers: int = 0
    #: By how much the wall clock left the monotonic one during the run.
    clock_step_ms: float = 0.0
    #: By how much PostgreSQL's clock is ahead of the run's.
    source_clock: ClockOffset = ONE_CLOCK
    #: Events that the topic had deleted before the consumer read them.
    retention_lost: int = 0
    #: Processes that restarted without being asked.
    restarts: list[str] = field(default_factory=list)
    gone: list[Gone] = field(default_factory=list)
    #: What somebody else did to the run.
    disturbed: list[str] = field(default_factory=list)
    #: Messages of an unknown form at a tap.
    unreadable: list[str] = field(default_factory=list)
    #: Patterns of sentences that the run's own faults explain: restarts, altered tables, taps that
    #: were cut off.
    explained: list[str] = field(default_factory=list)
    #: All thresholds: the scenario's, the user's, and the ledger's classes at 0.
    thresholds: Sequence[Threshold] = ()
    smoke: bool = False
    profile: str | None = None
    #: Whether the fences of every audited pipeline have passed all its taps.
    fenced: bool = True
    #: Whether any tap had seen a fence that was sent at the end.
    fences_seen: bool = False
    #: The problem that broke the run, and its exit code.
    broken: list[Broken] = field(default_factory=list)
    #: Notes that spoil no number.
    notes: list[str] = field(default_factory=list)
    #: By step, then by tap in the order in which events pass them.
    audits: dict[int, Mapping[str, Audit]] = field(default_factory=dict)
    sink: dict[int, StepSnapshot] = field(default_factory=dict)
    #: Steps whose sink is seen as a state alone, so that its events cannot be counted.
    blind: set[int] = field(default_factory=set)
    #: By step: the comparison of the sink's final state with the source's, if the sink keeps one.
    finals: dict[int, Final] = field(default_factory=dict)
    #: By step and tap, if events come out at several taps: each one's figures (None if it does not
    #: see every event), and its final state, if it keeps one.
    taps: dict[int, Mapping[str, StepSnapshot | None]] = field(default_factory=dict)
    tap_finals: dict[int, Mapping[str, Final]] = field(default_factory=dict)
    platform_errors: list[str] = field(default_factory=list)
    #: By step: samples of the platform and the gauges, the most events that one instance held, and
    #: the events that became durable in each partition.
    samples: dict[int, Sequence[PressureSample]] = field(default_factory=dict)
    high_water: dict[int, int] = field(default_factory=dict)
    partition_events: dict[int, Sequence[int]] = field(default_factory=dict)
    #: By step: the cost of each server, the platform and the harness; None where not known.
    costs: dict[int, Costs] = field(default_factory=dict)
    #: The outcome of the course, and its outcome before its last step. Of the latter only the
    #: figures are valid, because the steps were still going on.
    course: CourseOutcome = field(default_factory=CourseOutcome)
    course_so_far: CourseOutcome = field(default_factory=CourseOutcome)
    #: By step: how the run's processes shared the machine's processors with others.
    processors: dict[int, ProcessorUse] = field(default_factory=dict)

    def unexplained(self, sentences: Iterable[str]) -> list[str]:
        """The sentences that no fault of the run explains."""
        return [
            sentence
            for sentence in sentences
            if not any(re.search(pattern, sentence) for pattern in self.explained)
        ]

    def overtaken(self) -> int:
        """Events that retention has deleted too early, unless a fault of the run caused that."""
        return self.retention_lost if self.unexplained([RETENTION]) else 0

    def leave_behind(self, problems: Iterable[str]) -> None:
        """Note what could not be removed; a failure that repeats at the run's end is noted once."""
        for problem in problems:
            note = f"left behind: {problem}"
            if note not in self.notes:
                self.notes.append(note)

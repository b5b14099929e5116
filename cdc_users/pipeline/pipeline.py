"""Everything between source and sink during some steps: the run's own objects, the platform, and
the observer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from cdc_users.error import ObserverError, TargetError
from cdc_users.measure.clock import Anchor
from cdc_users.measure.ledger.ledger import Arrivals
from cdc_users.observe.message import DebeziumSample
from cdc_users.pipeline.declaration import captures, sources
from cdc_users.pipeline.process.child_process import (
    Child,
    stop_all,
)
from cdc_users.pipeline.process.commands import Wiring
from cdc_users.pipeline.process.observer import Observer, start_observer
from cdc_users.pipeline.process.system import SystemProcesses
from cdc_users.pipeline.provision.client import StewardClient
from cdc_users.pipeline.provision.message import PreparePipeline
from cdc_users.pipeline.samples import SampleLog
from cdc_users.pipeline.telemetry import (
    PipelineSnapshot,
    Snapshot,
    TapProgress,
    merged_progress,
    merged_steps,
    read_ledger,
    read_progress,
    read_snapshot,
    witnessed,
)
from cdc_users.scenario import Pipeline
from cdc_users.users.producer.fence import fences
from cdc_users.users.source.look import LogPosition
from cdc_users.users.source.looks import source_look
from cdc_users.users.target import DatabaseTarget
from cdc_users.users.workload.table.row import CustomRow
from cdc_users.users.workload.workload import Workload
from infra.faults.fault import FaultGround, FaultObjects, heal, inject
from infra.postgres.table import table_names
from infra.stack.endpoints import Endpoints

#: The telemetry of a tap: a snapshot, progress or arrivals.
Told = TypeVar("Told")

TABLE = "customers"
GRACE_S = 10.0
#: The platform's own tap: the events that it reports as durable.
PLATFORM = "platform"


@dataclass(slots=True)
class Rig:
    """One prepared pipeline: its names, and its processes.

    Events pass the observer's topic tap, then the platform's own, then the observer's sink tap;
    each of them may be missing.
    """

    wiring: Wiring
    logs: Path
    #: Whether keys are written more than once.
    updates: bool = False
    #: The user's own code that makes rows of the user's tables.
    custom: CustomRow | None = None
    observer: Observer | None = None
    #: The processes of the system under test that this run starts.
    system: SystemProcesses = field(init=False)
    #: How far the source's log had come before the load; None if that is not known.
    log_before: LogPosition | None = None
    _fences: Callable[[int], set[int]] | None = None

    def __post_init__(self) -> None:
        self.system = SystemProcesses(self.wiring, self.logs)

    def do(self, fault: str, what: str) -> None:
        """Inject or heal a fault that is done to a process of the run; raises TargetError."""
        assert self.observer is not None
        ground = FaultGround(
            self.wiring.endpoints,
            self.fault_objects(""),
            self.system.act,
            self.observer.answer_as,
        )
        {"inject": inject, "heal": heal}[what](fault, ground)

    def fault_objects(self, tuning: str) -> FaultObjects:
        """The run's objects that a fault may be done to."""
        names, pipeline = self.wiring.names, self.wiring.pipeline
        capture = captures().by_name[pipeline.capture]
        return FaultObjects(
            schema=names.schema,
            tables=names.tables,
            topics=names.topics,
            slot=names.slot,
            publication=names.publication,
            connector=pipeline.connector or capture.connector(names.schema),
            tuning=tuning,
            sink_table=names.sink_table,
            group=names.group,
            warehouse=names.warehouse,
        )

    def send_fences(self, count: int) -> set[int]:
        """Write this many more fences where the lanes write; returns the keys of all so far."""
        if self._fences is None:
            wiring = self.wiring
            self._fences = fences(wiring.run, wiring.target, wiring.anchor, self.custom)
        return self._fences(count)

    def log_position(self) -> LogPosition | None:
        """How far the source's log has come; None if rows do not go into a database, or it does not
        say.
        """
        target = self.wiring.target
        if not isinstance(target, DatabaseTarget):
            return None
        with suppress(TargetError), source_look(target, self.wiring.run) as look:
            return look.position()
        return None

    def open(self, steward: StewardClient, wait: Callable[[str, Callable[[], bool]], bool]) -> str:
        """Prove that captured events arrive from now on: a first fence must pass to the topic, or
        through the direct reader, or through the user's own pipeline to its end. So the first step
        does not count the time that this takes.

        `wait` waits for a condition that it gets with a name; if it gives up, waiting has become
        pointless. Returns what did not arrive in time; empty if everything did.
        """
        wiring = self.wiring
        if not sources().by_name[wiring.pipeline.source].database:
            return ""
        self.log_before = self.log_position()
        keys = self.send_fences(1)
        if not wiring.direct:
            if not wait("the topic", lambda: keys <= self.progress()["topic"].fences):
                return ""  # the run's own waits show everything behind the topic
            steward.committed()
        elif not wait("the reader", self._has_published):
            return ""
        if not wiring.foreign:
            return ""
        for name, place in wiring.ends.items():
            if not wait(place, partial(self._has_come, name, keys)):
                errors = self.look().taps[name].unreadable
                said = f" (the tap there says: {errors[0]})" if errors else ""
                return f"a first row has not come out at {place}{said}"
        return ""

    def _has_come(self, tap: str, fences: set[int]) -> bool:
        return fences <= self.progress()[tap].fences

    def _has_published(self) -> bool:
        """Whether the direct reader has counted an event; true for one that reports no counts."""
        positions = self.look().platform.positions
        return not positions or sum(positions.values()) > 0

    def start(self, *, held: bool, smoke: bool) -> None:
        """Start the observer, then the platform's instances all at once.

        Held instances take their partitions and wait for `begin`. Raises TargetError if an instance
        does not become ready.
        """
        schema = self.wiring.names.schema
        self.observer = start_observer(
            self.wiring.observer_settings(smoke=smoke),
            self.logs / f"{schema}-observer.log",
            self.wiring.environment,
        )
        self.system.start(self.observer.taps.get(self.wiring.end), held=held)
        self.observer.watch({child.name: child.process.pid for child in self.children})

    def begin(self) -> None:
        """Let held instances start to read."""
        self.system.begin()

    def shared_out(self) -> bool:
        """Whether every partition has its instance, which takes a group of several a moment."""
        if not self.system.told or self.wiring.direct:
            return True
        snapshot = read_snapshot(self.system.told)
        if any(part.consumer.partitions is None for part in snapshot.instances):
            return True  # it does not report its partitions
        return snapshot.partitions == self.wiring.names.partitions

    def look(self) -> PipelineSnapshot:
        """Everything about the pipeline now; raises TargetError."""
        assert self.observer is not None
        seen = self.observer.snapshot()
        gauges = seen.gauges
        platform = read_snapshot(self.system.told)
        taps = {
            name: Snapshot(
                merged_steps([tap.steps]),
                unreadable=tap.errors,
                written_by_others=tap.written_by_others,
                others_keys=tap.others_keys,
                remark=tap.remark,
            )
            for name, tap in seen.taps.items()
        }
        events = [tap for name, tap in taps.items() if name not in self.states]
        return PipelineSnapshot(
            sink=self._sink(platform, taps),
            nearest=None if self.sees_sink else events[-1],
            platform=platform,
            taps=taps,
            ends=list(self.wiring.ends) if len(self.wiring.ends) > 1 else (),
            processes=(gauges.processes if gauges is not None else None) or {},
            slot_lag_bytes=None if gauges is None else gauges.slot_lag_bytes,
            group_lag=None if gauges is None else gauges.group_lag,
            debezium=(gauges.debezium if gauges is not None else None) or DebeziumSample(),
        )

    def _sink(self, platform: Snapshot, taps: Mapping[str, Snapshot]) -> Snapshot:
        """What came out at the end, and when: as our tap saw it, if it sees every event."""
        end = self.wiring.end
        seen = end in taps and end not in self.states
        if self.system.is_tap and not (seen and self.system.silent):
            return witnessed(platform, taps[end]) if seen else platform
        return taps[end] if seen else Snapshot()

    def collect(self, log: SampleLog) -> None:
        """Add the samples since the last call; raises TargetError."""
        assert self.observer is not None
        log.collect(self.system.sampled, self.observer)

    def sampled(self, log: SampleLog, until_us: int) -> bool:
        """Whether the samples of all platform instances reach this time (wall us)."""
        return log.reaches(self.system.sampled, until_us)

    def delivered(self, step: int) -> int:
        """Events of a step that have reached the slowest tap that sees every event; raises
        TargetError.
        """
        taps = self.progress()
        return min(
            tap.delivered.get(step, 0) for name, tap in taps.items() if name not in self.states
        )

    @property
    def states(self) -> frozenset[str]:
        """The taps that see states and not events: they miss versions if keys are written more than
        once.
        """
        assert self.observer is not None
        return frozenset(
            name for name, tap in self.observer.taps.items() if self.updates and tap.state
        )

    @property
    def sees_sink(self) -> bool:
        """Whether the platform itself or a tap sees every event that comes out."""
        told = self.system.is_tap and not self.system.forgotten
        return told or self.wiring.end not in self.states

    def progress(self) -> Mapping[str, TapProgress]:
        """How far every tap has come, first to last; raises TargetError."""
        assert self.observer is not None
        taps = self.observer.progress().taps
        return self._in_order(
            {name: merged_progress([tap]) for name, tap in taps.items()},
            lambda: read_progress(self.system.audited),
        )

    def arrivals(self) -> Mapping[str, Arrivals]:
        """The ledger of every tap that sees every event, first to last; raises TargetError."""
        observer = self.observer
        assert observer is not None
        seen = {name: observer.ledger(name) for name in observer.taps if name not in self.states}
        return self._in_order(seen, lambda: read_ledger(self.system.audited))

    def _in_order(self, taps: dict[str, Told], platform: Callable[[], Told]) -> dict[str, Told]:
        ends = self.wiring.ends
        ordered = {name: tap for name, tap in taps.items() if name not in ends}
        if self.system.is_tap and not self.system.silent:
            ordered[PLATFORM] = platform()
        return ordered | {name: tap for name, tap in taps.items() if name in ends}

    @property
    def children(self) -> Sequence[Child]:
        """The processes of the system under test that this run has started."""
        return self.system.children

    def dead(self) -> str | None:
        """A line on each process of the system under test that has died; None if none has. Raises
        ObserverError if the observer has died.
        """
        if self.observer is not None and (message := self.observer.dead()) is not None:
            raise ObserverError(message)
        return self.system.dead()

    def stop(self, grace_s: float = GRACE_S) -> list[str]:
        """Stop the platform, then the observer; returns what went wrong."""
        watching = [self.observer.child] if self.observer is not None else []
        codes = [*self.system.stop(grace_s), *stop_all(watching, grace_s)]
        return [
            f"{child.name} ended with {code} when asked to stop; log {child.log}"
            for child, code in codes
            if code
        ]


@dataclass(frozen=True, slots=True)
class RigPlan:
    """The plan of a rig: the run, the name of its objects, and the pipeline."""

    run: str
    name: str
    endpoints: Endpoints
    pipeline: Pipeline
    tuning: str
    anchor: Anchor
    logs: Path
    workload: Workload
    custom: CustomRow | None = None


def prepare(plan: RigPlan, steward: StewardClient) -> Rig:
    """Have one pipeline's objects created; none of its processes runs yet."""
    request = PreparePipeline(
        name=plan.name,
        tables=table_names(plan.workload.tables),
        tuning=plan.tuning,
        pipeline=plan.pipeline,
        mix=plan.workload.mix,
        seed=plan.workload.seed,
        custom_rows=plan.custom is not None,
    )
    names = steward.prepare(request)
    wiring = Wiring(plan.endpoints, plan.pipeline, names, plan.run, plan.anchor)
    updates = not plan.workload.only_inserts
    return Rig(wiring, plan.logs, updates=updates, custom=plan.custom)

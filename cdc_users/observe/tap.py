"""The base of all taps: events by columns, a tap's record of them, and the protocol of a tap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cdc_users.measure.latency.series import EARLIEST
from cdc_users.measure.ledger.arrival import Arrivals
from cdc_users.measure.ledger.bitmap import Numbers
from cdc_users.measure.ledger.ledger import Ledger, PartitionEvents
from cdc_users.measure.ledger.place import EventPlace, EventPlaces
from cdc_users.measure.ledger.probe import Operation, ProbeBatch, parse_probes
from cdc_users.measure.step import (
    ProgressTelemetry,
    StepFigures,
    progress_telemetry,
    steps_telemetry,
)
from cdc_users.observe.message import TapPlace, TapTelemetry

_STAMP = ord(Operation.STAMP)
#: How many distinct errors of a tap are reported.
ERRORS = 20
#: How long a thread that is stopped may take; an observer with several has ten seconds for all.
END_S = 3.0


class TapError(Exception):
    """A tap cannot be set up, or its place cannot be read; the message names both."""


@dataclass(frozen=True, slots=True)
class Events:
    """Change events of one partition in their order, by columns of equal length.

    `probes` are empty where an event has none; a delete has the probe of the row that it removed.
    `deleted` marks delete events. Times are wall microseconds: `committed_us` is the commit at the
    source, 0 if unknown; `appended_us` the append to the topic, None if there is no topic;
    `seen_us` is when this tap saw the events. `visible_us` is when each event could be read here,
    if the place itself reports it; the latency then ends at this time, not at our look. `late_us`
    is how long before `seen_us` an event may have been visible. `others` marks updates that left
    the probe unchanged, which no writer of the run does. `checks` has a ledger.RowCheck for each
    event, or is None.
    """

    partition: int
    positions: Numbers
    keys: Numbers
    probes: Sequence[bytes]
    deleted: NDArray[np.bool_]
    sizes: Numbers
    committed_us: Numbers
    seen_us: int
    appended_us: Numbers | None = None
    checks: NDArray[np.uint8] | None = None
    visible_us: Numbers | None = None
    late_us: int = 0
    others: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def only(self, rows: Numbers) -> Events:
        """Some of the events."""
        return Events(
            self.partition,
            self.positions[rows],
            self.keys[rows],
            [self.probes[row] for row in rows.tolist()],
            self.deleted[rows],
            self.sizes[rows],
            self.committed_us[rows],
            self.seen_us,
            None if self.appended_us is None else self.appended_us[rows],
            None if self.checks is None else self.checks[rows],
            None if self.visible_us is None else self.visible_us[rows],
            self.late_us,
            None if self.others is None else self.others[rows],
        )


class ObservedRecord:
    """The record of one tap: ledger, latencies by step, errors. Safe for several threads."""

    def __init__(self, run: str) -> None:
        self.steps: dict[int, StepFigures] = {}
        self.events = 0
        self.errors: list[str] = []
        self.failed = 0
        #: How many changes to the run's rows somebody else made, and the first keys of them.
        self.written_by_others = 0
        self.others_keys: dict[int, None] = {}
        #: The newest remark on this tap's figures.
        self.remark = ""
        #: Where events stood, if events can be lost behind this tap.
        self._places: EventPlaces | None = None
        self._run = run
        self._ledger = Ledger()
        self._lock = Lock()

    def take(self, events: Events, *, once: bool = False) -> None:
        """Take events in, in the order in which they were found.

        With `once`, events that were taken before are left out: an unchanged state that is written
        again is no second event.
        """
        if not len(events):
            return
        probes = parse_probes(events.probes, self._run)
        with self._lock:
            if (others := _by_others(events, probes)).any():
                self._note_others(events.keys[others])
                events, probes = events.only(np.flatnonzero(~others)), probes[~others]
                if not len(events):
                    return
            if once:
                rows = np.flatnonzero(self._ledger.unseen(probes))
                events, probes = events.only(rows), probes[rows]
                if not len(events):
                    return
            self.events += len(events)
            # A delete with nothing but its key has the time of the stamp before it.
            probes = self._ledger.with_deletes(probes, events.keys, events.deleted)
            counted = self._ledger.enter(
                PartitionEvents(
                    probes,
                    events.keys,
                    events.partition,
                    events.positions,
                    events.checks,
                    events.seen_us,
                )
            )
            if self._places is not None:
                self._places.remember(
                    (probes.writer[counted], probes.sequence[counted]),
                    events.partition,
                    events.positions[counted],
                    events.keys[counted],
                )
            steps = probes.step[counted]
            for step in np.unique(steps).tolist():
                rows = np.flatnonzero(counted & (probes.step == step))
                self._measure(
                    self.steps.setdefault(step, StepFigures(first_us=events.seen_us)),
                    events,
                    probes,
                    rows,
                )

    def _note_others(self, keys: Numbers) -> None:
        self.written_by_others += len(keys)
        room = ERRORS * 50 - len(self.others_keys)
        self.others_keys.update(dict.fromkeys(keys[: max(0, room)].tolist()))

    def _measure(
        self, figures: StepFigures, events: Events, probes: ProbeBatch, rows: Numbers
    ) -> None:
        """Latencies on one timeline: for each event, commit, capture and remainder add up to
        end-to-end.
        """
        visible_us = (
            np.full(len(rows), events.seen_us, dtype=np.int64)
            if events.visible_us is None
            else events.visible_us[rows]
        )
        figures.last_us = max(figures.last_us, int(visible_us.max()))
        figures.bytes += int(events.sizes[rows].sum())
        intended_us = probes.intended_us[rows]
        series = {"end_to_end": visible_us - intended_us}
        if events.late_us:
            series[EARLIEST.name] = series["end_to_end"] - events.late_us
        committed_us = events.committed_us[rows]
        known = committed_us > 0
        if known.any():
            series["commit"] = (committed_us - intended_us)[known]
            before_us = committed_us[known]
            if events.appended_us is not None:
                series["capture"] = events.appended_us[rows][known] - before_us
                before_us = events.appended_us[rows][known]
            series["remainder"] = visible_us[known] - before_us
        for name, values in series.items():
            figures.recorder.record_many_us(name, values)

    def fail(self, error: str, events: int = 1) -> None:
        """Note events that could not be read; only the first few messages are kept."""
        with self._lock:
            self.failed += events
            if len(self.errors) < ERRORS and error not in self.errors:
                self.errors.append(error)

    def say(self, remark: str) -> None:
        """Add a remark on the tap's figures to the result."""
        with self._lock:
            self.remark = remark

    def keep_places(self) -> None:
        """Remember where each event stood, from now on."""
        self._places = EventPlaces()

    def find(self, events: Iterable[tuple[int, int]]) -> list[EventPlace]:
        """Where these events (writer and sequence) stood; unknown ones are left out."""
        with self._lock:
            return [] if self._places is None else self._places.find(events)

    def snapshot(self) -> TapTelemetry:
        """The figures so far."""
        with self._lock:
            return TapTelemetry(
                events=self.events,
                unreadable=self.failed,
                errors=list(self.errors),
                written_by_others=self.written_by_others,
                others_keys=list(self.others_keys)[:ERRORS],
                remark=self.remark,
                steps=steps_telemetry(self.steps, self._ledger),
                fences=sorted(self._ledger.fences()),
                fenced_partitions=sorted(self._ledger.fenced_partitions()),
            )

    def progress(self) -> ProgressTelemetry:
        """The figures that a drain waits for."""
        with self._lock:
            return progress_telemetry(self._ledger)

    def arrivals(self) -> Arrivals:
        """The ledger as plain data."""
        with self._lock:
            return self._ledger.arrivals()


def _by_others(events: Events, probes: ProbeBatch) -> NDArray[np.bool_]:
    """Which events change the run's rows without being its writers': the writers give each update a
    probe of its own, and stamp a row before they delete it.
    """
    unstamped: NDArray[np.bool_] = events.deleted & probes.valid & (probes.operation != _STAMP)
    return unstamped if events.others is None else unstamped | (events.others & probes.valid)


def end_thread(stop: Event, thread: Thread | None) -> None:
    """Stop a thread that watches a place, and wait for its end, if it was started.

    A thread that waits for a server that stands still is left behind: it is a daemon and ends with
    the process.
    """
    stop.set()
    if thread is not None and thread.is_alive():
        thread.join(END_S)


class Tap(Protocol):
    """A place where events land, watched from a thread of the tap's own.

    `record` has what was found so far; reading the record never waits for the watched place.
    """

    kind: str
    record: ObservedRecord

    def start(self) -> TapPlace:
        """Begin to watch; returns the tap's address. Raises TapError."""

    def stop(self) -> None:
        """Stop watching; the record stays."""

    def gauges(self) -> dict[str, object]:
        """Further figures for the snapshot, such as the tap's own delay."""


def by_partition(read: dict[int, int]) -> dict[str, int]:
    """How far a tap has read, for its gauges; copied at once, because the tap's thread may meet a
    new partition meanwhile.
    """
    return {str(number): count for number, count in read.copy().items()}

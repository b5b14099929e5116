"""Watches a run: one look a second at every tap, for timeline, page, terminal and Locust."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gevent
import structlog
from gevent.lock import RLock
from locust.env import Environment

from cdc_users.error import TargetError
from cdc_users.measure.clock import Anchor, new_anchor
from cdc_users.measure.judgement.backlog import ProgressSample
from cdc_users.measure.judgement.stall import FlowSample, IdleSlotDetector, StallDetector
from cdc_users.measure.latency.heat_map import HeatMap
from cdc_users.measure.latency.histogram import LatencyHistogram
from cdc_users.measure.latency.recorder import Recorder, SeriesTotal
from cdc_users.measure.latency.series import PARTS
from cdc_users.measure.latency.window import LatencyWindow, RecentLatency
from cdc_users.pipeline.declaration import sinks
from cdc_users.pipeline.telemetry import PipelineSnapshot, Snapshot
from cdc_users.run.locust.stats import add_latencies
from cdc_users.step.timeline_row import TimelineRow

logger = structlog.get_logger()

INTERVAL_S = 1.0
LATELY_S = 10.0


def _line(tap: str) -> tuple[str, str]:
    """Locust's line for the end-to-end latency at a tap."""
    return ("CDC", f"end_to_end ({tap})")


def _write_line(sink: str) -> dict[str, tuple[str, str]]:
    """Locust's line for the writes of a sink, if the sink's writes take time."""
    if not sink or not sinks().by_name[sink].writes:
        return {}
    return {"sink_write": ("CDC", f"sink_write ({sink})")}


@dataclass(frozen=True, slots=True)
class Load:
    """The watch's view of the current step, from its writers' reports."""

    name: str
    number: int
    stage: str
    offered: int
    started: int
    completed: int
    failed: int
    sent: int
    drain: bool
    sink: str = ""
    rows_per_arrival: int = 1
    #: Arrivals that failed or were dropped, so that their events are not awaited.
    dropped: int = 0
    #: Whether no event may come out yet, because the platform waits for the topic to be filled.
    held: bool = False

    @property
    def due(self) -> int:
        """Events that were due by now and are to arrive."""
        return max(0, self.offered - self.failed - self.dropped) * self.rows_per_arrival


@dataclass(frozen=True, slots=True)
class Recent:
    """The events of one step that have reached the sink between two looks.

    A platform that was restarted counts from zero, so all of its count is new.
    """

    now: Recorder = field(default_factory=Recorder)
    before: Recorder = field(default_factory=Recorder)

    def histogram(self, name: str) -> LatencyHistogram:
        """One series of these events."""
        now, before = self.now.histogram(name), self.before.histogram(name)
        return now.minus(before) if now.continues(before) else now

    def mean_ms(self, name: str) -> float | None:
        """A series' mean; None if there were no events."""
        now, before = self.now.total(name), self.before.total(name)
        if now.samples < before.samples:
            before = SeriesTotal()
        came = now.samples - before.samples
        return _ms((now.sum_us - before.sum_us) / came) if came else None


@dataclass(slots=True)
class Watch:
    """Looks at a pipeline once a second while `start`ed, and keeps the results; `look` looks now.

    `hear` asks the writers for a report. Their regular reports are up to half a second old, and
    then fewer events seem to be sent than have arrived.
    """

    environment: Environment
    load: Callable[[], Load | None]
    hear: Callable[[], None] = lambda: None
    last: PipelineSnapshot = field(default_factory=PipelineSnapshot)
    moments: list[TimelineRow] = field(default_factory=list)
    #: By step number: the events sent and delivered at each moment.
    looks: dict[int, list[ProgressSample]] = field(default_factory=dict)
    #: Why the last look failed; None if it did not.
    silence: TargetError | None = None
    began_s: float = field(default_factory=time.monotonic)
    #: The distribution of the sink's latencies over the time of the load.
    heat: HeatMap = field(default_factory=HeatMap)
    #: End-to-end latencies of the events of the last ten seconds.
    lately: LatencyHistogram = field(default_factory=LatencyHistogram)
    _loaded_s: float = 0.0
    _resumed_s: float | None = None
    _windows: dict[int, LatencyWindow] = field(default_factory=dict)
    anchor: Anchor = field(default_factory=new_anchor)
    #: The pipeline's stalls, in sentences.
    stalls: list[str] = field(default_factory=list)
    _detector: StallDetector = field(default_factory=StallDetector)
    _idle_slot: IdleSlotDetector = field(default_factory=IdleSlotDetector)
    _clock_step_ms: float = 0.0
    _read: Callable[[], PipelineSnapshot] | None = None
    #: The last look at each tap and step; the sink has no name here.
    _seen: dict[tuple[str, int], Recorder] = field(default_factory=dict)
    _bytes: dict[int, int] = field(default_factory=dict)
    _greenlet: Any = None
    _turn: Any = field(default_factory=RLock)

    @property
    def total_s(self) -> float:
        """Seconds since the run began."""
        return round(time.monotonic() - self.began_s, 3)

    @property
    def elapsed_s(self) -> float:
        """Seconds of the timeline, which leaves out the preparation of pipelines."""
        resumed_s = self._resumed_s
        now_s = 0.0 if resumed_s is None else time.monotonic() - resumed_s
        return round(self._loaded_s + now_s, 3)

    def resume(self) -> None:
        """A step begins: let the timeline go on, if it stands."""
        if self._resumed_s is None:
            self._resumed_s = time.monotonic()

    def _pause(self) -> None:
        self._loaded_s, self._resumed_s = self.elapsed_s, None

    def clock_step_ms(self) -> float:
        """By how much the wall clock had left the monotonic one at the worst look so far: a clock
        that was set back and forth has left wrong times behind.
        """
        self._clock_step_ms = max(self._clock_step_ms, self.anchor.step_ms(), key=abs)
        return self._clock_step_ms

    def start(self, read: Callable[[], PipelineSnapshot], patience_s: float = 0.0) -> None:
        """Watch a pipeline from now on; `read` raises TargetError if it does not answer.

        A healthy pipeline may deliver nothing for `patience_s` and some seconds.
        """
        self._read = read
        self._detector, self._idle_slot = StallDetector(patience_s), IdleSlotDetector()
        self._greenlet = gevent.spawn(self._watch)

    def stop(self) -> None:
        """Take one last look, and stop looking."""
        try:
            if self._greenlet is not None:
                self._greenlet.kill()
                self._greenlet = None
                if (
                    self.silence is None
                ):  # a part that did not answer a moment ago is not waited for again
                    self.note()
        finally:
            self._pause()

    def look(self) -> PipelineSnapshot:
        """Read every tap now; raises TargetError."""
        assert self._read is not None
        # The samples since the last look are added here, and only here.
        with self._turn:
            self.last = self._read()
            return self.last

    def _watch(self) -> None:
        while True:
            gevent.sleep(INTERVAL_S)
            self.note()

    def note(self) -> None:
        """Look now and keep the result; after that the timeline is complete for a step that has
        ended, however short it was.
        """
        self.clock_step_ms()
        # New events are the difference of two looks, so no two looks may overlap.
        with self._turn:
            try:
                look = self.look()
                self.hear()
                self._note(look)
                self.silence = None
            except TargetError as error:
                self.silence = error

    def _note(self, look: PipelineSnapshot) -> None:
        load = self.load()
        if load is None or self._resumed_s is None:
            return
        # In a drain the time before the sink is a wait and no latency.
        *others, end = look.ends or ("sink",)
        whole_way = {} if load.drain else {"end_to_end": _line(end)}
        recents = self._recents(look.sink)
        self._add_lines(recents, _write_line(load.sink) | whole_way)
        for name in () if load.drain else others:
            self._add_lines(self._recents(look.taps[name], name), {"end_to_end": _line(name)})
        moment = self._moment(look, load, recents.get(load.number, Recent()))
        self.moments.append(moment)
        sample = ProgressSample(moment.elapsed_s, moment.sent, moment.delivered, load.due)
        self.looks.setdefault(load.number, []).append(sample)
        self._look_for_stall(look, load, moment)

    def _add_lines(
        self, recents: Mapping[int, Recent], lines: Mapping[str, tuple[str, str]]
    ) -> None:
        for recent in recents.values():
            for series, line in lines.items():
                add_latencies(self.environment.stats, *line, recent.histogram(series), time.time())

    def _recents(self, seen: Snapshot, tap: str = "") -> dict[int, Recent]:
        """By step: the events that have come since the last look to the sink, or to another tap."""
        found = {
            number: self._recent(step.recorder, (tap, number))
            for number, step in seen.steps.items()
        }
        return {number: recent for number, recent in found.items() if recent is not None}

    def _look_for_stall(self, look: PipelineSnapshot, load: Load, moment: TimelineRow) -> None:
        """Name the place where events wait while none come out, or where WAL waits for nobody."""
        if load.held:
            return
        topic = look.taps.get("topic")
        sample = FlowSample(
            moment.elapsed_s,
            moment.sent,
            None if topic is None else topic.delivered(load.number),
            moment.delivered,
            moment.slot_lag_bytes,
            look.group_lag,
            None if moment.queue_depth is None else moment.queue_depth + (moment.in_flight or 0),
        )
        for stall in (self._detector.see(sample), self._idle_slot.see(sample)):
            if stall is not None:
                at = f"{load.name}, {moment.elapsed_s:.0f} s after the start"
                self.stalls.append(f"{at}: {stall}")
                logger.warning("benchmark.stall", step=load.name, problem=stall)

    def _moment(self, look: PipelineSnapshot, load: Load, recent: Recent) -> TimelineRow:
        latency = recent.histogram("end_to_end")
        percentiles = self._percentiles(load.number)
        self.heat.add(self.elapsed_s, latency)
        delivered = look.delivered(load.number)
        before = self.moments[-1] if self.moments and self.moments[-1].step == load.name else None
        elapsed_s = self.elapsed_s
        since_s = elapsed_s - before.elapsed_s if before else None

        def rate(now: int, then: int) -> float | None:
            return round((now - then) / since_s, 1) if since_s else None

        # A lane learns of its commit after the log does, so arrivals may be ahead of its report.
        sent = max(load.sent, delivered)
        size = look.sink.steps[load.number].bytes if load.number in look.sink.steps else 0
        earlier_bytes, self._bytes[load.number] = self._bytes.get(load.number, 0), size
        return TimelineRow(
            elapsed_s=elapsed_s,
            step=load.name,
            stage=load.stage,
            offered=load.offered,
            started=load.started,
            completed=load.completed,
            failed=load.failed,
            sent=sent,
            delivered=delivered,
            backlog=sent - delivered,
            queue_depth=look.platform.queue_depth,
            in_flight=look.platform.in_flight,
            paused_partitions=look.platform.paused_partitions,
            consumer_lag=lag_of(look.lag, sent - delivered),
            slot_lag_bytes=look.slot_lag_bytes,
            uss_mb=_mb(look.platform.uss_bytes),
            rss_mb=_mb(look.platform.rss_bytes),
            # In events, as the rates beside it.
            offered_per_s=rate(
                load.offered * load.rows_per_arrival,
                before.offered * load.rows_per_arrival if before else 0,
            ),
            sent_per_s=rate(sent, before.sent if before else 0),
            delivered_per_s=rate(delivered, before.delivered if before else 0),
            bytes_per_s=rate(size, earlier_bytes),
            p50_ms=_ms(percentiles.histogram.percentile_us(50)),
            p95_ms=_ms(percentiles.histogram.percentile_us(95)),
            p99_ms=_ms(percentiles.histogram.percentile_us(99)),
            window_s=percentiles.window_s,
            mean_ms=recent.mean_ms("end_to_end"),
            max_ms=_ms(latency.max_us) if latency.count else None,
            **{f"{name}_ms": recent.mean_ms(name) for name in PARTS},
            debezium_behind_ms=look.debezium.behind_ms,
            debezium_queue_remaining=look.debezium.queue_remaining,
            captured=look.taps["topic"].delivered(load.number) if "topic" in look.taps else None,
        )

    def _percentiles(self, step: int) -> RecentLatency:
        """The last events of a step that suffice for percentiles."""
        now = self._seen.get(("", step), Recorder()).histogram("end_to_end")
        if step not in self._windows:
            self._windows = {step: LatencyWindow(self.elapsed_s)}
        window = self._windows[step]
        found = window.since(now, self.elapsed_s)
        self.lately = window.since(now, self.elapsed_s, LATELY_S, enough=0).histogram
        window.keep(now, self.elapsed_s)
        return found

    def _recent(self, now: Recorder, place: tuple[str, int]) -> Recent | None:
        """The events of a tap and a step since the last look; None if there are none, as in all
        steps that are over.
        """
        before = self._seen.get(place, Recorder())
        if now.is_as(before):
            return None
        self._seen[place] = now
        return Recent(now, before)


def lag_of(told: int | None, backlog: int) -> int | None:
    """A group commits its offsets only now and then, so its lag may include events that are
    delivered already; the backlog bounds it.
    """
    return None if told is None else min(told, backlog)


def _ms(value_us: float | None) -> float | None:
    return None if value_us is None else round(value_us / 1000, 3)


def _mb(size: int | None) -> float | None:
    return None if size is None else round(size / 1e6, 2)

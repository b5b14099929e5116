"""Watches a run while it goes on: one look a second at the platform, for the timeline, the terminal and Locust."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gevent
import structlog
from locust.env import Environment

from cdc_users.error import TargetError
from cdc_users.measure.histogram import LatencyHistogram
from cdc_users.precision import add_latencies
from cdc_users.telemetry import Snapshot, read_snapshot

logger = structlog.get_logger()

INTERVAL_S = 1.0
PROGRESS_S = 10.0
LINE = ("CDC", "end_to_end (sink)")


@dataclass(frozen=True, slots=True)
class Moment:
    """One second of a run: totals so far, and the latency of what arrived in it."""

    elapsed_s: float
    step: str
    offered: int
    started: int
    completed: int
    delivered: int
    backlog: int
    queue_depth: int
    consumer_lag: int | None
    uss_mb: float
    mean_ms: float | None
    max_ms: float | None


@dataclass(slots=True)
class Load:
    """What the watch needs to know of the current step."""

    name: str
    number: int
    offered: int
    started: int
    completed: int
    sent: int


@dataclass(slots=True)
class Watch:
    """Reads the platform's telemetry. `last` is at most a second old while `start`ed; `look` reads it now."""

    environment: Environment
    load: Callable[[], Load | None]
    last: Snapshot = field(default_factory=Snapshot)
    moments: list[Moment] = field(default_factory=list)
    failure: str = ""
    _urls: Sequence[str] = ()
    _seen: dict[int, LatencyHistogram] = field(default_factory=dict)
    _greenlet: Any = None
    _began_s: float = field(default_factory=time.monotonic)
    _told_s: float = field(default_factory=time.monotonic)

    def start(self, urls: Sequence[str]) -> None:
        """Watch these instances from now on."""
        self._urls = urls
        self._greenlet = gevent.spawn(self._watch)

    def stop(self) -> None:
        """Take one last look, and no more."""
        if self._greenlet is not None:
            self._greenlet.kill()
            self._greenlet = None
            try:
                self._note(self.look())
            except TargetError as error:
                self.failure = str(error)

    def look(self) -> Snapshot:
        """Read the telemetry now; raises TargetError."""
        self.last = read_snapshot(self._urls)
        return self.last

    def _watch(self) -> None:
        while True:
            gevent.sleep(INTERVAL_S)
            try:
                self._note(self.look())
                self.failure = ""
            except TargetError as error:
                self.failure = str(error)

    def _note(self, snapshot: Snapshot) -> None:
        load = self.load()
        if load is None:
            return
        recents = {number: self._recent(snapshot, number) for number in snapshot.steps}
        for histogram in recents.values():
            add_latencies(self.environment.stats, *LINE, histogram, time.time())
        recent = recents.get(load.number, LatencyHistogram())
        moment = Moment(
            elapsed_s=round(time.monotonic() - self._began_s, 3),
            step=load.name,
            offered=load.offered,
            started=load.started,
            completed=load.completed,
            delivered=snapshot.delivered(load.number),
            backlog=load.sent - snapshot.delivered(load.number),
            queue_depth=snapshot.queue_depth,
            consumer_lag=snapshot.lag,
            uss_mb=round(snapshot.uss_bytes / 1e6, 2),
            mean_ms=round(recent.sum_us / recent.count / 1000, 3) if recent.count else None,
            max_ms=round(recent.max_us / 1000, 3) if recent.count else None,
        )
        self.moments.append(moment)
        if time.monotonic() - self._told_s >= PROGRESS_S:
            self._told_s = time.monotonic()
            logger.info(
                "benchmark.progress",
                step=moment.step,
                offered=moment.offered,
                delivered=moment.delivered,
                backlog=moment.backlog,
                mean_ms=moment.mean_ms,
            )

    def _recent(self, snapshot: Snapshot, step: int) -> LatencyHistogram:
        """What has arrived at the sink since the last look."""
        now = snapshot.steps[step].recorder.histogram("end_to_end")
        before = self._seen.get(step, LatencyHistogram())
        self._seen[step] = now
        return now.minus(before)

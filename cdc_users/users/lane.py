"""Lanes: users that take arrivals from the run's schedule and never move the next one.

One `LanePool` a process holds the shares of the current step; every `LaneUser` is one lane. A lane takes the
next arrival of the process's share, sleeps until its intended time, works, and takes the next. When all lanes
are busy the next arrival starts late, and its send delay says by how much.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import gevent
import numpy as np
from gevent.event import Event
from locust import User, task

from cdc_users.measure.clock import Anchor
from cdc_users.measure.plan import Schedule
from cdc_users.measure.recorder import Recorder
from cdc_users.workload import Ranges

# An arrival that starts later than this counts as late; a sleeping greenlet wakes well within it.
LATE_AFTER_NS = 10_000_000
# Below this a sleep costs more than it waits.
SLEEP_FLOOR_NS = 50_000
SAMPLES_PER_FLUSH = 512
LOOP_SAMPLE_NS = 20_000_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """One arrival of the plan: when it was meant to start (monotonic ns, wall us)."""

    intended_ns: int
    intended_us: int


@dataclass(slots=True)
class Tally:
    """What became of a process's share of one step; cumulative, so that the last report is the whole truth."""

    offered: int = 0
    started: int = 0
    completed: int = 0
    failed: int = 0
    dropped: int = 0
    late: int = 0
    rows: int = 0
    bytes: int = 0
    busy_s: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a process is told of a step: the plan's share and all that its lanes need, plain data on the wire."""

    run: str
    step: int
    t0_us: int
    schedule: Mapping[str, Any]
    share: int
    shares: int
    first_lane: int
    rows_per_arrival: int
    anchor: Mapping[str, Any]
    target: Mapping[str, Any]
    workload: Mapping[str, Any] = field(default_factory=dict)


class Share:
    """A process's part of one step while it runs: hands out arrivals and gathers what came of them."""

    def __init__(self, assignment: Assignment, anchor: Anchor) -> None:
        self.assignment = assignment
        self.anchor = anchor
        self.tally = Tally()
        self.recorder = Recorder()
        self.ranges: dict[int, Ranges] = {}
        self._cpu_start_s = _cpu_s()
        self.done = Event()
        self._pending: dict[str, list[int]] = {}
        self._schedule = Schedule.from_json(dict(assignment.schedule)).share(assignment.share, assignment.shares)
        self._t0_ns = anchor.monotonic_ns_at(assignment.t0_us)
        self._offsets: Iterator[int] = iter(self._schedule.offsets_ns())
        self._active = 0
        self._stopped = False
        self.tally.offered = self._schedule.count

    def take(self) -> Arrival | None:
        """The next arrival, when its intended time has come; None when there are no more.

        The schedule is absolute: a late arrival does not push the next one back. While one lane sleeps, the others
        take the arrivals that follow.
        """
        offset_ns = None if self._stopped else next(self._offsets, None)
        if offset_ns is None:
            return None
        intended_ns = self._t0_ns + offset_ns
        self._sleep_until(intended_ns)
        if self._stopped:
            return None
        self.tally.started += 1
        return Arrival(intended_ns, self.anchor.wall_us_at(intended_ns))

    def _sleep_until(self, intended_ns: int) -> None:
        while (left_ns := intended_ns - time.monotonic_ns()) > 0 and not self._stopped:
            # In slices, so that a stop is noticed; the last slice ends at the intended time.
            gevent.sleep(min(left_ns / 1e9, 0.5) if left_ns > SLEEP_FLOOR_NS else 0)

    def enter(self) -> None:
        """A lane starts to take arrivals."""
        self._active += 1

    def leave(self) -> None:
        """A lane has found no more; the last one to leave ends the share."""
        self._active -= 1
        if self._active == 0:
            self.done.set()

    def stop(self) -> None:
        """Hand out nothing more; what has started is finished by its lane."""
        self._stopped = True
        if self._active == 0:
            self.done.set()

    def record(self, intended_ns: int, started_ns: int, done_ns: int) -> None:
        """Note one completed operation in the three series."""
        delay, service = (started_ns - intended_ns) // 1000, (done_ns - started_ns) // 1000
        self._sample("send_delay", delay)
        self._sample("service", service)
        self._sample("response", delay + service)
        if started_ns - intended_ns > LATE_AFTER_NS:
            self.tally.late += 1
        self.tally.busy_s += service / 1e6

    def _sample(self, series: str, value_us: int) -> None:
        pending = self._pending.setdefault(series, [])
        pending.append(value_us)
        if len(pending) >= SAMPLES_PER_FLUSH:
            self._flush(series)

    def _flush(self, series: str) -> None:
        values = self._pending[series]
        if values:
            self.recorder.record_many_us(series, np.asarray(values, dtype=np.int64))
            values.clear()

    def report(self) -> dict[str, Any]:
        """All of it so far, as plain data."""
        for series in self._pending:
            self._flush(series)
        return {
            "cpu_s": _cpu_s() - self._cpu_start_s,
            "step": self.assignment.step,
            "share": self.assignment.share,
            "tally": {name: getattr(self.tally, name) for name in Tally.__slots__},
            "recorder": self.recorder.to_json(),
            "ranges": {str(number): ranges.runs for number, ranges in self.ranges.items()},
            "done": self.done.is_set(),
        }

    def watch_loop(self) -> None:
        """Until the share is done, sample how much later than asked this process's event loop wakes."""
        while not self.done.is_set():
            due_ns = time.monotonic_ns() + LOOP_SAMPLE_NS
            self.done.wait(LOOP_SAMPLE_NS / 1e9)
            self._sample("loop_lag", max(0, time.monotonic_ns() - due_ns) // 1000)


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system


class LanePool:
    """The shares of one process; lanes wait here for the next step."""

    def __init__(self) -> None:
        self._share: Share | None = None
        self._published = Event()
        self._lanes = 0

    @property
    def share(self) -> Share | None:
        """The current step's share, or the last one's."""
        return self._share

    def publish(self, assignment: Assignment, anchor: Anchor) -> Share:
        """Give the lanes a new step."""
        self._share = share = Share(assignment, anchor)
        published, self._published = self._published, Event()
        published.set()
        return share

    def join(self) -> int:
        """A new lane's number within this process."""
        self._lanes += 1
        return self._lanes - 1

    def reset(self) -> None:
        """Forget the lanes of a run that has ended."""
        self._lanes = 0
        self._share = None

    def steps(self) -> Iterator[Share]:
        """Each step as it comes, for one lane; never ends by itself."""
        last: Share | None = None
        while True:
            published = self._published
            if self._share is None or self._share is last:
                published.wait()
                continue
            last = self._share
            yield last


#: One a process. Workers get it by fork or by import, always empty.
POOL = LanePool()


class LaneUser(User):
    """A lane: takes arrivals from the plan and has `work` carry each out. Subclasses say what work is."""

    abstract = True

    @task
    def run_lane(self) -> None:
        """Work through one step after another until the user is stopped."""
        lane = POOL.join()
        try:
            for share in POOL.steps():
                self._run_step(share, lane)
        finally:
            self.close()

    def _run_step(self, share: Share, lane: int) -> None:
        share.enter()
        try:
            self.begin(share, share.assignment.first_lane + lane)
            while (arrival := share.take()) is not None:
                self.work(share, arrival)
        finally:
            share.leave()

    def begin(self, share: Share, lane: int) -> None:
        """A step begins; `lane` is this lane's number within the whole run."""
        raise NotImplementedError

    def work(self, share: Share, arrival: Arrival) -> None:
        """Carry out one arrival and record it; a failure is recorded, never raised."""
        raise NotImplementedError

    def close(self) -> None:
        """The lane ends: give back what it holds."""

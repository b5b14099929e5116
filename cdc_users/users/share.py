"""A process's part of one step while it runs: hands out arrivals, never moves one, and gathers
what came of them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gevent
import numpy as np
from gevent.event import Event
from gevent.lock import Semaphore
from numpy.typing import NDArray

from cdc_users.measure.clock import Anchor
from cdc_users.measure.latency.recorder import OperationLog, Recorder
from cdc_users.measure.latency.series import OWN_DELAY
from cdc_users.measure.schedule.stream import ArrivalStream
from cdc_users.users.message import Assignment, Tally, WorkerReport
from cdc_users.users.workload.workload import Ranges

# An arrival that starts later than this counts as late; a sleeping greenlet wakes well within it.
LATE_AFTER_NS = 10_000_000
# Sleeps are cut into slices, so that a stop or a changed share is noticed.
SLEEP_SLICE_S = 0.25
# If the event loop has not come round for so long, a lane whose work never waits gives way to the
# rest of the process.
GIVE_WAY_NS = 2_000_000
# Not 0: gevent runs many greenlets that slept for nothing before it looks at its timers again.
GIVE_WAY_S = 1e-6
# A shorter sleep is none: the loop polls, and takes a core from the system under test.
SHORTEST_SLEEP_S = 0.0002
# Many arrivals are taken at most this often, or each handful that has come meanwhile would cost as
# much as a batch.
GATHER_NS = 1_000_000
LOOP_SAMPLE_NS = 20_000_000
SCHEDSTAT = Path("/proc/self/schedstat")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One arrival of the plan: when it was meant to start (monotonic ns, wall us)."""

    intended_ns: int
    intended_us: int


class Share:
    """A process's part of one step.

    Lanes take turns: the first waits for the next arrival, the others for their turn, so that
    nothing is taken before it is due and a share can be changed until then.
    """

    def __init__(self, assignment: Assignment, anchor: Anchor) -> None:
        self.assignment = assignment
        self.anchor = anchor
        self.tally = Tally()
        self.recorder = Recorder()
        self.ranges: dict[int, Ranges] = {}
        self.done = Event()
        self._cpu_start_s, self._wanted_start_s = _cpu_s(), _wanted_cpu_s()
        self._log = OperationLog(self.recorder)
        self._loop_lag_us: list[int] = []
        self._own_delay_us: list[int] = []
        self.clock_bound_us: int | None = None
        self._stream = ArrivalStream(assignment.schedule, assignment.owned)
        self._t0_ns = anchor.monotonic_ns_at(assignment.t0_us)
        self._turn = Semaphore()
        self._idle = 0
        self._loop = gevent.get_hub().loop
        self._round = -1
        self._gave_way_ns = 0
        self._gathered_ns = 0
        self._active = self._entered = 0
        self._stopped_s: float | None = None
        self.tally.offered = self._stream.count

    def reassign(self, assignment: Assignment) -> None:
        """Own other parts of the same step from now on."""
        self.assignment = assignment
        self._stream = self._stream.changed(assignment.schedule, assignment.owned)
        self.tally.offered = self._stream.count

    def take(self, leaving: Callable[[], bool] = lambda: False) -> Arrival | None:
        """The next arrival, when its intended time has come;

        None when there are no more, or the lane is leaving.

        The schedule is absolute: a late arrival does not push the next one back.
        """
        free_ns, alone = self._come()
        try:
            with self._turn:
                offset_ns = self._await_due(leaving)
                if offset_ns is None:
                    return None
                self._stream.take()
        finally:
            self._idle -= 1
        intended_ns = self._t0_ns + offset_ns
        self.tally.started += 1
        now_ns = time.monotonic_ns()
        exhausted = alone and free_ns > intended_ns
        # Until a lane was free it was the system that let it wait; from then on it was us.
        self._own_delay_us.append((now_ns - (free_ns if exhausted else intended_ns)) // 1000)
        if now_ns - intended_ns > LATE_AFTER_NS:
            self.tally.late += 1
            self.tally.exhausted += exhausted
        return Arrival(intended_ns, self.anchor.wall_us_at(intended_ns))

    def take_many(
        self, limit: int, leaving: Callable[[], bool] = lambda: False
    ) -> NDArray[np.int64] | None:
        """The intended times (monotonic ns) of the arrivals that are due, at least one; else None,
        as `take`.

        For users that carry out many arrivals at once.
        """
        free_ns, alone = self._come()
        try:
            with self._turn:
                if (left_ns := self._gathered_ns + GATHER_NS - time.monotonic_ns()) > 0:
                    gevent.sleep(left_ns / 1e9)
                if self._await_due(leaving) is None:
                    return None
                self._gathered_ns = now_ns = time.monotonic_ns()
                intended_ns = self._stream.due_ns(now_ns - self._t0_ns, limit) + self._t0_ns
                self._stream.take(len(intended_ns))
        finally:
            self._idle -= 1
        self.tally.started += len(intended_ns)
        late = now_ns - intended_ns > LATE_AFTER_NS
        self.tally.late += int(late.sum())
        self.tally.exhausted += int((late & (intended_ns < free_ns)).sum()) if alone else 0
        since_ns = np.maximum(intended_ns, free_ns) if alone else intended_ns
        self.recorder.record_many_us(OWN_DELAY.name, (now_ns - since_ns) // 1000)
        return intended_ns

    def wall_us(self, intended_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Intended times as they travel in rows: wall microseconds."""
        wall_us: NDArray[np.int64] = (
            self.anchor.wall_us + (intended_ns - self.anchor.monotonic_ns) // 1000
        )
        return wall_us

    def _come(self) -> tuple[int, bool]:
        """A lane has become free: when, and whether no other one is."""
        now_ns = time.monotonic_ns()
        if self._loop.iteration != self._round:
            self._round, self._gave_way_ns = self._loop.iteration, now_ns
        elif now_ns - self._gave_way_ns > GIVE_WAY_NS:
            gevent.sleep(GIVE_WAY_S)
        self._idle += 1
        return now_ns, self._idle == 1

    def _await_due(self, leaving: Callable[[], bool]) -> int | None:
        """Wait until the next arrival is due and return its offset; drop those that are too late
        if that is wanted.
        """
        while self._stopped_s is None and not leaving():
            offset_ns = self._stream.peek_ns()
            if offset_ns is None:
                return None
            left_ns = self._t0_ns + offset_ns - time.monotonic_ns()
            if left_ns > 0:
                gevent.sleep(min(max(left_ns / 1e9, SHORTEST_SLEEP_S), SLEEP_SLICE_S))
            elif (
                self.assignment.drop_after_s is None
                or -left_ns <= self.assignment.drop_after_s * 1e9
            ):
                return offset_ns
            else:
                self._stream.take()
                self.tally.dropped += 1
                self.recorder.histogram("dropped").record_us(-left_ns // 1000)
        return None

    def enter(self) -> int:
        """A lane starts to take arrivals: its number within the whole run, which no other lane of
        this step has.
        """
        self._active += 1
        self._entered += 1
        return self.assignment.first_lane + self._entered - 1

    def leave(self) -> None:
        """A lane has found no more; the last one to leave ends the share."""
        self._active -= 1
        if self._active == 0:
            self.done.set()

    def stop(self) -> None:
        """Hand out nothing more; what has started is finished by its lane."""
        if self._stopped_s is None:
            self._stopped_s = time.monotonic()
        if self._active == 0:
            self.done.set()

    def grace_left_s(self, grace_s: float) -> float:
        """What is left of the time that lanes have for what they have started: it begins with the
        stop, where there was one.
        """
        if self._stopped_s is None:
            return grace_s
        return max(0.0, self._stopped_s + grace_s - time.monotonic())

    def record(
        self,
        intended_ns: int,
        started_ns: int,
        done_ns: int,
        operation: str = "",
        *,
        failed: bool = False,
    ) -> None:
        """Note the times of one arrival that was carried out, or failed; the caller counts it in
        `tally`.

        `operation` names it where there are several kinds.
        """
        self._log.add(intended_ns, started_ns, done_ns, operation, failed=failed)

    def record_many(
        self,
        intended_ns: NDArray[np.int64],
        started_ns: NDArray[np.int64] | int,
        done_ns: NDArray[np.int64] | int,
        operation: str = "",
        *,
        failed: bool = False,
    ) -> None:
        """The same for many arrivals."""
        self._log.add_many(intended_ns, started_ns, done_ns, operation, failed=failed)

    def note_error(self, text: str, count: int = 1) -> None:
        """Count a failure's cause."""
        self.tally.errors[text] = self.tally.errors.get(text, 0) + count

    def report(self) -> WorkerReport:
        """All of it so far."""
        self._log.flush()
        self.tally.busy_s = self._log.busy_ns / 1e9
        self.recorder.record_many_us("loop_lag", np.array(self._loop_lag_us, dtype=np.int64))
        self._loop_lag_us.clear()
        own_us = np.array(self._own_delay_us, dtype=np.int64)
        self.recorder.record_many_us(OWN_DELAY.name, own_us)
        self._own_delay_us.clear()
        return WorkerReport(
            run=self.assignment.run,
            token=self.assignment.token,
            step=self.assignment.step,
            share=self.assignment.share,
            tally=self.tally,
            series=self.recorder.encode(),
            ranges={number: ranges.runs for number, ranges in self.ranges.items()},
            cpu_s=_cpu_s() - self._cpu_start_s,
            wanted_cpu_s=_wanted_cpu_s() - self._wanted_start_s,
            done=self.done.is_set(),
            clock_bound_us=self.clock_bound_us,
        )

    def watch_loop(self) -> None:
        """Until the share is done, sample how much later than asked this process's event loop
        wakes.
        """
        while not self.done.is_set():
            due_ns = time.monotonic_ns() + LOOP_SAMPLE_NS
            self.done.wait(LOOP_SAMPLE_NS / 1e9)
            self._loop_lag_us.append(max(0, time.monotonic_ns() - due_ns) // 1000)


def _wanted_cpu_s() -> float:
    """Seconds that this process' event loop ran or stood in the queue for a processor, which
    others had.

    Linux' schedstat (kernel documentation, scheduler/sched-stats) has both in nanoseconds;
    elsewhere it is the former.
    """
    try:
        ran_ns, waited_ns, _ = SCHEDSTAT.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return _cpu_s()
    return (int(ran_ns) + int(waited_ns)) / 1e9


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system

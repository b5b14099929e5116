"""A process's part of one step while it runs: hands out arrivals when they are due, and gathers
their outcomes.
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

# An arrival that starts later than this counts as late; sleeping greenlets wake up sooner.
LATE_AFTER_NS = 10_000_000
# Sleeps are cut into slices, so that a lane notices a stop or a changed share.
SLEEP_SLICE_S = 0.25
# If the event loop has not run for this long, a lane whose work never waits yields to the rest of
# the process.
GIVE_WAY_NS = 2_000_000
# Not 0: after sleep(0), gevent runs many greenlets before it looks at its timers again.
GIVE_WAY_S = 1e-6
# Shorter sleeps are left out: they make the loop poll, and take a core from the tested system.
SHORTEST_SLEEP_S = 0.0002
# Many arrivals are taken at most this often, because taking a handful costs as much as taking a
# batch.
GATHER_NS = 1_000_000
LOOP_SAMPLE_NS = 20_000_000
SCHEDSTAT = Path("/proc/self/schedstat")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One arrival of the plan: its intended time as monotonic ns and as wall us."""

    intended_ns: int
    intended_us: int


class Share:
    """A process's part of one step.

    Lanes take turns: the first one waits for the next arrival, and the others wait for their turn.
    So no arrival is taken before it is due, and until then the share can be changed.
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
        """Replace the parts of the current step that this process owns."""
        self.assignment = assignment
        self._stream = self._stream.changed(assignment.schedule, assignment.owned)
        self.tally.offered = self._stream.count

    def take(self, leaving: Callable[[], bool] = lambda: False) -> Arrival | None:
        """The next arrival, once its intended time has come; None if there are no more, or the lane
        is leaving.

        The schedule is absolute: a late arrival does not move the next one back.
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
        # Until a lane was free, the system caused the delay; from then on, the harness did.
        self._own_delay_us.append((now_ns - (free_ns if exhausted else intended_ns)) // 1000)
        if now_ns - intended_ns > LATE_AFTER_NS:
            self.tally.late += 1
            self.tally.exhausted += exhausted
        return Arrival(intended_ns, self.anchor.wall_us_at(intended_ns))

    def take_many(
        self, limit: int, leaving: Callable[[], bool] = lambda: False
    ) -> NDArray[np.int64] | None:
        """The intended times (monotonic ns) of the arrivals that are due, one at least; None as in
        `take`.

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
        """Intended times in wall microseconds, as probes have them."""
        wall_us: NDArray[np.int64] = (
            self.anchor.wall_us + (intended_ns - self.anchor.monotonic_ns) // 1000
        )
        return wall_us

    def _come(self) -> tuple[int, bool]:
        """A lane has become free: returns when, and whether it is the only free one."""
        now_ns = time.monotonic_ns()
        if self._loop.iteration != self._round:
            self._round, self._gave_way_ns = self._loop.iteration, now_ns
        elif now_ns - self._gave_way_ns > GIVE_WAY_NS:
            gevent.sleep(GIVE_WAY_S)
        self._idle += 1
        return now_ns, self._idle == 1

    def _await_due(self, leaving: Callable[[], bool]) -> int | None:
        """Wait until the next arrival is due and return its offset; drop arrivals that are too
        late, if the options say so.
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
        """A lane starts to take arrivals; returns its number, which no other lane of the whole run
        has in this step.
        """
        self._active += 1
        self._entered += 1
        return self.assignment.first_lane + self._entered - 1

    def leave(self) -> None:
        """A lane has found no more arrivals; the last lane to leave ends the share."""
        self._active -= 1
        if self._active == 0:
            self.done.set()

    def stop(self) -> None:
        """Hand out no more arrivals; lanes finish the ones that they have started."""
        if self._stopped_s is None:
            self._stopped_s = time.monotonic()
        if self._active == 0:
            self.done.set()

    def grace_left_s(self, grace_s: float) -> float:
        """The rest of the time that lanes have to finish what they started; it begins with the
        stop, if there was one.
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
        """Record the times of one arrival that was carried out or failed; the caller counts it in
        `tally`.

        `operation` names its kind if there are several.
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
        """Record the times of many arrivals, as `record` does for one."""
        self._log.add_many(intended_ns, started_ns, done_ns, operation, failed=failed)

    def note_error(self, text: str, count: int = 1) -> None:
        """Count a failure's cause."""
        self.tally.errors[text] = self.tally.errors.get(text, 0) + count

    def report(self) -> WorkerReport:
        """Everything so far, as a report."""
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
        """Until the share is done, sample how much later than asked this process's event loop wakes
        up.
        """
        while not self.done.is_set():
            due_ns = time.monotonic_ns() + LOOP_SAMPLE_NS
            self.done.wait(LOOP_SAMPLE_NS / 1e9)
            self._loop_lag_us.append(max(0, time.monotonic_ns() - due_ns) // 1000)


def _wanted_cpu_s() -> float:
    """Seconds that this process's event loop ran, or waited for a processor.

    Linux's schedstat (kernel documentation, scheduler/sched-stats) has both in nanoseconds; other
    systems give only the time that it ran.
    """
    try:
        ran_ns, waited_ns, _ = SCHEDSTAT.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return _cpu_s()
    return (int(ran_ns) + int(waited_ns)) / 1e9


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system

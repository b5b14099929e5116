"""A locustfile whose system freezes for a second: what do lanes say of it, and what Locust's own
pacing?

FROZEN_USER picks the class, FROZEN_RESULT names the file for what was measured. No stack is needed.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import gevent
from locust import LoadTestShape, User, constant_throughput, events, task
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner
from msgspec.structs import asdict

from cdc_users.measure.clock import new_anchor
from cdc_users.measure.latency.recorder import Recorder
from cdc_users.measure.schedule.plan import Schedule, first_parts
from cdc_users.run.locust import stats
from cdc_users.run.locust.messages import Messenger, listen_as_lanes, listen_as_master
from cdc_users.users.lane import Arrival, Assignment, LaneUser, Share
from cdc_users.users.message import WorkerReport

RATE_PER_S = 1000
DURATION_S = 4.0
#: When the system freezes after the start, and for how long.
FREEZE_AT_S, FREEZE_S = 1.5, 1.0
LANES = 10
LEAD_S = 1.0
ANCHOR = new_anchor()


def system(freeze_ns: int) -> None:
    """What is loaded: it answers at once, unless it is frozen."""
    left_ns = freeze_ns + round(FREEZE_S * 1e9) - time.monotonic_ns()
    if 0 < left_ns <= FREEZE_S * 1e9:
        gevent.sleep(left_ns / 1e9)


class FrozenLane(LaneUser):
    """Loads the system by the plan."""

    abstract = os.environ["FROZEN_USER"] != "FrozenLane"

    def begin(self, share: Share, lane: int) -> None:  # noqa: ARG002 - all lanes do the same
        self._freeze_ns = share.anchor.monotonic_ns_at(
            share.assignment.t0_us + round(FREEZE_AT_S * 1e6)
        )

    def work(self, share: Share, arrival: Arrival) -> None:
        started_ns = time.monotonic_ns()
        system(self._freeze_ns)
        done_ns = time.monotonic_ns()
        share.tally.completed += 1
        share.record(arrival.intended_ns, started_ns, done_ns)
        tell(self.environment, (done_ns - arrival.intended_ns) / 1e6)


class FrozenLoop(User):
    """Loads the system with Locust's own constant_throughput."""

    abstract = os.environ["FROZEN_USER"] != "FrozenLoop"
    wait_time = constant_throughput(RATE_PER_S / LANES)
    freeze_ns = 0

    @task
    def work(self) -> None:
        if not FrozenLoop.freeze_ns:
            FrozenLoop.freeze_ns = time.monotonic_ns() + round(FREEZE_AT_S * 1e9)
        started_ns = time.monotonic_ns()
        system(FrozenLoop.freeze_ns)
        tell(self.environment, (time.monotonic_ns() - started_ns) / 1e6)


def tell(environment: Any, response_ms: float) -> None:
    environment.events.request.fire(
        request_type="FROZEN",
        name="work",
        response_time=response_ms,
        response_length=0,
        exception=None,
        context={},
    )


class FrozenShape(LoadTestShape):
    """The lanes, until every process has reported that it is done."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.reports: dict[str, WorkerReport] = {}
        self.workers: list[str] = []
        self.began_s = 0.0

    def tick(self) -> tuple[int, float] | None:
        assert self.runner is not None
        if FrozenLane.abstract:
            self.began_s = self.began_s or time.monotonic()
            return None if time.monotonic() - self.began_s > DURATION_S else (LANES, 100)
        done = self.workers and all(
            worker in self.reports and self.reports[worker].done for worker in self.workers
        )
        if not self.workers and self.runner.user_count >= LANES:
            self.workers = Messenger(self.runner).workers()
            gevent.spawn(announce, self)
        return None if done else (LANES, 100)


def announce(shape: FrozenShape) -> None:
    assert shape.runner is not None
    messenger, schedule = Messenger(shape.runner), Schedule.constant(RATE_PER_S, DURATION_S)
    t0_us = ANCHOR.now_us() + round(LEAD_S * 1e6)
    for number, (worker, parts) in enumerate(first_parts(schedule, shape.workers).items()):
        assignment = Assignment(
            run="frozen00",
            step=1,
            t0_us=t0_us,
            schedule=schedule,
            share=number,
            shares=len(shape.workers),
            first_lane=number * 100,
            rows_per_arrival=1,
            anchor=ANCHOR,
            parts=parts,
        )
        messenger.assign(worker, assignment)


def register(environment: Environment, **_: Any) -> None:
    stats.install()
    runner, shape = environment.runner, environment.shape_class
    assert runner is not None
    if not isinstance(runner, MasterRunner):
        listen_as_lanes(runner)
    if isinstance(shape, FrozenShape) and not isinstance(runner, WorkerRunner):
        listen_as_master(runner, lambda worker, report: shape.reports.update({worker: report}))


def write(environment: Environment, **_: Any) -> None:
    """What this side of the run knows in the end; workers have told the master."""
    if isinstance(environment.runner, WorkerRunner):
        return
    assert isinstance(environment.shape_class, FrozenShape)
    merged = Recorder()
    for report in environment.shape_class.reports.values():
        merged.merge(Recorder([report.series]))
    total = environment.stats.total
    found = {
        "locust": {"count": total.num_requests, "p99": total.get_response_time_percentile(0.99)},
        "tallies": [asdict(report.tally) for report in environment.shape_class.reports.values()],
        "series": {name: series.summary_ms() for name, series in merged.series.items()},
    }
    Path(os.environ["FROZEN_RESULT"]).write_text(json.dumps(found), encoding="utf-8")


# Locust's hooks have no types.
HOOKS: Any = events
HOOKS.init.add_listener(register)
HOOKS.quitting.add_listener(write)

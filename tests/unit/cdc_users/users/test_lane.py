"""Lanes take arrivals from the plan and never move the next one."""

from __future__ import annotations

import time
from typing import Any

import gevent
import numpy as np
import pytest
from gevent.pool import Group
from locust.env import Environment
from msgspec.structs import replace

from cdc_users.measure.clock import new_anchor
from cdc_users.measure.schedule.plan import Schedule, SchedulePart
from cdc_users.users.carried import carried
from cdc_users.users.lane import Arrival, Assignment, LanePool, LaneUser, Share

pytestmark = pytest.mark.gevent

ANCHOR = new_anchor()


def assignment_of(schedule: Schedule, start_in_us: int = 20_000, **changes: Any) -> Assignment:
    assignment = Assignment(
        run="abcd1234",
        step=1,
        t0_us=ANCHOR.now_us() + start_in_us,
        schedule=schedule,
        share=0,
        shares=1,
        first_lane=0,
        rows_per_arrival=1,
        anchor=ANCHOR,
    )
    return replace(assignment, **changes)


def share_of(schedule: Schedule, start_in_us: int = 20_000, **changes: Any) -> Share:
    return Share(assignment_of(schedule, start_in_us, **changes), ANCHOR)


def drain(share: Share, taken: list[int], work_s: float | None = None) -> None:
    share.enter()
    while (arrival := share.take()) is not None:
        started_ns = time.monotonic_ns()
        taken.append(arrival.intended_us)
        if work_s is not None:
            gevent.sleep(work_s)
        share.tally.completed += 1
        share.record(arrival.intended_ns, started_ns, time.monotonic_ns())
    share.leave()


def test_intended_times_are_the_plans_even_when_a_lane_was_late() -> None:
    share = share_of(Schedule.constant(1000, 0.05), start_in_us=-1_000_000)
    taken: list[int] = []

    drain(share, taken)

    expected = [
        share.assignment.t0_us + offset // 1000
        for offset in Schedule.constant(1000, 0.05).offsets_ns()
    ]
    assert taken == expected
    assert share.tally.late == share.tally.started == 50


def test_lanes_together_take_every_arrival_once() -> None:
    share = share_of(Schedule.constant(2000, 0.1))
    taken: list[int] = []

    gevent.joinall([gevent.spawn(drain, share, taken) for _ in range(4)])

    assert len(taken) == len(set(taken)) == 200
    assert share.done.is_set()
    assert share.tally.started == share.tally.offered == 200


def test_no_arrival_starts_before_its_time() -> None:
    share = share_of(Schedule.constant(500, 0.05))
    early = []
    while (arrival := share.take()) is not None:
        early.append(arrival.intended_ns - time.monotonic_ns())

    assert max(early) <= 0


def test_a_stopped_share_hands_out_nothing_more() -> None:
    share = share_of(Schedule.constant(0.1, 100))
    share.enter()
    assert share.take() is not None
    gevent.spawn_later(0.05, share.stop)

    assert share.take() is None
    share.leave()
    assert share.done.is_set()


def test_a_lane_that_is_started_anew_gets_a_number_that_nobody_in_this_step_had() -> None:
    first, second = (
        share_of(Schedule.volume(1), first_lane=40),
        share_of(Schedule.volume(1), first_lane=7),
    )

    numbers = [first.enter(), first.enter()]
    first.leave()

    assert [*numbers, first.enter()] == [40, 41, 42]
    assert second.enter() == 7


def test_a_lane_that_is_killed_while_it_waits_leaves_its_arrival_to_the_others() -> None:
    share = share_of(Schedule.volume(1), start_in_us=200_000)
    taken: list[int] = []
    first = gevent.spawn(drain, share, [])
    second = gevent.spawn(drain, share, taken)
    gevent.sleep(0)

    first.kill()
    second.join()

    assert len(taken) == 1


def test_what_is_too_late_is_dropped_and_counted_where_that_is_asked_for() -> None:
    share = share_of(Schedule.constant(1000, 1), start_in_us=-500_000, drop_after_s=0.05)
    taken: list[int] = []

    gevent.joinall([gevent.spawn(drain, share, taken) for _ in range(4)])

    report = share.report()
    assert report.tally.dropped >= 450
    assert report.tally.dropped + len(taken) == 1000
    assert share.recorder.histogram("response").count + report.tally.dropped == 1000


def test_lanes_that_run_out_are_counted() -> None:
    busy = share_of(Schedule.constant(1000, 0.1))
    gevent.joinall([gevent.spawn(drain, busy, [], 0.01) for _ in range(2)])
    idle = share_of(Schedule.constant(50, 0.1))
    gevent.joinall([gevent.spawn(drain, idle, [], 0) for _ in range(8)])

    assert busy.tally.exhausted > 50
    assert idle.tally.exhausted == 0
    assert busy.report().tally.busy_s >= 1.0


def test_a_lane_whose_work_never_waits_does_not_stop_the_process() -> None:
    share = share_of(Schedule.volume(100_000))
    ticks: list[int] = []

    def tick() -> None:
        while not share.done.is_set():
            ticks.append(share.tally.started)
            gevent.sleep(0.001)

    gevent.joinall([gevent.spawn(drain, share, []), gevent.spawn(tick)])

    assert sum(0 < started < 100_000 for started in ticks) > 3


def test_many_arrivals_that_are_due_are_taken_at_once() -> None:
    schedule = Schedule.constant(1000, 0.3)
    share = share_of(schedule, start_in_us=-100_000)
    sizes, taken = [], []
    while (intended_ns := share.take_many(64)) is not None:
        assert intended_ns.max() <= time.monotonic_ns()
        sizes.append(len(intended_ns))
        taken += share.wall_us(intended_ns).tolist()
        share.record_many(intended_ns, time.monotonic_ns(), time.monotonic_ns())

    assert taken == [share.assignment.t0_us + offset // 1000 for offset in schedule.offsets_ns()]
    assert sizes[0] == 64
    assert share.report().tally.started == 300
    assert share.recorder.histogram("response").count == 300


def test_a_share_that_changes_in_mid_step_hands_out_what_it_owns_then() -> None:
    schedule = Schedule.constant(1000, 0.4)
    pool = LanePool()
    assignment = assignment_of(schedule, parts=(SchedulePart(0, 400, 0, 2),))
    share = pool.publish(assignment, ANCHOR)
    assert share is not None
    taken: list[int] = []
    lanes = [gevent.spawn(drain, share, taken) for _ in range(4)]
    gevent.sleep(0.05)

    changed = replace(assignment, parts=(SchedulePart(0, 200, 0, 2), SchedulePart(200, 400, 1, 3)))
    assert pool.publish(changed, ANCHOR) is None
    gevent.joinall(lanes)

    offsets = [offset // 1000 + assignment.t0_us for offset in schedule.offsets_ns()]
    assert taken == offsets[:200:2] + offsets[201::3]
    assert share.tally.offered == share.tally.started == len(taken)


def test_a_share_that_was_cut_too_late_shows_in_the_counts() -> None:
    share = share_of(Schedule.volume(100))
    taken: list[int] = []
    share.enter()
    for _ in range(50):
        assert share.take() is not None

    share.reassign(replace(share.assignment, parts=(SchedulePart(0, 10, 0, 1),)))
    drain(share, taken)

    assert taken == []
    assert share.tally.started > share.tally.offered


def test_samples_count_what_was_started_also_where_it_failed() -> None:
    share = share_of(Schedule.volume(3))
    share.record(0, 1000, 2000, "insert")
    share.record(0, 1000, 3000, "update")
    share.record_many(np.array([0, 0], np.int64), 1000, np.array([4000, 5000]), failed=True)

    share.report()

    counts = {name: series.count for name, series in share.recorder.series.items() if series.count}
    assert counts == {
        "send_delay": 4,
        "service": 2,
        "response": 2,
        "response.insert": 1,
        "response.update": 1,
        "failed": 2,
    }


@pytest.mark.parametrize("size", [1, 5000])
def test_a_log_of_operations_says_the_same_one_by_one_and_in_bulk(size: int) -> None:
    one, many = share_of(Schedule.volume(1)), share_of(Schedule.volume(1))
    times = np.arange(size, dtype=np.int64) * 1_000_000

    for intended_ns in times.tolist():
        one.record(intended_ns, intended_ns + 2000, intended_ns + 9000)
    many.record_many(times, times + 2000, times + 9000)

    assert one.report().series == many.report().series


class SlowLane(LaneUser):
    """Works long enough to be interrupted."""

    begun = False

    def begin(self, share: Share, lane: int) -> None:
        pass

    def work(self, share: Share, arrival: Arrival) -> None:  # noqa: ARG002 - all take as long
        self.begun = True
        gevent.sleep(0.1)
        share.tally.completed += 1


def test_a_lane_that_is_to_go_finishes_its_arrival_and_leaves_the_rest_to_others() -> None:
    environment, group = Environment(user_classes=[SlowLane]), Group()
    pool = carried(environment, LanePool)
    share = pool.publish(
        assignment_of(Schedule.volume(5), parts=(SchedulePart(0, 5, 0, 1),)), ANCHOR
    )
    assert share is not None
    leaver, stayer = SlowLane(environment), SlowLane(environment)
    for user in (leaver, stayer):
        user.start(group)
    while not leaver.begun:
        gevent.sleep(0.01)

    leaver.stop(force=True)
    assert leaver._greenlet is not None
    leaver._greenlet.join()

    assert share.done.wait(10)
    assert (share.tally.started, share.tally.completed, share.tally.failed) == (5, 5, 0)
    group.kill()


def test_a_share_that_was_stopped_gives_its_lanes_only_what_is_left_of_their_grace() -> None:
    share = share_of(Schedule.volume(5))
    assert share.grace_left_s(10.0) == 10.0

    share.stop()
    first_s = share.grace_left_s(10.0)
    gevent.sleep(0.02)
    share.stop()

    assert 0.0 < share.grace_left_s(10.0) < first_s <= 10.0
    assert share.grace_left_s(0.01) == 0.0

"""Lanes take arrivals from the plan and never move the next one."""

from __future__ import annotations

import time

import gevent

from cdc_users.measure.clock import new_anchor
from cdc_users.measure.plan import Schedule
from cdc_users.users.lane import Assignment, Share

ANCHOR = new_anchor()


def share_of(schedule: Schedule, start_in_us: int = 20_000) -> Share:
    assignment = Assignment(
        run="abcd1234",
        step=1,
        t0_us=ANCHOR.now_us() + start_in_us,
        schedule=schedule.to_json(),
        share=0,
        shares=1,
        first_lane=0,
        rows_per_arrival=1,
        anchor=ANCHOR.to_json(),
        target={},
    )
    return Share(assignment, ANCHOR)


def drain(share: Share, taken: list[int]) -> None:
    share.enter()
    while (arrival := share.take()) is not None:
        taken.append(arrival.intended_us)
    share.leave()


def test_intended_times_are_the_plans_even_when_a_lane_was_late() -> None:
    share = share_of(Schedule.constant(1000, 0.05), start_in_us=-1_000_000)
    taken: list[int] = []

    drain(share, taken)

    expected = [share.assignment.t0_us + offset // 1000 for offset in Schedule.constant(1000, 0.05).offsets_ns()]
    assert taken == expected


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

"""Schedules are pure functions: exact, and divided without gap or overlap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.schedule.plan import (
    LoadStage,
    PlanError,
    Schedule,
    SchedulePart,
    first_parts,
    next_parts,
    parse_duration,
    parse_rate,
    parse_stages,
)
from cdc_users.measure.wire import decode, encode

rates = st.sampled_from([0.3, 1.0, 7.0, 100.0, 333.3])
seeds = st.none() | st.integers(0, 5)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    if draw(st.booleans()):
        return Schedule.volume(draw(st.integers(1, 300)))
    planned = draw(
        st.lists(
            st.builds(LoadStage, rates, rates, st.sampled_from([0.5, 2.0])), min_size=1, max_size=3
        )
    )
    try:
        return Schedule.staged(planned, draw(seeds))
    except PlanError:
        return Schedule.constant(100, 1)


@given(schedules(), st.integers(1, 9))
def test_shares_together_are_the_whole(schedule: Schedule, of: int) -> None:
    parts = [offset for index in range(of) for offset in schedule.share(index, of).offsets_ns()]

    assert sorted(parts) == list(schedule.offsets_ns())


@given(schedules(), st.integers(1, 4), st.integers(1, 4), st.data())
def test_a_share_of_a_share_is_where_the_whole_has_it(
    schedule: Schedule, a: int, b: int, data: st.DataObject
) -> None:
    outer = data.draw(st.integers(0, a - 1))
    inner = data.draw(st.integers(0, b - 1))

    whole = list(schedule.offsets_ns())

    assert list(schedule.share(outer, a).share(inner, b).offsets_ns()) == whole[outer::a][inner::b]


@given(schedules())
def test_arrivals_come_in_order_and_within_their_stages(schedule: Schedule) -> None:
    offsets = list(schedule.offsets_ns())

    assert len(offsets) == schedule.count
    assert offsets == sorted(offsets)
    assert offsets[0] >= 0
    assert offsets[-1] <= round(schedule.duration_s * 1e9)


@given(schedules(), st.data())
def test_one_arrival_alone_is_where_the_list_has_it(
    schedule: Schedule, data: st.DataObject
) -> None:
    number = data.draw(st.integers(0, schedule.count - 1))

    assert schedule.offset_ns(number) == list(schedule.offsets_ns())[number]


def test_an_arrival_is_where_the_rate_puts_it_however_many_came_before() -> None:
    schedule = Schedule.constant(3, 1_000_000)

    assert schedule.offset_ns(2_999_999) == round(2_999_999 * 1e9 / 3)


def test_a_volume_is_due_at_once() -> None:
    assert set(Schedule.volume(100).offsets_ns()) == {0}


@pytest.mark.parametrize(
    ("start", "end"), [(0.0, 200.0), (100.0, 300.0), (300.0, 100.0), (200.0, 0.0)]
)
def test_a_ramp_has_come_as_far_as_its_integral_says(start: float, end: float) -> None:
    schedule = Schedule.staged([LoadStage(start, end, 10.0)])

    for number in (1, 250, schedule.count // 2, schedule.count - 1):
        t_s = schedule.offset_ns(number) / 1e9
        assert start * t_s + (end - start) / 20 * t_s**2 == pytest.approx(number, abs=1e-3)


def test_each_stage_begins_where_the_one_before_it_ended() -> None:
    schedule = Schedule.staged(
        [LoadStage(100, 100, 1.0), LoadStage(100, 300, 2.0), LoadStage(10, 10, 1.0)]
    )

    offsets_s = np.array(list(schedule.offsets_ns())) / 1e9
    assert schedule.count == 510
    assert [
        int(((offsets_s >= a) & (offsets_s < b)).sum()) for a, b in ((0, 1), (1, 3), (3, 4))
    ] == [100, 400, 10]
    assert [(mark.offset_s, mark.name) for mark in schedule.marks()] == [
        (0.0, "100-per-s"),
        (1.0, "100-to-300-per-s"),
        (3.0, "10-per-s"),
    ]


def test_a_poisson_process_has_exponential_distances_and_the_rate_asked_for() -> None:
    schedule = Schedule.constant(1000, 20, seed=7)

    distances_s = np.diff(np.array(list(schedule.offsets_ns()))) / 1e9
    # Five standard deviations of 20,000 draws; an exponential's deviation equals its mean.
    assert abs(schedule.count - 20_000) < 5 * 20_000**0.5
    assert distances_s.mean() == pytest.approx(0.001, rel=0.036)
    assert distances_s.std() == pytest.approx(0.001, rel=0.05)


def test_a_poisson_process_follows_its_seed_alone() -> None:
    one = Schedule.constant(5000, 3, seed=1)

    assert list(Schedule.constant(5000, 3, seed=1).offsets_ns()) == list(one.offsets_ns())
    assert list(Schedule.constant(5000, 3, seed=2).offsets_ns()) != list(one.offsets_ns())


def test_a_poisson_process_over_a_ramp_thickens_with_it() -> None:
    schedule = Schedule.staged([LoadStage(0, 2000, 10.0)], seed=3)

    offsets_s = np.array(list(schedule.offsets_ns())) / 1e9
    assert (offsets_s < 5).sum() / schedule.count == pytest.approx(0.25, abs=0.03)


@given(schedules(), st.integers(1, 5))
def test_a_schedule_survives_the_wire(schedule: Schedule, of: int) -> None:
    share = schedule.share(0, of)

    assert decode(encode(share), Schedule, "the master") == share


@given(schedules(), st.integers(-(10**9), 10**10))
def test_the_first_arrival_from_an_offset_on_is_found(schedule: Schedule, offset_ns: int) -> None:
    number = schedule.number_at(offset_ns)

    assert number == sum(offset < offset_ns for offset in schedule.offsets_ns())


@given(schedules(), st.data())
def test_owners_change_in_mid_step_without_an_arrival_lost_or_done_twice(
    schedule: Schedule, data: st.DataObject
) -> None:
    names = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True)
    parts = first_parts(schedule, data.draw(names)[: schedule.count])
    end_ns = round(schedule.duration_s * 1e9)
    for offset_ns in sorted(data.draw(st.lists(st.integers(0, end_ns), max_size=3))):
        parts = next_parts(schedule, parts, data.draw(names), offset_ns)

    numbers = [
        number
        for owned in parts.values()
        for part in owned
        for number in range(part.begin + part.index, part.end, part.of)
    ]
    assert sorted(numbers) == list(range(schedule.count))
    offsets = [
        list(part.select(schedule).offsets_ns()) for owned in parts.values() for part in owned
    ]
    assert sorted(offset for some in offsets for offset in some) == list(schedule.offsets_ns())


def test_who_leaves_keeps_what_is_due_before_and_who_comes_gets_what_follows() -> None:
    schedule = Schedule.constant(100, 10)

    parts = next_parts(schedule, first_parts(schedule, ["a", "b"]), ["b", "c"], 5_000_000_000)

    assert parts == {
        "a": (SchedulePart(0, 500, 0, 2),),
        "b": (SchedulePart(0, 500, 1, 2), SchedulePart(500, 1000, 0, 2)),
        "c": (SchedulePart(500, 1000, 1, 2),),
    }


def test_more_workers_than_arrivals_are_refused() -> None:
    with pytest.raises(PlanError, match="3 workers are more than 2 arrivals"):
        first_parts(Schedule.volume(2), ["a", "b", "c"])


@pytest.mark.parametrize(("text", "rate"), [("1000", 1000.0), ("0.5/s", 0.5), (" 20/s", 20.0)])
def test_rates_are_read(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "0", "-0", "-3", "nan", "inf", "1e9"])
def test_a_rate_that_makes_no_sense_is_named_in_the_error(text: str) -> None:
    with pytest.raises(PlanError, match=r"rate|must be above"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30.0), ("1.5m", 90.0), ("1h", 3600.0)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["3", "s", "-1s", "0s", "1d"])
def test_a_duration_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match=r"duration|longer"):
        parse_duration(text)


def test_stages_are_read() -> None:
    assert parse_stages("warmup:100:5s, 500/s:30s,500/s->2000/s:1m") == (
        LoadStage(100, 100, 5.0, warm_up=True),
        LoadStage(500, 500, 30.0),
        LoadStage(500, 2000, 60.0),
    )


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("", "RATE:DURATION"),
        ("500/s", "RATE:DURATION"),
        ("500/s:", "not a duration"),
        ("fast:3s", "not a rate"),
        ("-5/s:3s", "above 0"),
        ("500/s->:3s", "not a rate"),
        ("->500/s:3s", "RATE:DURATION"),
        ("500/s:3s,", "RATE:DURATION"),
        ("0/s:3s", "makes no arrival"),
        ("warmup:5/s:3s", "nothing but warm-up"),
    ],
)
def test_stages_that_make_no_sense_are_refused(text: str, remedy: str) -> None:
    with pytest.raises(PlanError, match=remedy):
        parse_stages(text)


def test_a_schedule_without_arrivals_is_refused() -> None:
    with pytest.raises(PlanError, match="no arrival"):
        Schedule.constant(0.1, 1)

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


def test_a_stage_without_arrivals_is_a_pause() -> None:
    schedule = Schedule.staged(
        [LoadStage(100, 100, 1.0), LoadStage(0, 0, 5.0), LoadStage(100, 100, 1.0)]
    )

    assert [schedule.offset_ns(number) for number in (99, 100, 101)] == [
        990_000_000,
        6_000_000_000,
        6_010_000_000,
    ]
    assert schedule.duration_s == 7.0
    assert schedule.rate_per_s == pytest.approx(200 / 7)


def test_what_one_stage_leaves_of_an_arrival_is_the_next_ones() -> None:
    """Of 0.3/s a whole arrival takes longer than the three seconds of a stage."""
    schedule = Schedule.staged([LoadStage(0.3, 0.3, 3.0)] * 3)

    assert [round(offset / 1e9, 3) for offset in schedule.offsets_ns()] == [0.0, 3.333, 6.667]


def test_stages_have_the_names_of_their_rates() -> None:
    assert LoadStage(500, 500, 1.0).name == "500-per-s"
    assert LoadStage(0.5, 2000, 1.0).name == "0.5-to-2000-per-s"
    assert LoadStage(1e6, 1e6, 1.0, warm_up=True).name == "warm-up-1000000-per-s"
    assert LoadStage(100, 300, 2.5).arrivals == 500


def test_a_burst_has_neither_rate_nor_duration_nor_marks() -> None:
    burst = Schedule.volume(3)

    assert (burst.rate_per_s, burst.duration_s, burst.marks()) == (0.0, 0, ())
    assert (burst.number_at(0), burst.number_at(1)) == (0, 3)


@pytest.mark.parametrize("count", [0, -1])
def test_a_volume_of_nothing_is_refused(count: int) -> None:
    with pytest.raises(PlanError, match=f"{count} arrivals"):
        Schedule.volume(count)
    assert Schedule.volume(1).count == 1


def test_more_than_can_be_drawn_by_chance_is_refused_and_evenly_spaced_it_is_not() -> None:
    assert Schedule.constant(1e6, 101).count == 101_000_000
    with pytest.raises(PlanError, match=r"101,000,000 arrivals .* 100,000,000"):
        Schedule.constant(1e6, 101, seed=1)


@pytest.mark.parametrize(("index", "of"), [(2, 2), (-1, 2), (0, 0), (5, 3)])
def test_a_share_that_does_not_exist_is_refused(index: int, of: int) -> None:
    with pytest.raises(PlanError, match=f"share {index} of {of}"):
        Schedule.volume(10).share(index, of)


@pytest.mark.parametrize(("begin", "end"), [(-1, 5), (5, 4), (0, 11)])
def test_arrivals_that_are_not_in_a_schedule_are_refused(begin: int, end: int) -> None:
    with pytest.raises(PlanError, match="10 "):
        Schedule.volume(10).between(begin, end)


def test_between_two_arrivals_are_those_from_the_first_up_to_before_the_second() -> None:
    whole = Schedule.constant(10, 1)

    assert list(whole.between(3, 5).offsets_ns()) == [300_000_000, 400_000_000]
    assert list(whole.share(1, 3).between(1, 3).offsets_ns()) == [400_000_000, 700_000_000]
    assert whole.between(0, 10) == whole
    assert whole.between(10, 10).count == 0


def test_a_share_has_its_part_of_what_cannot_be_divided() -> None:
    assert [Schedule.volume(10).share(index, 4).count for index in range(4)] == [3, 3, 2, 2]
    assert [Schedule.volume(1).share(index, 2).count for index in range(2)] == [1, 0]


def test_a_plan_is_written_as_the_numbers_that_it_follows_from() -> None:
    schedule = Schedule.staged(
        [LoadStage(100, 300, 2.0, warm_up=True), LoadStage(50, 50, 2.0)], seed=None
    )

    assert schedule.share(1, 4).to_json() == {
        "count": 125,
        "rate_per_s": 125.0,
        "stages": [[100, 300, 2.0, True], [50, 50, 2.0, False]],
        "seed": None,
        "first": 1,
        "stride": 4,
    }


def test_a_share_is_drawn_from_the_chance_of_the_whole() -> None:
    whole = Schedule.constant(100, 100, seed=4)

    assert whole.share(1, 3).seed == 4
    assert whole.share(1, 3).offset_ns(1500) == whole.offset_ns(4501), "beyond what is held at once"


def test_workers_that_leave_before_a_part_of_theirs_began_never_have_it() -> None:
    """GIVEN a change that is planned for the sixth second, and another for the fourth."""
    schedule = Schedule.constant(10, 10)
    planned = next_parts(schedule, first_parts(schedule, ["a"]), ["a", "b"], 6_000_000_000)

    changed = next_parts(schedule, planned, ["c"], 4_000_000_000)

    assert changed == {
        "a": (SchedulePart(0, 40, 0, 1),),
        "b": (),
        "c": (SchedulePart(40, 100, 0, 1),),
    }


def test_a_burst_is_nobody_elses_once_it_has_begun() -> None:
    schedule = Schedule.volume(10)

    parts = next_parts(schedule, first_parts(schedule, ["a"]), ["a", "b"], 1)

    selected = {
        worker: sum(part.select(schedule).count for part in owned)
        for worker, owned in parts.items()
    }
    assert selected == {"a": 10, "b": 0}

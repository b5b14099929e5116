"""Schedules are pure functions: exact, and divided without gap or overlap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.plan import PlanError, Schedule, parse_duration, parse_rate

schedules = st.builds(Schedule, count=st.integers(1, 500), rate_per_s=st.sampled_from([0.0, 0.3, 7.0, 1000.0, 12345.6]))


@given(schedules, st.integers(1, 9))
def test_shares_together_are_the_whole(schedule: Schedule, of: int) -> None:
    parts = [offset for index in range(of) for offset in schedule.share(index, of).offsets_ns()]

    assert sorted(parts) == sorted(schedule.offsets_ns())


def test_an_arrival_is_where_the_rate_puts_it_however_many_came_before() -> None:
    schedule = Schedule.constant(3, 1_000_000)

    assert schedule.offset_ns(2_999_999) == round(2_999_999 * 1e9 / 3)


def test_a_volume_is_due_at_once() -> None:
    assert set(Schedule.volume(100).offsets_ns()) == {0}


@given(schedules, st.integers(1, 5))
def test_a_schedule_survives_the_wire(schedule: Schedule, of: int) -> None:
    share = schedule.share(0, of)

    assert Schedule.from_json(share.to_json()) == share


@pytest.mark.parametrize(("text", "rate"), [("1000", 1000.0), ("0.5/s", 0.5), (" 20/s", 20.0)])
def test_rates_are_read(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "0", "-3", "nan", "inf", "1e9"])
def test_a_rate_that_makes_no_sense_is_named_in_the_error(text: str) -> None:
    with pytest.raises(PlanError, match=r"rate|must be above"):
        parse_rate(text)


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("30s", 30.0), ("1.5m", 90.0), ("1h", 3600.0)])
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["3", "s", "-1s", "0s", "1d"])
def test_a_duration_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match=r"duration|longer"):
        parse_duration(text)


def test_a_schedule_without_arrivals_is_refused() -> None:
    with pytest.raises(PlanError, match="no arrival"):
        Schedule.constant(0.1, 1)

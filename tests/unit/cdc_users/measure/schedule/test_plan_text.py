"""Rates, durations and stages at the ends of what may be written."""

from __future__ import annotations

import pytest

from cdc_users.measure.schedule.plan import (
    LoadStage,
    PlanError,
    parse_duration,
    parse_rate,
    parse_stages,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1000h", 3_600_000.0), ("0.001ms", 1e-6), (" 5m ", 300.0), ("1e3s", 1000.0), ("2ks", 2000.0)],
)
def test_durations_are_read_up_to_six_weeks(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "told"),
    [("1001h", "at most 1000h"), ("1e999s", "at most 1000h"), ("0.0s", "longer than nothing")],
)
def test_durations_that_no_run_has_are_refused(text: str, told: str) -> None:
    with pytest.raises(PlanError, match=told):
        parse_duration(text)


@pytest.mark.parametrize("text", ["1e7", "1e7/s", "10M", "1e999"])
def test_ten_million_a_second_are_too_many(text: str) -> None:
    with pytest.raises(PlanError, match="below ten million"):
        parse_rate(text)
    assert parse_rate("9_999_999/s") == 9_999_999


def test_a_stage_may_begin_or_end_with_nothing() -> None:
    assert parse_stages("0->10/s:2s,10->0:2s") == (LoadStage(0, 10, 2.0), LoadStage(10, 0, 2.0))


def test_an_arrival_is_the_least_that_a_stage_may_be_worth() -> None:
    assert parse_stages("0.5/s:2s")[0].arrivals == 1
    with pytest.raises(PlanError, match="makes no arrival"):
        parse_stages("10/s:1s,0.5/s:1.9s")


@pytest.mark.parametrize("text", ["-0->10/s:2s", "10->-0/s:2s", "10->-5/s:2s", "-0:2s"])
def test_a_rate_below_nothing_is_refused_also_where_nothing_would_do(text: str) -> None:
    with pytest.raises(PlanError, match="above 0"):
        parse_stages(text)

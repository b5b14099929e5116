"""What a step cost follows from totals at its two ends; what is not known is never zero."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.judgement.cost import (
    CostReading,
    Costs,
    cores,
    cost_of,
    memory_mb,
    per_events,
)

FIRST = CostReading(10.0, 100.0, 50_000_000, 40_000_000, 1_000_000)
LAST = CostReading(20.0, 105.0, 70_000_000, None, 21_000_000)
PART = {"cpu_cores": 0.5, "rss_mb": 70.0, "uss_mb": 40.0, "written_mb_per_s": 2.0}


def test_cores_and_writes_are_differences_and_memory_is_the_most() -> None:
    cost = cost_of([FIRST, LAST])

    assert cost is not None
    assert cost.to_json() == PART


@pytest.mark.parametrize("readings", [[], [FIRST], [FIRST, FIRST]])
def test_one_moment_is_no_span(readings: list[CostReading]) -> None:
    assert cost_of(readings) is None


def test_writes_that_may_not_be_read_are_not_known() -> None:
    cost = cost_of([FIRST, CostReading(20.0, 105.0, 1, None, None)])

    assert cost is not None
    assert cost.written_mb_per_s is None


def test_the_system_under_test_is_the_sum_of_its_parts_without_the_harness() -> None:
    own = {**PART, "cpu_cores": 9.0}
    costs = {"kafka": PART, "connect": PART, "harness": own, "machine": own}

    assert cores(costs) == 1.0
    assert memory_mb(costs) == 80.0


@pytest.mark.parametrize("costs", [{}, {"kafka": PART, "postgres": None}, {"harness": PART}])
def test_a_part_that_is_not_known_makes_the_sum_unknown(costs: dict[str, None]) -> None:
    assert cores(costs) is None
    assert memory_mb(costs) is None


@given(st.floats(0, 100), st.floats(1, 1e6))
def test_what_ten_thousand_events_take_is_in_proportion(amount: float, rate_per_s: float) -> None:
    found = per_events(amount, rate_per_s)

    assert found == pytest.approx(amount * 10_000 / rate_per_s, abs=0.01)


def test_without_a_rate_nothing_is_in_proportion() -> None:
    assert per_events(1.0, None) is None
    assert per_events(None, 5.0) is None


def reading(at_s: float, **changes: object) -> CostReading:
    return replace(CostReading(at_s, 0.0, 0, None, None), **changes)  # type: ignore[arg-type]


def test_what_lies_between_the_ends_counts_for_memory_alone() -> None:
    cost = cost_of(
        [
            reading(0.0, cpu_s=10.0, rss_bytes=1_000_000, uss_bytes=900_000, written_bytes=0),
            reading(1.0, cpu_s=99.0, rss_bytes=9_000_000, uss_bytes=8_000_000, written_bytes=None),
            reading(4.0, cpu_s=11.0, rss_bytes=2_000_000, uss_bytes=100_000, written_bytes=400_000),
        ]
    )

    assert cost is not None
    assert cost.to_json() == {
        "cpu_cores": 0.25,
        "rss_mb": 9.0,
        "uss_mb": 8.0,
        "written_mb_per_s": 0.1,
    }


def test_a_process_that_began_once_more_took_no_less_than_nothing() -> None:
    """Its totals begin at 0 again, so the difference says nothing."""
    cost = cost_of(
        [reading(0.0, cpu_s=50.0, written_bytes=900), reading(1.0, cpu_s=2.0, written_bytes=5)]
    )

    assert cost is not None
    assert (cost.cpu_cores, cost.written_mb_per_s) == (0.0, 0.0)


def test_unique_memory_is_not_known_where_no_reading_had_any() -> None:
    cost = cost_of([reading(0.0), reading(1.0)])

    assert cost is not None
    assert (cost.uss_mb, cost.written_mb_per_s) == (None, None)


@pytest.mark.parametrize("ends", [(None, 5), (5, None), (None, None)])
def test_writes_are_known_where_both_ends_are(ends: tuple[int | None, int | None]) -> None:
    cost = cost_of([reading(float(at), written_bytes=told) for at, told in enumerate(ends)])

    assert cost is not None
    assert cost.written_mb_per_s is None


def test_figures_are_rounded_to_what_can_be_read() -> None:
    cost = cost_of(
        [
            reading(0.0, written_bytes=0),
            reading(3.0, cpu_s=1.0, rss_bytes=1_260_000, uss_bytes=1_340_000, written_bytes=10**7),
        ]
    )

    assert cost is not None
    assert cost.to_json() == {
        "cpu_cores": 0.333,
        "rss_mb": 1.3,
        "uss_mb": 1.3,
        "written_mb_per_s": 3.333,
    }
    assert per_events(1.0, 3000.0) == 3.33
    assert cores({"a": {"cpu_cores": 0.1111}, "b": {"cpu_cores": 0.2222}}) == 0.333


def test_readings_that_go_back_in_time_are_no_span() -> None:
    assert cost_of([reading(5.0), reading(9.0), reading(4.0)]) is None


def test_a_part_whose_figure_alone_is_not_known_makes_that_sum_unknown() -> None:
    costs: Costs = {"kafka": PART, "postgres": {**PART, "uss_mb": None}}

    assert cores(costs) == 1.0
    assert memory_mb(costs) is None


def test_nothing_takes_nothing_at_any_rate_but_none() -> None:
    assert per_events(0.0, 5.0) == 0.0
    assert per_events(1.0, 0.0) is None

"""What a step cost follows from totals at its two ends; what is not known is never zero."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.judgement.cost import (
    CostReading,
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

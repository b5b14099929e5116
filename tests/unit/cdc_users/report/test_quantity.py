"""Quantities look alike wherever they stand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.report import quantity


@pytest.mark.parametrize(
    ("value_ms", "told"),
    [
        (0.714, "0.71 ms"),
        (28.24, "28.2 ms"),
        (282.4, "282 ms"),
        (999.4, "999 ms"),
        (999.6, "1.00 s"),
        (14745.6, "14.7 s"),
        (3_600_000, "3,600 s"),
        (0, "0 ms"),
        (-3.2, "-3.20 ms"),
        (None, "-"),
    ],
)
def test_a_time_has_one_unit_and_three_digits(value_ms: float | None, told: str) -> None:
    assert quantity.duration(value_ms) == told


@pytest.mark.parametrize(
    ("rate", "told"), [(None, "-"), (0.5, "0.50/s"), (354.4, "354/s"), (19581.2, "19,581/s")]
)
def test_rates_are_grouped_by_commas(rate: float | None, told: str) -> None:
    assert quantity.per_second(rate) == told


def test_counts_and_bytes_are_grouped_by_commas() -> None:
    assert quantity.count(10_000) == "10,000"
    assert quantity.count(None) == "-"
    assert quantity.byte_rate(712_345_678.0) == "712.35 MB/s"
    assert quantity.byte_rate(None) == "-"


@given(st.floats(0.001, 1e9))
def test_a_time_is_true_to_one_percent(value_ms: float) -> None:
    number, unit = quantity.duration(value_ms).split(" ")
    back_ms = float(number.replace(",", "")) * (1000 if unit == "s" else 1)

    assert back_ms == pytest.approx(value_ms, rel=0.01, abs=0.0051)

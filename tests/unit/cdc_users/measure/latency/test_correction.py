"""A latency that crosses to another clock is moved by their difference, once and the right way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.latency.correction import corrected
from cdc_users.measure.latency.histogram import LatencyHistogram
from cdc_users.measure.offset import ClockOffset

COUNT = 2000


def recorded(values_us: list[int]) -> LatencyHistogram:
    histogram = LatencyHistogram()
    histogram.record_many_us(np.array(values_us, dtype=np.int64))
    return histogram


@given(st.integers(0, 400_000), st.integers(-300_000, 300_000), st.integers(0, 5000))
def test_both_parts_of_the_way_come_out_as_one_clock_would_have_them(
    way_us: int, ahead_us: int, bound_us: int
) -> None:
    """A way of `way_us` is measured to the other clock, and from it."""
    clock = ClockOffset(ahead_us, bound_us)
    there, back = recorded([way_us + ahead_us] * COUNT), recorded([way_us - ahead_us] * COUNT)

    for histogram, sign in ((there, 1), (back, -1)):
        found = corrected(histogram.summary_ms(), histogram, clock, sign)
        assert found["mean"] == pytest.approx(way_us / 1000, abs=0.001)
        assert found["max"] == pytest.approx(way_us / 1000, abs=0.001)
        assert found["count"] == COUNT
        assert found["clock"] == round(bound_us / 1000, 3)
        if histogram.negative:
            assert found["p50"] is found["p95"] is found["p99"] is None
        else:
            # Three digits of what was recorded, before it was moved.
            digits = 0.001 * (way_us + abs(ahead_us)) / 1000 + 0.002
            assert found["p99"] == pytest.approx(way_us / 1000, abs=digits)


def test_what_is_not_known_stays_unknown_and_the_summary_as_it_was() -> None:
    summary = {"count": 3, "mean": 5.0, "p50": None, "p95": None, "p99": None, "max": 9.0}

    found = corrected(summary, recorded([5000] * 3), ClockOffset(2000, 700), 1)

    assert found == {
        "count": 3,
        "mean": 3.0,
        "p50": None,
        "p95": None,
        "p99": None,
        "max": 7.0,
        "clock": 0.7,
    }
    assert summary["mean"] == 5.0

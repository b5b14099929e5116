"""Percentiles of what came last: over the shortest time that bears them out, all of the same
events.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.latency.histogram import LatencyHistogram
from cdc_users.measure.latency.window import LONGEST_S, LatencyWindow, RecentLatency


def seconds(
    window: LatencyWindow, counts: list[int], value_us: int = 1000, least_s: float = 0.0
) -> RecentLatency:
    """A second each with so many equal latencies; the last one's answer."""
    grown = LatencyHistogram()
    found = RecentLatency(grown, 0.0)
    for second, count in enumerate(counts, start=1):
        now = LatencyHistogram()
        now.merge(grown)
        now.record_many_us(np.full(count, value_us * second, dtype=np.int64))
        found = window.since(now, float(second), least_s=least_s)
        window.keep(now, float(second))
        grown = now
    return found


def test_a_second_with_enough_events_stands_for_itself() -> None:
    found = seconds(LatencyWindow(), [1000, 1000, 1000])

    assert (found.window_s, found.histogram.count) == (1.0, 1000)
    assert found.histogram.percentile_us(99) is not None


def test_slow_seconds_are_gathered_until_they_bear_a_p99() -> None:
    found = seconds(LatencyWindow(), [300] * 10)

    assert (found.window_s, found.histogram.count) == (4.0, 1200)


def test_too_few_events_are_all_that_is_kept_and_bear_what_they_can() -> None:
    found = seconds(LatencyWindow(), [10] * 30)

    assert (found.window_s, found.histogram.count) == (30.0, 300)
    assert found.histogram.percentile_us(95) is not None
    assert found.histogram.percentile_us(99) is None


def test_nothing_older_than_a_minute_counts() -> None:
    found = seconds(LatencyWindow(), [1] * 100)

    assert found.window_s <= LONGEST_S + 1


def test_the_least_time_is_kept_to_where_fewer_seconds_would_do() -> None:
    assert seconds(LatencyWindow(), [2000] * 13, least_s=10.0).window_s == 10.0


def test_a_step_that_began_late_has_no_time_before_its_begin() -> None:
    window, now = LatencyWindow(began_s=50.0), LatencyHistogram()
    now.record_us(5)

    assert window.since(now, 52.0).window_s == 2.0


def test_a_histogram_that_begins_once_more_has_what_came_since_the_last_look() -> None:
    window, before, now = LatencyWindow(), LatencyHistogram(), LatencyHistogram()
    before.record_many_us(np.full(2000, 1000, dtype=np.int64))
    window.keep(before, 5.0)
    now.record_many_us(np.full(30, 7000, dtype=np.int64))

    found = window.since(now, 6.0)

    assert (found.histogram.count, found.window_s) == (30, 1.0)
    assert found.histogram.min_us >= 6900


@given(st.lists(st.integers(0, 1500), min_size=1, max_size=40))
def test_percentiles_of_one_moment_never_cross(counts: list[int]) -> None:
    found = seconds(LatencyWindow(), counts).histogram
    known = [value for point in (50, 95, 99) if (value := found.percentile_us(point)) is not None]

    assert known == sorted(known)

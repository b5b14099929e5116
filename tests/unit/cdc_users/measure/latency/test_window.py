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


def grown(*values_us: int) -> LatencyHistogram:
    histogram = LatencyHistogram()
    histogram.record_many_us(np.array(values_us, dtype=np.int64))
    return histogram


def test_as_many_as_are_needed_are_enough() -> None:
    window = LatencyWindow()
    window.keep(grown(1, 2), 1.0)
    now = grown(1, 2, 3, 4, 5)

    assert window.since(now, 2.0, enough=3).window_s == 1.0
    assert window.since(now, 2.0, enough=4).window_s == 2.0


def test_the_least_time_may_be_reached_exactly() -> None:
    window = LatencyWindow()
    for second in (1.0, 2.0):
        window.keep(grown(1), second)
    now = grown(1, 2, 3)

    assert window.since(now, 3.0, least_s=2.0, enough=1).window_s == 2.0
    assert window.since(now, 3.0, least_s=2.001, enough=1).window_s == 3.0


def test_what_came_in_the_window_are_the_newest_alone() -> None:
    window = LatencyWindow()
    window.keep(grown(1000, 1000), 1.0)
    window.keep(grown(1000, 1000, 7), 2.0)

    found = window.since(grown(1000, 1000, 7, 9), 3.0, enough=2)

    assert list(found.histogram.buckets()) == [(7, 1), (9, 1)]
    assert found.window_s == 2.0


def test_a_look_that_is_not_kept_changes_nothing_of_the_next() -> None:
    window, now = LatencyWindow(), grown(5, 6)

    first, again = (window.since(now, 4.0, enough=2) for _ in range(2))

    assert (first.window_s, first.histogram.count) == (again.window_s, again.histogram.count)


def test_a_state_is_kept_until_a_minute_has_passed_since_the_next_one() -> None:
    """Only then a window of a minute can do without it."""
    window = LatencyWindow()
    window.keep(grown(1), 10.0)
    window.keep(grown(1, 1), 69.9)
    assert window.since(grown(1, 1), 69.9).window_s == 69.9

    window.keep(grown(1, 1), 70.0)

    assert window.since(grown(1, 1), 70.0).window_s == 60.0


def test_a_histogram_that_has_begun_once_more_goes_on_from_there() -> None:
    window = LatencyWindow()
    window.keep(grown(*[1000] * 50), 5.0)
    restarted = grown(7, 7)
    window.since(restarted, 6.0)
    window.keep(restarted, 6.0)

    found = window.since(grown(7, 7, 8), 8.0, enough=1)

    assert (found.window_s, found.histogram.count) == (2.0, 1)
    whole = window.since(grown(7, 7, 8), 8.0, enough=1000)
    assert (whole.window_s, whole.histogram.count) == (3.0, 3), "what was before is forgotten"

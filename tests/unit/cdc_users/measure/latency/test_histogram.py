"""Histograms against a plain sort."""

from __future__ import annotations

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.latency.histogram import (
    HIGHEST_US,
    Censored,
    EncodedHistogram,
    LatencyHistogram,
    LatencyTracker,
    locust_bucket_ms,
)
from cdc_users.measure.wire import decode, encode

latencies = st.lists(st.integers(0, HIGHEST_US), min_size=1, max_size=300)


def histogram_of(values: list[int]) -> LatencyHistogram:
    histogram = LatencyHistogram()
    histogram.record_many_us(np.array(values, dtype=np.int64))
    return histogram


@given(latencies, st.sampled_from([50.0, 90.0, 95.0]))
def test_a_percentile_is_within_a_thousandth_of_the_sorted_value(
    values: list[int], percentile: float
) -> None:
    many = values * 200

    found = histogram_of(many).percentile_us(percentile)

    rank = int(np.ceil(len(many) * percentile / 100)) - 1
    exact = sorted(many)[rank]
    assert found is not None
    assert abs(found - exact) <= max(1, exact * 0.001)


@given(latencies, latencies)
def test_merging_is_the_same_as_recording_everything_in_one(
    left: list[int], right: list[int]
) -> None:
    merged = histogram_of(left)
    merged.merge(histogram_of(right))

    assert merged.encode() == histogram_of(left + right).encode()


@given(st.lists(st.integers(-10, 2 * HIGHEST_US), max_size=50))
def test_one_by_one_is_the_same_as_many_at_once(values: list[int]) -> None:
    singly = LatencyHistogram()
    for value in values:
        singly.record_us(value)

    assert singly.encode() == histogram_of(values).encode()


@given(latencies)
def test_a_histogram_survives_the_wire(values: list[int]) -> None:
    histogram = histogram_of([*values, -5])

    back = LatencyHistogram.decode(decode(encode(histogram.encode()), EncodedHistogram, "a tap"))

    assert list(back.buckets()) == list(histogram.buckets())
    assert back.summary_ms() == histogram.summary_ms()


@pytest.mark.parametrize(
    ("count", "known"),
    [(19, []), (20, ["p50"]), (200, ["p50", "p95"]), (1000, ["p50", "p95", "p99"])],
)
def test_a_percentile_needs_ten_samples_beyond_it(count: int, known: list[str]) -> None:
    summary = histogram_of([1000] * count).summary_ms()

    assert [name for name in ("p50", "p95", "p99") if summary[name] is not None] == known


def test_what_is_out_of_range_is_counted_and_never_clamped() -> None:
    histogram = histogram_of([-7, 100, HIGHEST_US + 1])

    assert (histogram.count, histogram.negative, histogram.too_long) == (2, 1, 1)
    assert histogram.min_us == -7
    assert histogram.sum_us == 93


@given(latencies, latencies)
def test_minus_gives_what_came_since(first: list[int], later: list[int]) -> None:
    whole = histogram_of(first + later)

    since = whole.minus(histogram_of(first))

    assert list(since.buckets()) == list(histogram_of(later).buckets())
    assert since.sum_us == sum(later)


@given(st.integers(1, 10**9))
def test_locusts_bucket_is_within_half_a_percent(value_us: int) -> None:
    assert abs(locust_bucket_ms(value_us / 1000) * 1000 - value_us) <= max(0.5, value_us * 0.005)


def test_a_tracker_speaks_milliseconds() -> None:
    tracker = LatencyTracker()
    for _ in range(40):
        tracker.record_ms(2.5)

    assert tracker.summary_ms()["p50"] == pytest.approx(2.5, rel=0.001)


@pytest.mark.parametrize(("dropped", "known"), [(40, "p50 p95"), (60, "p50"), (600, "")])
def test_a_percentile_that_dropped_arrivals_reach_is_not_printed(dropped: int, known: str) -> None:
    histogram = LatencyHistogram()
    histogram.record_many_us(np.full(1000 - dropped, 5_000, dtype=np.int64))

    told = histogram.summary_ms(Censored(dropped, 100_000))

    assert {name for name in ("p50", "p95", "p99", "mean", "max") if told[name] is not None} == set(
        known.split()
    )
    assert told["censored"] == dropped
    assert told["count"] == 1000 - dropped


def test_what_is_slower_than_the_quickest_drop_is_not_known_either() -> None:
    histogram = LatencyHistogram()
    histogram.record_many_us(np.full(900, 5_000, dtype=np.int64))
    histogram.record_many_us(np.full(90, 300_000, dtype=np.int64))

    assert histogram.summary_ms()["p95"] == pytest.approx(300, rel=0.001)
    assert histogram.summary_ms(Censored(10, 100_000))["p95"] is None
    assert histogram.summary_ms(Censored(10, 400_000))["p95"] == pytest.approx(300, rel=0.001)


@given(st.lists(st.integers(0, HIGHEST_US), min_size=1, max_size=50))
def test_a_buckets_value_is_the_librarys(values: list[int]) -> None:
    library = HdrHistogram(1, HIGHEST_US, 3)
    expected: dict[int, int] = {}
    for value in values:
        lowest = library.get_lowest_equivalent_value(max(value, 1))
        expected[lowest] = expected.get(lowest, 0) + 1

    assert dict(histogram_of(values).buckets()) == expected


def test_minus_counts_what_was_too_long_since_then() -> None:
    first, later = [5, HIGHEST_US + 1], [7, HIGHEST_US + 1, HIGHEST_US + 2]

    since = histogram_of(first + later).minus(histogram_of(first))

    assert (since.count, since.too_long) == (1, 2)

"""Histograms against a plain sort."""

from __future__ import annotations

from random import Random

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


def test_percentiles_of_whole_microseconds_below_two_thousand_are_exact() -> None:
    summary = histogram_of(list(range(1, 1001))).summary_ms()

    assert summary == {
        "count": 1000,
        "mean": 0.5,  # 500.5 us, to three digits of a millisecond
        "p50": 0.5,
        "p95": 0.95,
        "p99": 0.99,
        "max": 1.0,
    }


@pytest.mark.parametrize(
    ("percentile", "needed"), [(50.0, 20), (90.0, 100), (95.0, 200), (99.0, 1000), (99.9, 10_000)]
)
def test_a_percentile_is_known_from_ten_samples_beyond_it_on(
    percentile: float, needed: int
) -> None:
    assert histogram_of([7] * (needed - 1)).percentile_us(percentile) is None
    assert histogram_of([7] * needed).percentile_us(percentile) == 7


@pytest.mark.parametrize(("point", "expected"), [(50, 400), (95, 850), (99, 890)])
def test_negative_ones_take_their_rank_from_the_others(point: float, expected: int) -> None:
    """GIVEN a hundred below nothing and 1 to 900 us THEN the 500th of all is the 400th of these."""
    histogram = histogram_of([-3] * 100 + list(range(1, 901)))

    assert histogram.percentile_us(point) == expected
    assert (histogram.min_us, histogram.negative) == (-3, 100)


def test_a_rank_among_negative_ones_is_no_more_than_nothing() -> None:
    histogram = histogram_of([-3] * 50 + list(range(1, 51)))

    assert histogram.percentile_us(50) == -3
    assert histogram.percentile_us(51) == 1


def test_a_latency_of_nothing_is_one_microsecond_in_its_bucket_and_exact_beside_it() -> None:
    histogram = histogram_of([0, 0, 1])

    assert list(histogram.buckets()) == [(1, 3)]
    assert (histogram.min_us, histogram.max_us, histogram.sum_us) == (0, 1, 1)
    assert histogram.negative == 0


def test_buckets_are_wider_the_longer_the_latency() -> None:
    histogram = histogram_of([-1, 2047, 2048, 2049, 2050, 4099, 4100, 1_000_000])

    assert list(histogram.buckets()) == [
        (0, 1),
        (2047, 1),
        (2048, 2),
        (2050, 1),
        (4096, 1),
        (4100, 1),
        (999_936, 1),
    ]


@pytest.mark.parametrize("values", [[5], [5, 9], [-4, 5], [HIGHEST_US]])
def test_a_histogram_of_nothing_changes_no_other_one(values: list[int]) -> None:
    """Its least and most are 0, and stand for no sample."""
    nothing, something = LatencyHistogram(), histogram_of(values)
    something.merge(LatencyHistogram())
    nothing.merge(histogram_of(values))

    for found in (nothing, something):
        assert (found.min_us, found.max_us) == (min(values), max(values))
        assert found.encode() == histogram_of(values).encode()


def test_merging_adds_what_lies_beyond_both_ends() -> None:
    left, right = histogram_of([-5, -6, 7]), histogram_of([-1, 3, HIGHEST_US + 1, HIGHEST_US + 9])

    left.merge(right)

    assert (left.count, left.negative, left.too_long) == (5, 3, 2)
    assert (left.min_us, left.max_us, left.sum_us) == (-6, 7, -2)


@given(st.lists(latencies, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_parts_may_be_merged_in_any_order(parts: list[list[int]], chance: Random) -> None:
    shuffled = list(parts)
    chance.shuffle(shuffled)
    one, other = LatencyHistogram(), LatencyHistogram()
    for part, elsewhere in zip(parts, shuffled, strict=True):
        one.merge(histogram_of(part))
        other.merge(histogram_of(elsewhere))

    assert one.encode() == other.encode()


@pytest.mark.parametrize(
    ("earlier", "later", "expected"),
    [
        ([], [], True),
        ([], [5], True),
        ([5], [5], True),
        ([5], [5, 9], True),
        ([5, 9], [5], False),
        ([5], [9], False),  # as many, and others
        ([5, 5], [5, 9, 9], False),  # more in all, and fewer of one
        ([-5, -5], [7], False),
    ],
)
def test_a_later_state_has_nothing_less_of_anything(
    earlier: list[int], later: list[int], expected: bool
) -> None:
    assert histogram_of(later).continues(histogram_of(earlier)) is expected


def test_the_extremes_of_what_has_come_since_are_those_of_its_buckets() -> None:
    first = [1, 3_000_000]
    since = histogram_of([*first, 500, 5001]).minus(histogram_of(first))

    assert (since.min_us, since.max_us) == (500, 5000)
    assert since.summary_ms()["max"] == 5.0


def test_what_has_come_since_below_nothing_has_its_least_at_nothing() -> None:
    since = histogram_of([-9, -2, -3, 8]).minus(histogram_of([-9]))

    assert (since.count, since.negative, since.sum_us) == (3, 2, 3)
    assert (since.min_us, since.max_us) == (0, 8)


def test_where_nothing_has_come_since_there_is_nothing() -> None:
    same = histogram_of([4, 5, HIGHEST_US])
    since = same.minus(same)

    assert since.summary_ms() == LatencyHistogram().summary_ms()
    assert (since.min_us, since.max_us, list(since.buckets())) == (0, 0, [])


@pytest.mark.parametrize(
    "values",
    [
        [],
        [-1],
        [-1, -2],
        [0],
        [HIGHEST_US],
        [HIGHEST_US + 1],
        [-1, HIGHEST_US + 1],
        [1, HIGHEST_US],
    ],
)
def test_what_lies_at_the_ends_of_the_range_survives_the_wire(values: list[int]) -> None:
    made = histogram_of(values)

    again = LatencyHistogram.decode(made.encode())

    assert list(again.buckets()) == list(made.buckets())
    assert again.encode() == made.encode()
    for name in ("count", "sum_us", "min_us", "max_us", "negative", "too_long"):
        assert getattr(again, name) == getattr(made, name), name


def test_what_came_over_the_wire_goes_on_growing() -> None:
    again = LatencyHistogram.decode(histogram_of([10, 20]).encode())
    again.record_us(5)
    again.merge(LatencyHistogram.decode(histogram_of([40]).encode()))

    assert again.encode() == histogram_of([10, 20, 5, 40]).encode()


def test_a_dropped_arrival_that_was_as_late_as_a_percentile_leaves_it_known() -> None:
    """It took at least as long, so the value stands below it or is the same."""
    histogram = histogram_of([100] * 900 + [500] * 90)

    assert histogram.percentile_us(95, Censored(10, 500)) == 500
    assert histogram.percentile_us(95, Censored(10, 499)) is None


def test_dropped_arrivals_count_among_the_samples_beyond() -> None:
    histogram = histogram_of([100] * 990)

    assert histogram.percentile_us(99) is None
    assert histogram.percentile_us(99, Censored(10, 100)) == 100
    assert histogram.percentile_us(99, Censored(9, 100)) is None


def test_a_summary_names_dropped_arrivals_only_where_there_are_some() -> None:
    assert "censored" not in histogram_of([5]).summary_ms(Censored(0, 7))
    assert histogram_of([5]).summary_ms(Censored(0, 7))["max"] == 0.005
    assert LatencyHistogram().summary_ms(Censored(3, 7)) == {
        "count": 0,
        "mean": None,
        "p50": None,
        "p95": None,
        "p99": None,
        "max": None,
        "censored": 3,
    }


@pytest.mark.parametrize(
    ("shown_ms", "bucket_ms"),
    [
        (0.0, 0.0),
        (0.4, 0.4),
        (0.9994, 0.999),
        (0.9996, 1.0),
        (1.2345, 1.23),  # 1,234 us: three digits of microseconds
        (12.345, 12.3),
        (99.96, 100.0),
        (1234.5, 1230.0),
        (59_999.0, 60_000.0),
    ],
)
def test_locusts_bucket_has_three_digits(shown_ms: float, bucket_ms: float) -> None:
    assert locust_bucket_ms(shown_ms) == bucket_ms


def test_a_tracker_of_nothing_knows_nothing_and_one_of_few_their_mean_and_most() -> None:
    tracker = LatencyTracker()
    assert set(tracker.summary_ms().values()) == {0, None}

    tracker.record_ms(0.0026)
    tracker.record_ms(4.0)

    assert tracker.histogram.sum_us == 4003, "to the nearest microsecond"
    assert tracker.summary_ms() == {
        "count": 2,
        "mean": 2.002,
        "p50": None,
        "p95": None,
        "p99": None,
        "max": 4.0,
    }

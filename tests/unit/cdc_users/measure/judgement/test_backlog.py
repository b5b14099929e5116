"""The age of a backlog, and the trend of what is looked at now and then."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.judgement.backlog import (
    ProgressSample,
    backlog_ages_s,
    catch_up_time_s,
    expected_per_s,
    pair_slopes,
    settled_from,
)


def steady(rate_per_s: int, latency_s: int, seconds: int) -> list[ProgressSample]:
    return [
        ProgressSample(float(at), rate_per_s * at, rate_per_s * max(0, at - latency_s))
        for at in range(seconds)
    ]


@given(rate_per_s=st.integers(1, 5000), latency_s=st.integers(0, 5), seconds=st.integers(10, 40))
def test_constant_latency_is_the_age_of_the_backlog(
    rate_per_s: int, latency_s: int, seconds: int
) -> None:
    looks = steady(rate_per_s, latency_s, seconds)

    assert backlog_ages_s(looks)[latency_s:] == pytest.approx(latency_s)
    assert expected_per_s(looks) == pytest.approx(rate_per_s)


@given(
    slope=st.integers(-1000, 1000),
    at_s=st.lists(st.integers(0, 10_000), min_size=2, max_size=20, unique=True).map(sorted),
)
def test_all_pairs_of_a_line_have_its_slope(slope: int, at_s: list[int]) -> None:
    slopes = pair_slopes(np.array(at_s, dtype=float), np.array([slope * at for at in at_s], float))

    assert len(slopes) == len(at_s) * (len(at_s) - 1) // 2
    assert slopes == pytest.approx(slope)


def test_points_of_one_moment_have_no_slope() -> None:
    assert len(pair_slopes(np.array([3.0, 3.0]), np.array([1.0, 2.0]))) == 0


def test_what_was_due_is_expected_and_what_was_sent_where_that_is_not_known() -> None:
    assert ProgressSample(1.0, sent=5, delivered=2, due=9).expected == 9
    assert ProgressSample(1.0, sent=5, delivered=2).expected == 5
    assert ProgressSample(1.0, sent=5, delivered=2).backlog == 3


@pytest.mark.parametrize(
    "looks", [[], [ProgressSample(1.0, 5, 5)], [ProgressSample(1.0, 5, 5)] * 2]
)
def test_looks_that_span_no_time_have_no_rate(looks: list[ProgressSample]) -> None:
    assert expected_per_s(looks) == 0.0
    assert list(backlog_ages_s(looks)) == [0.0] * len(looks)


@given(st.integers(0, 10_000))
def test_the_first_fifth_says_how_it_got_going(count: int) -> None:
    assert count / 5 <= settled_from(count) < count / 5 + 1


def test_two_looks_have_ages_and_a_rate() -> None:
    looks = [ProgressSample(10.0, 100, 100, 100), ProgressSample(14.0, 900, 300, 500)]

    assert expected_per_s(looks) == 100.0, "by what was due, from the first look to the last"
    # Of what was due by the 14th second 300 have come; those were due by the 12th.
    assert list(backlog_ages_s(looks)) == [0.0, 2.0]


def test_looks_in_a_wrong_order_have_no_rate() -> None:
    assert expected_per_s([ProgressSample(5.0, 50, 0), ProgressSample(4.0, 90, 0)]) == 0.0


def test_what_comes_before_it_is_due_is_not_younger_than_nothing() -> None:
    """A look at what has come is a moment later than one at what was due."""
    looks = [ProgressSample(float(at), 100 * at, 100 * at + 30) for at in range(5)]

    assert list(backlog_ages_s(looks)) == [0.0] * 5


def test_while_a_load_pauses_its_last_event_grows_older() -> None:
    """GIVEN a load that ends with the third second, and a last event that never comes."""
    due = [100, 200, 300, 300, 300]
    looks = [ProgressSample(float(at), sent, min(sent, 299)) for at, sent in enumerate(due)]

    ages_s = backlog_ages_s(looks)

    assert list(ages_s[:2]) == [0.0, 0.0]
    assert ages_s[2:] == pytest.approx([0.01, 1.01, 2.01])


def test_where_all_has_come_nothing_is_late_however_long_ago_the_last_was_due() -> None:
    looks = [ProgressSample(float(at), sent, sent) for at, sent in enumerate([100, 200, 200, 200])]

    assert list(backlog_ages_s(looks)) == [0.0] * 4


@pytest.mark.parametrize(
    ("outage_s", "rate", "capacity", "expected_s"),
    [
        (10.0, 500.0, 1000.0, 10.0),
        (10.0, 500.0, 1500.0, 5.0),
        (10.0, 999.0, 1000.0, 9990.0),
        (0.0, 500.0, 1000.0, 0.0),
        (10.0, 0.0, 1000.0, 0.0),
        (10.0, 1000.0, 1000.0, None),
        (10.0, 1000.0, 999.0, None),
        (10.0, 500.0, None, None),
    ],
)
def test_an_outage_is_made_good_by_what_the_pipeline_can_take_beyond_the_load(
    outage_s: float, rate: float, capacity: float | None, expected_s: float | None
) -> None:
    assert catch_up_time_s(outage_s, rate, capacity) == expected_s


@pytest.mark.parametrize(("count", "first"), [(0, 0), (1, 1), (5, 1), (6, 2), (10, 2), (11, 3)])
def test_a_step_has_got_going_after_a_fifth_of_its_looks(count: int, first: int) -> None:
    assert settled_from(count) == first


def test_slopes_are_of_all_pairs_and_each_over_its_own_time() -> None:
    slopes = pair_slopes(np.array([0.0, 1.0, 4.0]), np.array([10.0, 12.0, 6.0]))

    assert list(slopes) == [2.0, -1.0, -2.0]


def test_points_of_one_moment_have_slopes_to_those_of_another() -> None:
    slopes = pair_slopes(np.array([0.0, 0.0, 2.0]), np.array([0.0, 4.0, 6.0]))

    assert list(slopes) == [3.0, 1.0]

"""The age of a backlog, and the trend of what is looked at now and then."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.judgement.backlog import (
    ProgressSample,
    backlog_ages_s,
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

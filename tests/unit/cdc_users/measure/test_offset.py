"""How far two clocks are apart, from round trips between them."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.offset import (
    ROUND_TRIPS,
    ClockOffset,
    RoundTrip,
    asked_offset,
    offset_of,
)


@given(
    st.integers(-3_000_000, 3_000_000),
    st.lists(st.tuples(st.integers(0, 50_000), st.integers(0, 50_000)), min_size=1, max_size=30),
)
def test_the_truth_is_within_the_bound_however_uneven_the_ways_are(
    ahead_us: int, ways: list[tuple[int, int]]
) -> None:
    trips = [
        RoundTrip(at, at + there + ahead_us, at + there + back)
        for at, (there, back) in zip(range(0, 10**9, 10**6), ways, strict=False)
    ]

    found = offset_of(trips)

    assert found is not None
    assert abs(found.offset_us - ahead_us) <= found.bound_us + 1
    assert found.bound_us <= min(there + back for there, back in ways) / 2 + 1


def test_clocks_that_may_be_one_are_told_from_those_that_are_not() -> None:
    assert offset_of([RoundTrip(0, 400, 1_000)]) == ClockOffset(-100, 500)
    assert ClockOffset(-100, 500).same
    assert not ClockOffset(-3_000_000, 500).same
    assert offset_of([]) is None


def test_a_clock_that_was_set_meanwhile_is_known_to_nobody_any_better() -> None:
    found = offset_of([RoundTrip(0, 500, 1_000), RoundTrip(2_000, 302_500, 3_000)])

    assert found is not None
    assert found.bound_us >= 150_000


def test_the_offset_lies_in_the_middle_of_what_all_round_trips_allow() -> None:
    """The first allows -1,000 to 400, the second -100 to 900: both allow -100 to 400."""
    trips = [RoundTrip(0, 400, 1400), RoundTrip(5000, 5900, 6000)]

    assert offset_of(trips) == offset_of(trips[::-1]) == ClockOffset(150, 250)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 0, ClockOffset(0, 0)),
        (0, 1, ClockOffset(0, 1)),
        (-1, 0, ClockOffset(-1, 1)),
        (-3, 2, ClockOffset(-1, 3)),
        (-4, -2, ClockOffset(-3, 1)),
    ],
)
def test_half_a_microsecond_is_on_the_side_of_caution(
    low: int, high: int, expected: ClockOffset
) -> None:
    trip = RoundTrip(asked_us=0, other_us=high, answered_us=high - low)

    assert offset_of([trip]) == expected
    for truth in (low, high):
        assert abs(truth - expected.offset_us) <= expected.bound_us


def test_round_trips_that_touch_leave_no_doubt() -> None:
    assert offset_of([RoundTrip(0, 0, 7), RoundTrip(0, 7, 7)]) == ClockOffset(0, 0)


def test_clocks_that_contradict_themselves_are_as_far_apart_as_any_round_trip_says() -> None:
    found = offset_of([RoundTrip(0, 500, 1000), RoundTrip(2000, 302_500, 3000)])

    # From 500 behind to 300,500 ahead.
    assert found == ClockOffset(150_000, 150_500)


@pytest.mark.parametrize(
    ("offset_us", "bound_us", "same"), [(5, 5, True), (-5, 5, True), (6, 5, False), (-6, 5, False)]
)
def test_a_difference_within_its_bound_may_be_none(
    offset_us: int, bound_us: int, same: bool
) -> None:
    assert ClockOffset(offset_us, bound_us).same is same


def test_the_other_clock_is_asked_between_two_looks_at_ones_own() -> None:
    """GIVEN a clock that is 1,000 ahead, and a look at either that takes a microsecond."""
    moments = count()

    found = asked_offset(lambda: next(moments) + 1000, lambda: next(moments))

    assert found == ClockOffset(1000, 1)
    assert next(moments) == 3 * ROUND_TRIPS

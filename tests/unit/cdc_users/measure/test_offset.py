"""How far two clocks are apart, from round trips between them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.offset import ClockOffset, RoundTrip, offset_of


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

"""The curve of a search has one point a rate, and a knee where it bends."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.capacity.curve import COLUMNS, curve, knee
from cdc_users.measure.judgement.search_summary import ProbeRow


def probe(rate_per_s: float, p99_ms: float | None, *, long: bool = False) -> ProbeRow:
    return cast(ProbeRow, {"rate_per_s": rate_per_s, "p99_ms": p99_ms, "long": long})


def test_of_each_rate_the_longest_probe_is_drawn_and_the_lowest_rate_comes_first() -> None:
    probes = [probe(400, 9.0), probe(200, 5.0, long=True), probe(200, 4.0), probe(400, 8.0)]

    values = curve(probes)

    assert set(values) == set(COLUMNS)
    assert values["rate_per_s"] == [200, 400]
    assert values["p99_ms"] == [5.0, 8.0]


def test_the_knee_is_the_last_rate_before_the_latency_goes_up() -> None:
    rates = [100, 200, 400, 800, 1600, 1700]
    values = curve([probe(rate, 10.0 if rate <= 1600 else 900.0) for rate in rates])

    assert knee(values) == 1600


@pytest.mark.parametrize(
    "latencies", [[5.0, 5.0, 5.0, 5.0], [9.0, 8.0, 7.0, 6.0], [5.0, None, None, 9.0], [5.0, 6.0]]
)
def test_a_curve_that_does_not_bend_has_no_knee(latencies: list[float | None]) -> None:
    probes = [probe(100 * 2**number, ms) for number, ms in enumerate(latencies)]

    assert knee(curve(probes)) is None


@given(st.lists(st.tuples(st.floats(1, 1e6), st.floats(0.01, 1e5)), max_size=20))
def test_a_knee_is_one_of_the_rates(points: list[tuple[float, float]]) -> None:
    values = curve([probe(rate, ms) for rate, ms in points])

    assert knee(values) in (None, *values["rate_per_s"])


@pytest.mark.parametrize("first_ms", [3.0, 5.0, 7.1, 10.0, 0.3])
@pytest.mark.parametrize("steeper", [1.1, 1.7, 2.0, 3.0])
def test_a_straight_line_has_no_knee_whatever_its_arithmetic_rounds_to(
    first_ms: float, steeper: float
) -> None:
    """In logarithms a power law is straight: the latency goes up evenly, and bends nowhere."""
    probes = [probe(100 * 3.0**number, first_ms * steeper**number) for number in range(6)]

    assert knee(curve(probes)) is None


def test_latencies_that_clocks_took_below_nothing_are_no_points_of_the_curve() -> None:
    rates = [50, 100, 200, 400, 800, 1600, 1700]
    below = [-0.4] + [10.0 if rate <= 1600 else 900.0 for rate in rates[1:]]
    values = curve([probe(rate, ms) for rate, ms in zip(rates, below, strict=True)])

    assert values["p99_ms"][0] == -0.4, "it is shown as it is"
    assert knee(values) == 1600
    assert knee(curve([probe(rate, -0.4) for rate in rates])) is None


def test_what_a_probe_has_not_measured_is_not_known_in_the_curve() -> None:
    values = curve([probe(100, None)])

    assert values == {name: [100 if name == "rate_per_s" else None] for name in COLUMNS}
    assert curve([]) == {name: [] for name in COLUMNS}


def test_the_knee_lies_furthest_below_the_line_between_the_ends() -> None:
    """In logarithms to the base 2: rates 0 to 4, latencies 0, 0, 1, 1.5 and 4; below the line that
    leads from 0 to 4 they lie by 0, 1, 1, 1.5 and 0.
    """
    points = zip((0, 1, 2, 3, 4), (0.0, 0.0, 1.0, 1.5, 4.0), strict=True)

    assert knee(curve([probe(2.0**x, 2.0**y) for x, y in points])) == 8.0


def test_a_curve_that_bends_the_other_way_has_no_knee() -> None:
    """It goes up steeply at first and then no more: everywhere above the line."""
    points = zip((0, 1, 2, 3, 4), (0.0, 3.0, 3.5, 3.8, 4.0), strict=True)

    assert knee(curve([probe(2.0**x, 2.0**y) for x, y in points])) is None


def test_four_points_have_a_knee_and_three_have_none() -> None:
    probes = [probe(rate, ms) for rate, ms in ((100, 5.0), (200, 5.0), (400, 5.0), (800, 90.0))]

    assert knee(curve(probes)) == 400
    assert knee(curve(probes[1:])) is None


def test_rates_without_a_latency_are_no_points_and_no_knee() -> None:
    probes = [probe(rate, 5.0) for rate in (100, 200, 400)]

    assert knee(curve([*probes, probe(500, None), probe(800, 90.0)])) == 400

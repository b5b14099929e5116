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

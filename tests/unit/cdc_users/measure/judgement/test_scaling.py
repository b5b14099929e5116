"""Scaling: speed-up against the first step, and the law's own curve found again."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc_users.measure.judgement.scaling import (
    LawRow,
    RateReading,
    fit,
    fit_of_few,
    gain_at,
    points,
    summary,
    surface,
)


def curve(size: int, contention: float, coherency: float) -> float:
    return 1000 * size / (1 + contention * (size - 1) + coherency * size * (size - 1))


def test_speed_up_and_efficiency_are_against_the_first_step() -> None:
    found = points(
        [
            RateReading("slow", 1, 1, 100.0),
            RateReading("slow", 4, 1, 380.0),
            RateReading("slow", 8, 1, 720.0),
        ]
    )

    assert [point.speed_up for point in found] == [1.0, 3.8, 7.2]
    assert [point.efficiency for point in found] == [1.0, 0.95, 0.9]


def test_repeated_steps_count_with_their_median() -> None:
    found = points([RateReading("counting", 1, 1, rate) for rate in (90.0, 1000.0, 100.0)])

    assert [(point.rate_per_s, point.readings) for point in found] == [(100.0, 3)]


def test_each_round_is_compared_with_its_own_first() -> None:
    """A machine that becomes slower from round to round does not make the second configuration
    look slower.
    """
    rates = [(1, 400.0), (4, 400.0), (1, 300.0), (4, 330.0), (1, 200.0), (4, 180.0)]

    first, second = points(
        [RateReading("counting", partitions, 1, rate) for partitions, rate in rates]
    )

    assert (first.rate_per_s, second.rate_per_s, second.speed_up) == (300.0, 330.0, 1.0)
    assert second.speed_ups == [1.0, 1.1, 0.9]
    assert "330/s  1.00 x (0.90 to 1.10)" in surface([first, second])


def test_medians_are_compared_where_a_round_is_missing() -> None:
    found = points(
        [
            RateReading("counting", 1, 1, 100.0),
            RateReading("counting", 1, 1, 200.0),
            RateReading("counting", 4, 1, 300.0),
        ]
    )

    assert (found[1].speed_up, found[1].speed_ups) == (2.0, [])


def test_instances_are_compared_where_only_they_differ() -> None:
    found = points([RateReading("slow", 4, 1, 100.0), RateReading("slow", 4, 2, 150.0)])

    assert found[1].efficiency == 0.75


def test_the_hottest_partitions_share_is_told() -> None:
    assert RateReading("slow", 4, 1, 1.0, (70, 10, 10, 10)).hottest_share == 0.7
    assert RateReading("slow", 4, 1, 1.0).hottest_share is None


def test_the_law_is_found_again_in_its_own_curve() -> None:
    sizes = [1, 2, 4, 8, 16, 32]

    law = fit(sizes, [curve(size, 0.05, 0.002) for size in sizes])

    assert law is not None
    assert law.contention == pytest.approx(0.05, abs=1e-4)
    assert law.coherency == pytest.approx(0.002, abs=1e-6)
    assert law.peak == pytest.approx((0.95 / 0.002) ** 0.5, rel=1e-3)


def test_the_peak_has_an_interval() -> None:
    sizes = [1, 2, 4, 8, 16, 32]
    noise = (1.0, 1.01, 0.99, 1.01, 0.99, 1.0)

    law = fit(sizes, [n * curve(s, 0.05, 0.002) for s, n in zip(sizes, noise, strict=True)])

    assert law is not None
    assert law.peak is not None
    assert law.peak_low is not None
    assert law.peak_high is not None
    assert law.peak_low < (0.95 / 0.002) ** 0.5 < law.peak_high


@pytest.mark.parametrize("seed", range(20))
def test_five_noisy_points_say_nothing_or_something_near_the_truth(seed: int) -> None:
    chance = np.random.default_rng(seed)
    sizes = [1, 2, 3, 4, 5]

    law = fit(sizes, [curve(size, 0.05, 0.002) * chance.normal(1, 0.05) for size in sizes])

    if law is not None and law.peak is not None:
        assert law.peak_high is not None
        assert law.peak_low is not None
        assert law.peak_high <= 1.5 * law.peak_low


def test_points_whose_peak_hangs_on_one_of_them_have_no_law() -> None:
    sizes = [1, 2, 3, 4, 5]

    assert fit(sizes, [100.0, 198.0, 270.0, 395.0, 420.0]) is None


def test_a_straight_line_has_no_peak() -> None:
    law = fit([1, 2, 3, 4, 5], [100.0, 200.0, 300.0, 400.0, 500.0])

    assert law is not None
    assert (law.contention, law.peak) == (0.0, None)


def test_four_points_are_too_few_for_a_law() -> None:
    assert fit([1, 2, 4, 8], [100.0, 190.0, 350.0, 600.0]) is None
    assert summary(points([RateReading("slow", 1, 1, 100.0)]))["law"] == {"slow": None}


def test_the_surface_has_partitions_down_and_instances_across() -> None:
    table = surface(
        points(
            [
                RateReading("slow", 4, 1, 100.0),
                RateReading("slow", 4, 2, 150.0),
                RateReading("slow", 8, 2, 220.0),
            ]
        )
    )

    assert "1 instance " in table
    assert "2 instances" in table
    assert table.splitlines()[-1].split() == ["8", "-", "220/s", "2.20", "x"]


@given(
    st.integers(1, 8),
    st.floats(0, 0.3),
    st.floats(1e-4, 0.02),
    st.floats(10, 1e6),
)
@settings(deadline=None)
def test_the_law_is_found_whatever_its_first_size_and_rate_are(
    first: int, contention: float, coherency: float, rate_per_s: float
) -> None:
    """Sizes count in the first one, so its unit and the rate's must not matter."""
    sizes = [first * size for size in (1, 2, 4, 8, 16, 32)]
    rates = [rate_per_s * curve(size // first, contention, coherency) for size in sizes]
    law = fit(sizes, rates)

    assert law is not None
    assert law.contention == pytest.approx(contention, abs=1e-4)
    assert law.coherency == pytest.approx(coherency, abs=1e-5)
    assert law.peak is not None
    assert law.peak == pytest.approx(math.sqrt((1 - contention) / coherency) * first, rel=0.02)
    assert law.peak_low is not None
    assert law.peak_low <= law.peak * 1.001
    for size, rate in zip(sizes, rates, strict=True):
        gain = gain_at(size / first, law.to_json())
        assert gain * rates[0] == pytest.approx(rate, rel=0.01)


@given(st.lists(st.floats(1, 1e5), min_size=1, max_size=5), st.floats(0.1, 10))
def test_speed_up_is_not_moved_by_a_machine_that_is_slower_in_every_round(
    rates: list[float], slower: float
) -> None:
    """GIVEN rounds of two configurations, each with another speed of the machine."""
    gain = 3.0
    fast = [
        reading
        for rate in rates
        for reading in (
            RateReading("counting", 1, 1, rate * slower),
            RateReading("counting", 4, 1, rate * slower * gain),
        )
    ]
    base, more = points(fast)

    assert (base.speed_up, base.efficiency) == (1.0, 1.0)
    assert more.speed_up == pytest.approx(gain, abs=1e-3)
    assert more.efficiency == pytest.approx(gain / 4, abs=1e-3)


@pytest.mark.parametrize("nothing_at", range(5))
def test_a_size_at_which_nothing_was_done_leaves_no_law(nothing_at: int) -> None:
    rates = [100.0, 200.0, 300.0, 400.0, 500.0]
    rates[nothing_at] = 0.0

    assert fit([1, 2, 3, 4, 5], rates) is None


def reading(
    partitions: int, rate: float, instances: int = 1, sink: str = "slow", **more: Any
) -> RateReading:
    return RateReading(sink, partitions, instances, rate, **more)


def test_each_sink_is_compared_with_its_own_first_configuration() -> None:
    found = points(
        [
            reading(1, 100.0, sink="slow"),
            reading(2, 4000.0, sink="counting"),
            reading(2, 150.0, sink="slow"),
            reading(8, 8000.0, sink="counting"),
        ]
    )

    assert [(one.sink, one.partitions, one.speed_up, one.efficiency) for one in found] == [
        ("slow", 1, 1.0, 1.0),
        ("counting", 2, 1.0, 1.0),
        ("slow", 2, 1.5, 0.75),
        ("counting", 8, 2.0, 0.5),
    ]


def test_partitions_count_where_both_they_and_the_instances_differ() -> None:
    found = points([reading(2, 100.0), reading(8, 200.0, instances=4)])

    assert (found[1].speed_up, found[1].efficiency) == (2.0, 0.5)


def test_a_first_configuration_that_did_nothing_makes_no_gain_of_anything() -> None:
    found = points([reading(1, 0.0), reading(2, 100.0)])

    assert [(one.speed_up, one.efficiency) for one in found] == [(0.0, 0.0), (0.0, 0.0)]


def test_a_hasty_reading_makes_every_comparison_with_it_hasty() -> None:
    of_base = points([reading(1, 100.0, hasty=True), reading(2, 150.0), reading(2, 150.0, 2)])
    of_one = points([reading(1, 100.0), reading(2, 150.0, hasty=True), reading(4, 150.0)])

    assert [one.hasty for one in of_base] == [True, True, True]
    assert [one.hasty for one in of_one] == [False, True, False]


def test_the_hottest_share_is_the_middle_one_of_the_rounds_that_know_it() -> None:
    (found,) = points(
        [
            reading(2, 1.0, partition_events=(60, 40)),
            reading(2, 1.0),
            reading(2, 1.0, partition_events=(90, 10)),
            reading(2, 1.0, partition_events=(0, 0)),
            reading(2, 1.0, partition_events=(700, 300)),
        ]
    )

    assert (found.hottest_share, found.readings) == (0.7, 5)
    assert points([reading(2, 1.0)])[0].hottest_share is None


def test_figures_of_a_point_are_rounded_to_what_can_be_read() -> None:
    found = points(
        [reading(3, 300.0), reading(7, 500.05, partition_events=(1, 2))],
    )

    assert (found[1].rate_per_s, found[1].speed_up, found[1].efficiency) == (500.1, 1.667, 0.714)
    assert found[1].hottest_share == 0.6667
    assert found[1].to_json()["speed_ups"] == [1.667]


def test_no_curve_begins_below_its_first_size() -> None:
    """At the first size the gain is 1, whatever the law; at a pure contention it has a limit."""
    law = {"contention": 0.1, "coherency": 0.0, "peak": None, "peak_low": None, "peak_high": None}

    assert gain_at(1.0, cast(LawRow, law)) == 1.0
    assert gain_at(11.0, cast(LawRow, law)) == 5.5
    assert gain_at(2.0, cast(LawRow, {**law, "coherency": 0.2})) == pytest.approx(2 / 1.5)


def test_five_different_sizes_are_needed_however_often_they_were_read() -> None:
    sizes = [1, 2, 4, 8, 8, 8]

    assert fit(sizes, [curve(size, 0.05, 0.002) for size in sizes]) is None
    assert fit([*sizes, 16], [curve(size, 0.05, 0.002) for size in [*sizes, 16]]) is not None


@pytest.mark.parametrize("contention", [0.0, 0.1, 0.5, 1.0])
def test_two_sizes_show_contention_alone(contention: float) -> None:
    law = fit_of_few([2, 8], [curve(1, contention, 0), curve(4, contention, 0)], coherency=False)

    assert law.contention == pytest.approx(contention)
    assert (law.coherency, law.peak) == (0.0, None)


def test_contention_is_never_below_nothing_or_above_everything() -> None:
    assert fit_of_few([1, 2], [100.0, 300.0], coherency=False).contention == 0.0
    assert fit_of_few([1, 2], [100.0, 50.0], coherency=False).contention == 1.0


def test_three_sizes_show_both_parameters() -> None:
    law = fit_of_few([1, 4, 16], [curve(n, 0.1, 0.01) for n in (1, 4, 16)], coherency=True)

    assert law.contention == pytest.approx(0.1)
    assert law.coherency == pytest.approx(0.01)
    assert law.peak == pytest.approx(math.sqrt(0.9 / 0.01), abs=0.1)


def test_the_table_of_several_sinks_has_a_part_for_each() -> None:
    lines = surface(
        points(
            [
                reading(1, 100.0),
                reading(10, 1000.0),
                reading(1, 9.0, sink="counting", instances=3),
                reading(2, 9.0, sink="counting", instances=1),
            ]
        )
    ).splitlines()

    assert [line for line in lines if "SCALING" in line] == [
        "SCALING (slow sink)",
        "SCALING (counting sink)",
    ]
    assert lines[1] == "partitions            1 instance"
    assert lines[2] == "         1         100/s  1.00 x"
    assert lines[3] == "        10        1000/s 10.00 x"
    assert lines[5].split() == ["partitions", "1", "instance", "3", "instances"]
    assert lines[6].split() == ["1", "-", "9/s", "1.00", "x"]
    assert surface([]) == ""


def test_the_summary_fits_each_sink_by_the_points_of_the_first_number_of_instances() -> None:
    sizes = (1, 2, 4, 8, 16)
    made = [reading(size, curve(size, 0.05, 0.002)) for size in sizes]
    made += [reading(size, 1.0, instances=2) for size in sizes]
    made += [reading(size, 5.0 * size, sink="counting") for size in sizes[:4]]

    found = summary(points(made))

    law = found["law"]["slow"]
    assert law is not None
    assert law["contention"] == pytest.approx(0.05, abs=1e-4)
    assert found["law"]["counting"] is None
    assert (len(found["points"]), found["law_needs_points"]) == (14, 5)

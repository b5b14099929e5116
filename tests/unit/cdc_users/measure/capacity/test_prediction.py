"""Predictions follow from rates; what was measured is set against them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.capacity.prediction import (
    Prediction,
    catch_up_s,
    fills_s,
    held_back_per_s,
)


def test_at_half_the_capacity_a_stop_takes_its_own_time_to_make_good() -> None:
    assert catch_up_s(20.0, 500.0, 1000.0) == 20.0


@pytest.mark.parametrize("capacity_per_s", [None, 400.0, 500.0])
def test_a_pipeline_that_can_take_no_more_than_the_load_never_catches_up(
    capacity_per_s: float | None,
) -> None:
    assert catch_up_s(20.0, 500.0, capacity_per_s) is None


def test_the_most_that_a_figure_can_be_is_off_by_nothing() -> None:
    assert Prediction(20.0, 2.8).error == pytest.approx(6.1429)
    assert Prediction(20.0, 2.8, bound=True).to_json()["error"] is None


@given(st.floats(1, 1e4), st.floats(1, 1e5), st.floats(1.01, 100))
def test_what_is_made_good_is_what_piled_up(
    outage_s: float, rate_per_s: float, times: float
) -> None:
    """GIVEN an outage THEN what comes out by the end of the catch-up is what went in."""
    capacity_per_s = rate_per_s * times
    found_s = catch_up_s(outage_s, rate_per_s, capacity_per_s)

    assert found_s is not None
    went_in = rate_per_s * (outage_s + found_s)
    assert went_in == pytest.approx(capacity_per_s * found_s, rel=1e-3, abs=0.01 * capacity_per_s)


def test_a_disk_is_full_when_so_much_wal_has_been_held_back() -> None:
    assert fills_s(10e9, 1e6) == 10_000.0
    assert fills_s(10e9, None) is None
    assert fills_s(10e9, 0.0) is None


def test_the_growth_of_a_lag_is_read_over_the_outage_alone() -> None:
    """GIVEN a lag that rises for 20 s by 100 bytes/s, and falls again THEN that is its growth."""
    at_s = [float(second) for second in range(60)]
    lag = [50.0 + 100 * max(0, min(second - 10, 20)) for second in range(31)]
    lag += [2050.0 - 70 * (second - 30) for second in range(31, 60)]

    assert held_back_per_s(at_s, lag, 20.0) == pytest.approx(100.0)


def test_an_outage_that_no_sample_reaches_over_has_no_growth() -> None:
    assert held_back_per_s([], [], 20.0) is None
    assert held_back_per_s([0.0, 5.0], [0.0, 9.0], 20.0) is None


def test_the_error_is_the_part_by_which_the_prediction_was_off() -> None:
    assert Prediction(11.0, 10.0).error == pytest.approx(0.1)
    assert Prediction(11.0).error is None
    assert Prediction(None, 10.0).to_json() == {
        "predicted": None,
        "measured": 10.0,
        "error": None,
    }


def test_a_lag_is_followed_from_its_first_highest_sample_back() -> None:
    """It stays at its highest for a while, which is no part of the growth."""
    assert held_back_per_s([0.0, 10.0, 20.0, 30.0], [0.0, 500.0, 1000.0, 1000.0], 10.0) == 50.0


def test_samples_that_begin_with_the_outage_reach_over_it() -> None:
    at_s, lag = [0.0, 4.0, 8.0], [100.0, 200.0, 900.0]

    assert held_back_per_s(at_s, lag, 8.0) == 100.0
    assert held_back_per_s(at_s, lag, 8.1) is None


def test_the_sample_just_before_the_outage_is_where_the_growth_begins() -> None:
    at_s, lag = [0.0, 1.0, 2.0, 12.0], [0.0, 7.0, 50.0, 1050.0]

    assert held_back_per_s(at_s, lag, 9.5) == 100.0


@pytest.mark.parametrize("outage_s", [0.0, -1.0])
def test_no_outage_holds_nothing_back(outage_s: float) -> None:
    assert held_back_per_s([0.0, 9.0], [0.0, 9.0], outage_s) is None


def test_times_are_rounded_to_what_can_be_read() -> None:
    assert catch_up_s(10.0, 1.0, 4.0) == 3.33
    assert fills_s(1e9, 3e6) == 333.3
    assert held_back_per_s([0.0, 3.0], [0.0, 1000.0], 3.0) == 333.3
    assert Prediction(1.0, 3.0).error == -0.6667


def test_a_measured_nothing_has_no_part_to_be_off_by() -> None:
    assert Prediction(5.0, 0.0).error is None

"""What looks at a pipeline say of a fault, on pipelines whose answers are known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cdc_users.measure.judgement.backlog import ProgressSample
from cdc_users.measure.judgement.recovery import (
    FaultMoments,
    Recovery,
    SecondOfLatency,
    best_possible_s,
    recovery,
)

STEP_S = 0.2
RATE = 500.0
LATENCY_S = 0.05


def looks(
    delivered: Callable[[float], float], until_s: float, rate: float = RATE
) -> list[ProgressSample]:
    """Five looks a second at a load of so many events a second, and at what has come of it."""
    found = []
    for number in range(int(until_s / STEP_S) + 1):
        at_s = number * STEP_S
        due = int(rate * at_s)
        found.append(ProgressSample(at_s, due, min(due, int(delivered(at_s))), due))
    return found


def outage(
    injected_s: float, healed_s: float, capacity: float, rate: float = RATE
) -> Callable[[float], float]:
    """Nothing comes from the injection to the healing; then the backlog is worked off."""
    held = rate * (injected_s - LATENCY_S)

    def delivered(at_s: float) -> float:
        usual = rate * max(0.0, at_s - LATENCY_S)
        if at_s <= injected_s:
            return usual
        if at_s <= healed_s:
            return min(usual, held)
        return min(usual, held + capacity * (at_s - healed_s))

    return delivered


def of(
    injected_s: float, healed_s: float, capacity: float, until_s: float, rate: float = RATE
) -> Recovery:
    return recovery(
        looks(outage(injected_s, healed_s, capacity, rate), until_s, rate),
        FaultMoments(2.0, injected_s, healed_s),
    )


def test_a_backlog_is_seen_within_the_time_in_which_it_becomes_too_old() -> None:
    found = of(10.0, 15.0, 2000.0, 30.0)

    assert found.detected_s is not None
    assert 0.2 <= found.detected_s <= 1.0


def test_the_time_to_recover_is_the_best_possible_one_where_all_capacity_is_used() -> None:
    found = of(10.0, 15.0, 2000.0, 30.0)

    assert found.best_s == pytest.approx(5.0 * RATE / (2000.0 - RATE), rel=0.05)
    assert found.recovered_s == pytest.approx(found.best_s, abs=2 * STEP_S + 0.3)
    assert found.ratio == pytest.approx(1.0, abs=0.35)
    assert found.capacity_per_s == pytest.approx(2000.0, rel=0.05)
    assert found.outage_s == 5.0
    assert found.first_delivery_s == pytest.approx(STEP_S, abs=STEP_S)
    assert found.most_backlog == pytest.approx(5.0 * RATE, rel=0.02)


def test_a_pipeline_that_never_comes_back_has_no_time_to_recover() -> None:
    found = of(10.0, 15.0, 0.0, 40.0)

    assert found.recovered_s is None
    assert found.first_delivery_s is None
    assert found.best_s is None
    assert found.ratio is None


def test_a_backlog_that_is_worked_off_too_slowly_to_end_is_no_recovery() -> None:
    found = of(10.0, 15.0, RATE * 1.05, 30.0)

    assert found.first_delivery_s is not None
    assert found.recovered_s is None


def test_being_back_counts_once_it_has_lasted() -> None:
    short = of(10.0, 15.0, 2000.0, 17.5)
    longer = of(10.0, 15.0, 2000.0, 20.0)

    assert short.recovered_s is None
    assert longer.recovered_s is not None


def test_a_fault_without_effect_is_not_detected_and_recovered_at_once() -> None:
    found = of(10.0, 10.0, 2000.0, 20.0)

    assert found.detected_s is None
    assert found.recovered_s == pytest.approx(0.0, abs=STEP_S)


def test_slow_seconds_are_no_recovery_although_the_backlog_is_small() -> None:
    moments = FaultMoments(2.0, 10.0, 12.0)
    samples = looks(outage(10.0, 12.0, 5000.0), 30.0)
    slow = [SecondOfLatency(float(at), 900.0 if 10 < at <= 20 else 30.0) for at in range(1, 31)]

    found = recovery(samples, moments, slow)

    assert found.recovered_s is not None
    assert found.recovered_s >= 7.0
    assert recovery(samples, moments).recovered_s < found.recovered_s  # type: ignore[operator]


def test_seconds_without_a_p99_say_nothing() -> None:
    moments = FaultMoments(2.0, 10.0, 12.0)
    samples = looks(outage(10.0, 12.0, 5000.0), 30.0)
    unknown = [SecondOfLatency(float(at), None) for at in range(1, 31)]

    assert recovery(samples, moments, unknown) == recovery(samples, moments)


@pytest.mark.parametrize("capacity", [None, 400.0, 500.0, 505.0])
def test_without_capacity_to_spare_there_is_no_best_possible_time(capacity: float | None) -> None:
    assert best_possible_s(5.0, 500.0, capacity) is None


@given(st.floats(0.1, 100), st.floats(1, 10_000), st.floats(1.1, 10))
def test_more_capacity_never_makes_the_best_possible_time_longer(
    outage_s: float, rate: float, factor: float
) -> None:
    less, more = (best_possible_s(outage_s, rate, rate * by) for by in (factor, factor * 2))

    assert less is not None
    assert more is not None
    assert more <= less


@given(st.floats(5.0, 12.0), st.floats(0.5, 10.0), st.floats(600.0, 5000.0), st.floats(13.0, 60.0))
def test_a_recovery_once_told_stays_told_while_nothing_else_happens(
    injected_s: float, hold_s: float, capacity: float, until_s: float
) -> None:
    healed_s = injected_s + hold_s
    assume(until_s > healed_s)
    early = of(injected_s, healed_s, capacity, until_s)
    assume(early.recovered_s is not None)

    assert of(injected_s, healed_s, capacity, until_s + 20.0).recovered_s == early.recovered_s


def test_no_look_at_all_says_nothing() -> None:
    found = recovery([], FaultMoments(2.0, 10.0, 12.0))

    assert (found.detected_s, found.recovered_s, found.most_backlog) == (None, None, 0)

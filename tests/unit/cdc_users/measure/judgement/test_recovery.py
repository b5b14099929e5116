"""What looks at a pipeline say of a fault, on pipelines whose answers are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cdc_users.measure.judgement.backlog import ProgressSample
from cdc_users.measure.judgement.recovery import (
    FaultMoments,
    LatencySpan,
    Recovery,
    best_possible_s,
    recovery,
    steady_p99s_ms,
)

STEP_S = 0.2
RATE = 500.0
LATENCY_S = 0.05
#: The 11th to the 20th of thirty seconds are slow.
SLOW_SECONDS = [LatencySpan(float(at), 900.0 if 10 < at <= 20 else 30.0) for at in range(1, 31)]


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


def test_a_pipeline_that_delivers_in_batches_and_then_no_more_has_not_recovered() -> None:
    """GIVEN a sink that commits every three seconds, and a capture that dies with the fault THEN
    the next three seconds look like those before.
    """

    def batches(at_s: float) -> float:
        return RATE * 3.0 * (min(at_s, 10.0) // 3.0)

    moments = FaultMoments(3.0, 10.0, 10.2)
    for until_s in (12.5, 13.5, 14.5, 20.0):
        assert recovery(looks(batches, until_s), moments).recovered_s is None

    def alive(at_s: float) -> float:
        return RATE * 3.0 * (at_s // 3.0)

    assert recovery(looks(alive, 20.0), moments).recovered_s == pytest.approx(0.0, abs=STEP_S)


def test_a_fault_without_effect_is_not_detected_and_recovered_at_once() -> None:
    found = of(10.0, 10.0, 2000.0, 20.0)

    assert found.detected_s is None
    assert found.recovered_s == pytest.approx(0.0, abs=STEP_S)


def test_slow_seconds_are_no_recovery_although_the_backlog_is_small() -> None:
    moments = FaultMoments(2.0, 10.0, 12.0)
    samples = looks(outage(10.0, 12.0, 5000.0), 30.0)

    found = recovery(samples, moments, SLOW_SECONDS)

    assert found.recovered_s is not None
    assert found.recovered_s >= 7.0
    assert recovery(samples, moments).recovered_s < found.recovered_s  # type: ignore[operator]


def test_long_spans_of_a_slow_load_do_not_make_the_recovery_late() -> None:
    """GIVEN a pipeline that is slow until the 14th second, and a p99 over the last ten seconds."""
    moments = FaultMoments(2.0, 10.0, 12.0)
    samples = looks(outage(10.0, 12.0, 5000.0), 40.0)
    long = [
        LatencySpan(float(at), 900.0 if at > 10 and at - 10 < 14 else 30.0, 10.0)
        for at in range(1, 41)
    ]

    found = recovery(samples, moments, long)

    assert found.recovered_s == pytest.approx(2.0, abs=2 * STEP_S)


def test_a_slow_event_within_long_spans_is_no_recovery() -> None:
    """GIVEN one slow moment in the 21st second, within ten spans."""
    moments = FaultMoments(2.0, 10.0, 12.0)
    samples = looks(outage(10.0, 12.0, 5000.0), 40.0)
    long = [LatencySpan(float(at), 900.0 if 20 < at <= 30 else 30.0, 10.0) for at in range(1, 41)]

    found = recovery(samples, moments, long)

    assert found.recovered_s == pytest.approx(9.0, abs=2 * STEP_S)


def test_a_backlog_is_worked_off_before_latency_is_as_it_was() -> None:
    moments = FaultMoments(2.0, 10.0, 12.0)
    samples = looks(outage(10.0, 12.0, 2000.0), 30.0)

    found = recovery(samples, moments, SLOW_SECONDS)

    assert found.best_s is not None
    assert found.caught_up_s == pytest.approx(found.best_s, abs=2 * STEP_S + 0.3)
    assert found.recovered_s is not None
    assert found.recovered_s >= 7.0


@pytest.mark.parametrize(
    ("after", "caught_up_s"),
    [
        ([0.1, 0.1, 0.1], 0.0),
        ([2.0, 0.1, 0.1, 0.1, 2.0, 0.1], 1.0),  # a later backlog is another one
        ([2.0, 0.1, 2.0, 0.1, 0.1, 0.1], 3.0),
        ([2.0, 0.1, 0.1], None),
        ([2.0, 2.0, 2.0], None),
        ([], None),
    ],
)
def test_a_backlog_is_worked_off_when_it_stays_small_for_the_first_time(
    after: list[float], caught_up_s: float | None
) -> None:
    assert aged([*BEFORE, 1.0, 2.0, *after], MOMENTS).caught_up_s == caught_up_s


def test_seconds_without_a_p99_say_nothing() -> None:
    moments = FaultMoments(2.0, 10.0, 12.0)
    samples = looks(outage(10.0, 12.0, 5000.0), 30.0)
    unknown = [LatencySpan(float(at), None) for at in range(1, 31)]

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


def aged(
    ages_s: list[float], moments: FaultMoments, seconds: tuple[LatencySpan, ...] = ()
) -> Recovery:
    """A look a second from the first second on, at a backlog of that age, under 100 events/s."""
    found = [
        ProgressSample(float(at), 100 * at, round(100 * (at - age_s)), 100 * at)
        for at, age_s in enumerate(ages_s, start=1)
    ]
    return recovery(found, moments, seconds)


#: Steady from the second to the fifth second, healed at the eighth.
MOMENTS = FaultMoments(2.0, 5.0, 8.0)
#: Looks until then: the first may be as late as it likes, and the oldest of the others is 0.2 s.
BEFORE = [0.0, 0.1, 0.2, 0.1, 0.1]


def test_the_baseline_is_the_oldest_backlog_of_the_steady_part() -> None:
    found = aged([0.9, *BEFORE[1:], 0.9, 0.9, 0.9, 0.1, 0.1, 0.1], MOMENTS)

    assert found.baseline_age_s == 0.2


@pytest.mark.parametrize(("age_s", "detected_s"), [(0.55, None), (0.56, 2.0)])
def test_a_fault_is_seen_above_half_as_much_again_and_a_quarter_of_a_second(
    age_s: float, detected_s: float | None
) -> None:
    assert aged([*BEFORE, 0.1, age_s, 0.1, 0.1, 0.1], MOMENTS).detected_s == detected_s


def test_a_fault_is_not_seen_before_it_was_done() -> None:
    assert aged([0.1, 0.1, 0.1, 0.1, 3.0, 0.1, 0.1, 0.1], MOMENTS).detected_s is None


@pytest.mark.parametrize(
    ("after", "recovered_s"),
    [
        # The looks of the eighth second and later.
        ([0.1, 0.1, 0.1], 0.0),
        ([2.0, 0.1, 0.1, 0.1], 1.0),
        ([2.0, 0.1, 2.0, 0.1, 0.1, 0.1], 3.0),
        ([2.0, 0.1, 0.1], None),  # it has not stayed there for two seconds
        ([0.1, 0.1, 0.1, 2.0], None),
        ([2.0, 2.0, 2.0], None),
        ([], None),
    ],
)
def test_a_pipeline_is_back_from_when_on_all_looks_are_at_the_baseline(
    after: list[float], recovered_s: float | None
) -> None:
    assert aged([*BEFORE, 1.0, 2.0, *after], MOMENTS).recovered_s == recovered_s


def test_a_slow_second_counts_from_its_beginning_to_its_end() -> None:
    """GIVEN a slow tenth second THEN looks at 9.x s are not at the baseline, and that at 11 is."""
    seconds = tuple(LatencySpan(float(at), 500.0 if at == 10 else 30.0) for at in range(1, 15))

    found = aged([*BEFORE, *[0.1] * 9], MOMENTS, seconds)

    assert found.recovered_s == 3.0


@pytest.mark.parametrize(("p99_ms", "recovered_s"), [(160.0, 0.0), (160.1, 3.0)])
def test_a_second_may_be_twice_as_slow_as_the_slowest_before_and_a_tenth_more(
    p99_ms: float, recovered_s: float
) -> None:
    seconds = (
        LatencySpan(1.0, 900.0),  # before the steady part
        LatencySpan(3.0, 30.0),
        LatencySpan(4.0, 20.0),
        LatencySpan(10.0, p99_ms),
        LatencySpan(11.0, 30.0),
    )

    assert aged([*BEFORE, *[0.1] * 9], MOMENTS, seconds).recovered_s == recovered_s


def test_the_steady_part_has_both_of_its_ends() -> None:
    seconds = [LatencySpan(at_s, at_s) for at_s in (1.9, 2.0, 3.0, 5.0, 5.1)]

    assert steady_p99s_ms(MOMENTS, [*seconds, LatencySpan(4.0, None)]) == [2.0, 3.0, 5.0]


def test_the_capacity_is_the_best_whole_second_after_the_healing() -> None:
    delivered = [100, 200, 300, 400, 500, 500, 500, 500, 900, 1600, 1700]
    found = recovery(
        [
            ProgressSample(float(at), 200 * at, came, 200 * at)
            for at, came in enumerate(delivered, start=1)
        ],
        MOMENTS,
    )

    assert found.capacity_per_s == 700.0
    assert found.rate_per_s == 200.0
    assert found.first_delivery_s == 1.0
    assert found.most_backlog == 200 * 8 - 500
    assert found.best_s == pytest.approx(3.0 * 200 / 500)


def test_looks_of_less_than_a_second_after_the_healing_show_no_capacity() -> None:
    found = recovery(
        [ProgressSample(8.0 + tenth / 10, 100, 10 * tenth, 100) for tenth in range(10)], MOMENTS
    )

    assert (found.capacity_per_s, found.best_s) == (None, None)


@pytest.mark.parametrize(("capacity", "best_s"), [(102.0, None), (103.0, 100.0), (400.0, 1.0)])
def test_a_capacity_that_hardly_exceeds_the_rate_says_nothing_of_a_time(
    capacity: float, best_s: float | None
) -> None:
    assert best_possible_s(3.0, 100.0, capacity) == best_s


def test_times_are_told_as_parts_of_the_best_possible_one() -> None:
    known = Recovery(None, None, None, 6.0, 1.0, 0.0, 0, 1.0, 2.0, 1.5)

    assert known.ratio == 4.0
    assert replace(known, recovered_s=0.0).ratio == 0.0
    assert replace(known, best_s=0.0).ratio is None

"""How far equal steps lie apart is told where there are several, and of nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.judgement.result import ArrivalTally, StepResult
from cdc_users.measure.judgement.spread import Spread, spread_notes, spread_of

RATES = st.floats(0.1, 1e6)


def step(name: str, rate: float | None, **changes: Any) -> StepResult:
    told: dict[str, Any] = {
        "name": name,
        "mode": "drain",
        "messages": 100,
        "duration_s": 1.0,
        "throughput_per_s": None,
        "bytes_per_s": None,
        "arrivals": ArrivalTally(1, 1, 1, 0, 0, 0),
        "latency_ms": {},
        "ledger": {},
        "drain_rate_per_s": rate,
    }
    return StepResult(**{**told, **changes})


@given(st.lists(RATES, min_size=2, max_size=9), st.randoms())
def test_a_spread_has_its_middle_between_its_ends_whatever_the_order(
    rates: list[float], chance: Any
) -> None:
    found = spread_of(rates)
    shuffled = list(rates)
    chance.shuffle(shuffled)

    assert found is not None
    assert found.least <= found.median <= found.most
    assert found == spread_of(shuffled)
    assert (found.share == 0) == (len(set(rates)) == 1)


@given(st.lists(RATES, min_size=2, max_size=9), st.floats(0.5, 100))
def test_a_spread_does_not_depend_on_the_unit(rates: list[float], factor: float) -> None:
    found, scaled = spread_of(rates), spread_of([rate * factor for rate in rates])

    assert found is not None
    assert scaled is not None
    assert scaled.share == pytest.approx(found.share)


@pytest.mark.parametrize("rates", [[], [5.0]])
def test_one_figure_has_no_spread(rates: list[float]) -> None:
    assert spread_of(rates) is None


def test_figures_of_nothing_are_not_apart() -> None:
    assert Spread(0.0, 0.0, 0.0).share == 0.0


def test_each_configuration_that_was_repeated_is_told_once_and_apart_from_the_others() -> None:
    steps = [
        step("p-counting-1-round-1", 1000.0),
        step("p-counting-2-round-1", 2000.0),
        step("p-counting-1-round-2", 1100.0),
        step("p-counting-2-round-2", 2000.0),
        step("p-counting-1-round-3", 1050.0),
    ]

    assert spread_notes(steps) == [
        "p-counting-1 in 3 rounds: 1,000 to 1,100/s, median 1,050/s; they are 10% apart",
        "p-counting-2 in 2 rounds: 2,000 to 2,000/s, median 2,000/s; they are 0% apart",
    ]


@pytest.mark.parametrize(
    "steps",
    [
        [step("p-counting-1", 1000.0), step("p-counting-2", 1000.0)],
        [step("p-1-round-1", 1000.0)],
        [step("p-1-round-1", 1000.0), step("p-1-round-2", None)],
        [step("p-1-round-1", 10.0, warm_up=True), step("p-1-round-2", 20.0, warm_up=True)],
        [],
    ],
)
def test_what_was_not_repeated_or_not_measured_is_not_told(steps: list[StepResult]) -> None:
    assert spread_notes(steps) == []


def test_a_paced_step_is_told_by_its_throughput() -> None:
    steps = [
        step(f"x-round-{turn}", None, mode="paced", throughput_per_s=rate)
        for turn, rate in enumerate((100.0, 150.0), start=1)
    ]

    (told,) = spread_notes(steps)
    assert told.startswith("x in 2 rounds: 100 to 150/s")


def test_the_middle_of_an_even_number_of_figures_is_between_two() -> None:
    assert spread_of([4.0, 1.0, 2.0, 9.0]) == Spread(1.0, 3.0, 9.0)
    assert Spread(1.0, 4.0, 9.0).share == 2.0


def test_a_name_is_told_without_its_round_and_a_round_within_it_is_none() -> None:
    steps = [step(f"a-round-9-round-{turn}", 100.0) for turn in (1, 2, 10)]

    (told,) = spread_notes([*steps, step("a-round-9b", 5.0), step("a-round-", 5.0)])
    assert told.startswith("a-round-9 in 3 rounds: ")


def test_a_drain_is_told_by_its_drain_rate_and_a_burst_by_its_throughput() -> None:
    steps = [
        step(f"{mode}-round-{turn}", 10.0 * turn, mode=mode, throughput_per_s=1000.0 * turn)
        for mode in ("drain", "burst")
        for turn in (1, 2)
    ]

    drained, burst = spread_notes(steps)
    assert drained.startswith("drain in 2 rounds: 10 to 20/s, median 15/s")
    assert burst.startswith("burst in 2 rounds: 1,000 to 2,000/s, median 1,500/s")

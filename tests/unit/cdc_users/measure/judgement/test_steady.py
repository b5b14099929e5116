"""A load that a pipeline cannot hold is found however short the step, and noise is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cdc_users.measure.judgement.backlog import ProgressSample, settled_from
from cdc_users.measure.judgement.steady import backlog_growth
from tests.unit.cdc_users.measure.judgement.test_validity import looks, reasons


@pytest.mark.parametrize("seed", range(20))
def test_noise_and_a_single_stall_are_steady(seed: int) -> None:
    noise = np.random.default_rng(seed).exponential(40, 60)
    noise[20:23] += 2000  # a stall of two seconds that is caught up

    assert not reasons({"looks": looks(noise.tolist())})


@pytest.mark.parametrize("seed", range(20))
def test_growth_of_a_few_percent_is_seen_through_the_noise(seed: int) -> None:
    noise = np.random.default_rng(seed).exponential(40, 60) + 20 * np.arange(60)

    assert backlog_growth(looks(noise.tolist())) * 1000 == pytest.approx(20, rel=0.15)
    assert reasons({"looks": looks(noise.tolist())})


def offered(
    rate_per_s: Any, capacity_per_s: float, latency_s: float, held_s: int
) -> dict[str, Any]:
    """A step as it is seen when arrivals at this rate meet one server of that capacity behind a
    constant latency.
    """
    at_s = np.arange(0, held_s + 60, 0.001)
    due = np.cumsum(np.where(at_s < held_s, [rate_per_s(t) for t in at_s], 0.0)) * 0.001
    served, left = np.empty(len(due)), 0.0
    for number, arrived in enumerate(due):
        left = min(float(arrived), left + capacity_per_s * 0.001)
        served[number] = left
    out = np.concatenate((np.zeros(round(latency_s * 1000)), served))[: len(due)]
    every = range(1000, held_s * 1000 + 1, 1000)
    last_s = float(at_s[np.flatnonzero(out >= due[-1] - 0.5)[0]])
    ages_s = np.interp(np.linspace(1, due[-1] - 1, 500), out, at_s) - np.interp(
        np.linspace(1, due[-1] - 1, 500), due, at_s
    )
    return {
        "looks": [ProgressSample(at_s[n], int(due[n]), int(out[n]), int(due[n])) for n in every],
        "loaded_s": float(held_s),
        "left_s": max(0.0, last_s - held_s),
        "end_to_end_p50_ms": float(np.median(ages_s)) * 1000,
    }


@pytest.mark.parametrize("held_s", [2, 3, 5, 8, 20])
def test_twice_the_capacity_never_passes_however_short_the_step(held_s: int) -> None:
    (reason,) = reasons(offered(lambda _: 200.0, 106.0, 0.02, held_s))

    short = held_s < 5
    assert ("too short to judge" if short else "no steady state: the backlog grew") in reason


@pytest.mark.parametrize("held_s", [1, 3, 8, 20])
@pytest.mark.parametrize("latency_s", [0.005, 0.3, 2.0])
def test_constant_latency_is_no_growth_and_a_ramp_is_none_either(
    held_s: int, latency_s: float
) -> None:
    assert not reasons(offered(lambda _: 200.0, 1e6, latency_s, held_s))
    assert not reasons(offered(lambda t: 20.0 + 100.0 * t, 1e6, latency_s, held_s))


def test_a_ramp_beyond_the_capacity_and_an_overload_at_the_end_are_found() -> None:
    assert reasons(offered(lambda t: 40.0 * t, 200.0, 0.02, 10))
    (reason,) = reasons(offered(lambda t: 100.0 if t < 24 else 800.0, 200.0, 0.02, 30))

    assert "after 30.0 s of load the last events took 18.0 s to arrive" in reason


def test_a_single_pause_at_the_end_of_a_step_is_no_backlog() -> None:
    assert not reasons({"loaded_s": 20.0, "left_s": 0.4, "end_to_end_p50_ms": 6.0})
    assert reasons({"loaded_s": 20.0, "left_s": 1.4, "end_to_end_p50_ms": 6.0})


def aged(ages_s: list[float]) -> list[ProgressSample]:
    """Looks a second apart at a backlog of that age, after ten in which nothing was late; so none
    of those that count is among the first fifth, with forty looks at least.
    """
    return [
        ProgressSample(float(at), 1000 * at, round(1000 * (at - age_s)))
        for at, age_s in enumerate([0.0] * 10 + ages_s)
    ]


def test_growth_is_the_part_of_the_load_that_stays_behind() -> None:
    assert backlog_growth(aged([0.02 * at for at in range(40)])) == pytest.approx(0.02)
    assert backlog_growth(aged([0.5 * at for at in range(40)])) == pytest.approx(0.5)


@pytest.mark.parametrize(("share", "grows"), [(0.009, False), (0.011, True)])
def test_a_growth_of_one_percent_is_tolerated(share: float, grows: bool) -> None:
    assert (backlog_growth(aged([share * at for at in range(40)])) > 0) is grows


def test_a_backlog_that_shrinks_does_not_grow() -> None:
    assert backlog_growth(aged([4.0 - 0.1 * at for at in range(40)])) == 0.0


def few(ages_s: list[float]) -> list[ProgressSample]:
    """As many looks, after those of the first fifth."""
    before = settled_from(len(ages_s) + settled_from(len(ages_s) + 1))
    return [
        ProgressSample(float(at), 1000 * at, round(1000 * (at - age_s)))
        for at, age_s in enumerate([0.0] * before + ages_s, start=10)
    ]


@pytest.mark.parametrize(
    ("ages_s", "grows"),
    [
        ([0.0, 0.1, 0.2], False),  # three looks show no trend
        ([0.0, 0.1, 0.2, 0.3], True),
        ([0.0, 0.08, 0.16, 0.24], False),  # in all less than a quarter of a second
        ([0.0, 0.2, 0.1, 0.3, 0.4], False),  # one pair of ten is against it
    ],
)
def test_few_looks_must_agree_and_show_much(ages_s: list[float], grows: bool) -> None:
    assert (backlog_growth(few(ages_s)) > 0) is grows


def test_as_many_looks_as_are_enough_may_disagree_here_and_there() -> None:
    ages_s = [0.0, 0.2, 0.1, 0.3, 0.5, 0.4, 0.6, 0.7]  # two pairs are against it

    assert backlog_growth(few(ages_s)) == pytest.approx(0.1, abs=0.02)
    assert backlog_growth(few(ages_s[:7])) == 0.0


def test_what_was_usual_is_the_p50_or_the_oldest_backlog_of_the_first_half() -> None:
    """GIVEN a latency of two seconds from the beginning THEN the last events take as long."""
    late = [ProgressSample(float(at), 1000 * at, 1000 * max(0, at - 2)) for at in range(1, 21)]
    told = {"loaded_s": 20.0, "left_s": 2.5, "end_to_end_p50_ms": 10.0}

    assert reasons({**told, "looks": ()})
    assert not reasons({**told, "looks": late})
    assert not reasons({**told, "looks": (), "end_to_end_p50_ms": 2000.0})


def test_a_late_second_half_excuses_nothing() -> None:
    late = [
        ProgressSample(float(at), 1000 * at, 1000 * (at - (3 if at in (18, 19) else 0)))
        for at in range(1, 21)
    ]

    (reason,) = reasons({"loaded_s": 20.0, "left_s": 3.0, "end_to_end_p50_ms": 10.0, "looks": late})
    assert "took 3.0 s to arrive, where 0.0 s had been usual" in reason


def test_a_burst_and_a_load_that_is_not_held_have_no_steady_state_to_lose() -> None:
    growing = looks([500.0 * at for at in range(40)])

    assert reasons({"looks": growing})
    assert not reasons({"looks": growing, "mode": "burst"})
    assert not reasons({"looks": growing, "steady": False})

"""A load that a pipeline cannot hold is found however short the step, and noise is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cdc_users.measure.judgement.backlog import ProgressSample
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

"""A probe holds only if all that went in came out, in time, and nothing piled up anywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc_users.measure.capacity.probe import (
    BacklogSeries,
    ProbeFigures,
    hopeless,
    judge_probe,
    slo_spent,
    thinned,
    trend_share,
)
from cdc_users.measure.judgement.backlog import ProgressSample

RATE = 1000.0


def looks(
    out_per_s: float, seconds: int = 20, late_s: float = 0.05, sent_per_s: float = RATE
) -> list[ProgressSample]:
    """A second each: as much was due as is offered, and so much was sent and came out."""
    return [
        ProgressSample(
            float(at),
            round(sent_per_s * at),
            round(min(sent_per_s * (at - late_s), out_per_s * at)),
            round(RATE * at),
        )
        for at in range(1, seconds + 1)
    ]


def series(growth_per_s: float, *, known: bool = True) -> BacklogSeries:
    at_s = [0.1 * number for number in range(200)]
    return BacklogSeries(at_s, [50 + growth_per_s * at for at in at_s], RATE, known)


HOLDS = ProbeFigures(RATE, looks(RATE), backlogs={"topic": series(0.0)})


def test_a_pipeline_that_keeps_up_holds() -> None:
    judged = judge_probe(HOLDS)

    assert (judged.held, judged.reason) == (True, "")
    assert judged.delivered_per_s == pytest.approx(RATE, rel=0.001)
    assert judged.growth == {"topic": 0.0}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"looks": looks(0.97 * RATE)}, "the backlog grew by"),
        ({"drained": False}, "not everything arrived"),
        ({"failed": 3}, "3 arrivals failed"),
        ({"cut": "it was hopeless"}, "it was hopeless"),
        ({"slo": ["end_to_end.p99 < 1s, but it is 2000ms"]}, "end_to_end.p99"),
        ({"backlogs": {"slot": series(30.0)}}, "the backlog of the slot grew by 3.0%"),
        ({"backlogs": {"topic": series(0.0, known=False)}}, "topic is not known"),
    ],
)
def test_what_keeps_a_probe_from_holding_is_named(changes: dict[str, object], told: str) -> None:
    judged = judge_probe(replace(HOLDS, **changes))  # type: ignore[arg-type]

    assert judged.held is False
    assert told in judged.reason


def test_a_load_that_the_generator_did_not_offer_says_nothing_of_the_pipeline() -> None:
    figures = replace(HOLDS, looks=looks(RATE, sent_per_s=800.0), generator=["it was behind"])

    assert judge_probe(figures).held is None
    assert judge_probe(figures).reason == "it was behind"


def test_a_probe_that_was_given_up_for_its_slo_accuses_nobody_while_the_generator_was_late() -> (
    None
):
    figures = replace(HOLDS, cut="p99 is out of reach", generator=["it was behind"])

    assert judge_probe(figures).held is None


def test_a_probe_of_too_few_looks_says_nothing_of_the_pipeline() -> None:
    judged = judge_probe(replace(HOLDS, looks=looks(RATE, seconds=3)))

    assert judged.held is None
    assert "hold each rate for longer" in judged.reason


def test_a_pipeline_that_cannot_take_even_what_was_sent_fails_however_late_the_generator() -> None:
    figures = replace(HOLDS, looks=looks(600.0, sent_per_s=800.0), generator=["it was behind"])

    assert judge_probe(figures).held is False


@pytest.mark.parametrize("share", [0.001, 0.003])
def test_a_small_growth_is_seen_where_every_look_agrees_on_it(share: float) -> None:
    """GIVEN a minute in which a thousandth stays behind THEN that is no steady state."""
    figures = replace(HOLDS, looks=looks((1 - share) * RATE, seconds=60, late_s=0.0))

    assert judge_probe(figures).held is False


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 0.3))
def test_a_backlog_that_goes_up_and_down_is_no_trend(seed: int, late_s: float) -> None:
    random = np.random.default_rng(seed)
    noisy = [
        ProgressSample(at, round(RATE * at), round(RATE * (at - late_s * random.random())))
        for at in range(1, 41)
    ]

    judged = judge_probe(replace(HOLDS, looks=noisy))

    assert judged.held is True


def test_a_slot_whose_reader_confirms_in_gulps_has_no_trend() -> None:
    at_s = [0.1 * number for number in range(200)]
    sawtooth = BacklogSeries(at_s, [RATE * (at % 1.0) for at in at_s], RATE)

    assert trend_share(sawtooth) == 0.0


@pytest.mark.parametrize(("span_s", "told"), [(7.0, 0.0), (20.0, 1.0)])
def test_what_rises_until_the_next_gulp_is_no_trend_and_what_never_falls_is_one(
    span_s: float, told: float
) -> None:
    at_s = [tenth / 10 for tenth in range(round(span_s * 10))]
    unconfirmed = BacklogSeries(at_s, [1000.0 * at for at in at_s], 1000.0, gulp_s=5.0)

    assert trend_share(unconfirmed) == pytest.approx(told, abs=0.01)


def test_a_growing_backlog_is_told_as_a_share_of_what_goes_through() -> None:
    assert trend_share(series(100.0)) == pytest.approx(0.1, rel=0.01)
    assert trend_share(BacklogSeries([0.0, 1.0], [0.0, 9.0], 0.0)) == 0.0


def test_a_probe_is_given_up_once_it_falls_behind_for_good() -> None:
    assert hopeless(looks(RATE)) == ""
    assert hopeless(looks(0.5 * RATE, seconds=4)) == ""
    assert "grew by 500 events/s (50%" in hopeless(looks(0.5 * RATE, seconds=10))


def test_a_short_stall_is_no_reason_to_give_up() -> None:
    stalled = [
        ProgressSample(
            float(at), 1000 * at, 1000 * min(at, 10) if at < 13 else 1000 * at, 1000 * at
        )
        for at in range(1, 14)
    ]

    assert all(hopeless(stalled[:count]) == "" for count in range(1, 14))


def test_a_percentile_is_out_of_reach_when_too_many_are_over_it_already() -> None:
    assert not slo_spent(100, 10_000, 99.0)
    assert slo_spent(101, 10_000, 99.0)


@given(st.integers(1, 500))
def test_thinning_keeps_the_ends_and_the_mean(count: int) -> None:
    at_s, values = np.arange(count, dtype=float), np.arange(count, dtype=float) * 2

    thin_s, thin = thinned(at_s, values, most=60)

    assert len(thin_s) <= max(60, 1)
    assert np.allclose(thin, 2 * thin_s)
    assert thin_s.min() >= 0
    assert thin_s.max() <= count - 1


def test_a_load_of_few_events_is_not_given_up_between_two_of_them() -> None:
    """GIVEN an event every ten seconds, each of which comes at once THEN nothing is late."""
    rare = [ProgressSample(float(at), at // 10, at // 10, at // 10) for at in range(1, 40)]

    assert all(hopeless(rare[:count]) == "" for count in range(1, 40))

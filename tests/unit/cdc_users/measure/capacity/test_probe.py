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


def waited(values_s: list[float], every_s: float = 1.0, gulp_s: float = 0.0) -> float:
    """The trend of seconds of waiting, looked at so often; of five looks the first is when the load
    got going.
    """
    at_s = [every_s * number for number in range(len(values_s) + 1)]
    return trend_share(BacklogSeries(at_s, [0.0, *values_s], 1.0, gulp_s=gulp_s))


@pytest.mark.parametrize(
    ("step_s", "every_s", "told"),
    [
        (0.5, 100.0, 0.005),  # half a percent of all that goes through, and all looks agree
        (0.06, 100.0, 0.0006),
        (0.05, 100.0, 0.0),  # too little to be certain of
        (0.009, 1.0, 0.009),  # 27 ms in all
        (0.008, 1.0, 0.0),  # 24 ms in all are within what a look can tell
    ],
)
def test_looks_that_all_agree_are_believed_from_a_little_growth_on(
    step_s: float, every_s: float, told: float
) -> None:
    assert waited([step_s * number for number in range(4)], every_s) == pytest.approx(told)


@pytest.mark.parametrize(
    ("unit_s", "told"),
    [
        (0.2, 0.015),  # of six pairs five agree, and their median slope is three quarters
        (0.07, 0.00525),
        (0.066, 0.0),  # below half a percent
    ],
)
def test_looks_that_mostly_agree_are_believed_above_half_a_percent(
    unit_s: float, told: float
) -> None:
    found = waited([0.0, 2 * unit_s, unit_s, 3 * unit_s], every_s=10.0)

    assert found == pytest.approx(told)


def test_a_growth_of_less_than_a_tenth_of_a_second_in_all_is_none_where_some_disagree() -> None:
    assert waited([0.0, 0.08, 0.04, 0.12]) == 0.0
    assert waited([0.0, 0.16, 0.08, 0.24]) == pytest.approx(0.06)


def test_looks_of_which_a_third_disagree_show_no_trend() -> None:
    assert waited([1.0, 0.0, 3.0, 2.0]) == 0.0


def test_two_looks_and_looks_of_one_moment_show_no_trend() -> None:
    assert waited([1.0, 9.0]) == 0.0
    assert waited([1.0, 5.0, 9.0]) == pytest.approx(4.0)
    assert waited([1.0, 5.0, 9.0, 13.0], every_s=0.0) == 0.0
    assert trend_share(BacklogSeries([], [], 1.0)) == 0.0


def test_a_trend_over_just_two_gulps_counts() -> None:
    rising = [float(number) for number in range(5)]

    # Four looks after those in which the load got going, a second apart, span three seconds.
    assert waited(rising, gulp_s=1.5) == pytest.approx(1.0)
    assert waited(rising, gulp_s=1.51) == 0.0


def test_as_many_looks_as_are_wanted_stay_as_they_are() -> None:
    at_s = np.arange(4, dtype=float)

    same_s, _ = thinned(at_s, at_s, most=4)
    fewer_s, fewer = thinned(at_s, at_s**2, most=2)

    assert same_s.tolist() == [0, 1, 2, 3]
    assert (fewer_s.tolist(), fewer.tolist()) == ([0.5, 2.5], [0.5, 6.5])


def lagging(ages_s: list[float]) -> list[ProgressSample]:
    """A second each, at which the newest event that has come was due so long ago."""
    return [
        ProgressSample(float(at), 1000 * at, round(1000 * (at - age_s)), 1000 * at)
        for at, age_s in enumerate([0.0] * 4 + ages_s, start=1)
    ]


@pytest.mark.parametrize(
    ("ages_s", "given_up"),
    [
        ([2.0, 2.25, 2.5, 2.75, 3.0], True),
        ([1.99, 2.24, 2.49, 2.74, 2.99], False),  # not late enough yet
        ([3.0, 3.125, 3.25, 3.375, 3.5], True),
        ([3.0, 3.0625, 3.125, 3.1875, 3.25], False),  # so slowly that it may still hold
        ([2.0, 2.25, 2.25, 2.75, 3.5], False),  # a look at which it was no later
    ],
)
def test_a_probe_is_given_up_for_five_looks_that_are_later_and_later(
    ages_s: list[float], given_up: bool
) -> None:
    assert bool(hopeless(lagging(ages_s))) is given_up


def test_four_looks_are_too_few_to_give_up() -> None:
    falling = lagging([2.0, 2.5, 3.0, 3.5, 4.0])

    assert hopeless(falling[-5:])
    assert not hopeless(falling[-4:])


def test_a_probe_that_is_given_up_says_how_fast_it_fell_behind() -> None:
    assert hopeless(lagging([2.0, 2.5, 3.0, 3.5, 4.0])) == (
        "the backlog grew by 500 events/s (50% of what was offered), and the newest event came"
        " 4.0 s late"
    )


def test_what_came_out_is_the_lesser_of_the_usual_and_the_whole() -> None:
    """GIVEN a pipeline that stood still in the last of eight seconds."""
    stood = [
        ProgressSample(float(at), 1000 * at, 1000 * min(at, 9), 1000 * at) for at in range(1, 11)
    ]

    assert judge_probe(replace(HOLDS, looks=stood)).delivered_per_s == pytest.approx(6000 / 7)


@pytest.mark.parametrize("looked", [[], looks(RATE, seconds=1), looks(RATE, seconds=2)])
def test_of_fewer_than_two_looks_nothing_came_out(looked: list[ProgressSample]) -> None:
    assert judge_probe(replace(HOLDS, looks=looked)).delivered_per_s == 0.0


@pytest.mark.parametrize(
    ("out_per_s", "seconds", "held"),
    [
        (990, 21, True),
        (988, 21, False),
        (988, 9, True),  # 84 ms of load, which a machine may be late by in each look
    ],
)
def test_where_no_trend_can_be_seen_99_of_100_events_must_have_come(
    out_per_s: int, seconds: int, held: bool
) -> None:
    """GIVEN a pipeline that works in gulps, so that only a third of all pairs of looks agree."""
    gulps = [
        replace(look, delivered=out_per_s * at - (0, 300, 600)[at % 3])
        for at, look in enumerate(looks(RATE, seconds=seconds), 1)
    ]

    judged = judge_probe(replace(HOLDS, looks=gulps))

    assert judged.held is held
    assert judged.reason == ("" if held else "988 of 1,000 events/s came out (98.8%)")


def test_a_backlog_that_grows_is_told_in_events_and_as_a_share() -> None:
    judged = judge_probe(replace(HOLDS, looks=looks(900.0, seconds=60, late_s=0.0)))

    assert judged.reason == "the backlog grew by 100.0 events/s (10.0% of what was offered)"


def test_the_first_reason_is_the_one_that_explains_the_others() -> None:
    behind = replace(
        HOLDS,
        looks=looks(900.0, seconds=60),
        cut="given up",
        failed=2,
        drained=False,
        slo=["too slow"],
        backlogs={"topic": series(100.0)},
    )

    told = [
        judge_probe(replace(behind, **done)).reason
        for done in (
            {},
            {"cut": ""},
            {"cut": "", "failed": 0},
            {"cut": "", "failed": 0, "looks": looks(RATE)},
            {"cut": "", "failed": 0, "looks": looks(RATE), "drained": True},
            {"cut": "", "failed": 0, "looks": looks(RATE), "drained": True, "backlogs": {}},
        )
    ]

    assert told[0] == "given up"
    assert told[1] == "2 arrivals failed"
    assert told[2].startswith("the backlog grew by 100.")
    assert told[3] == "not everything arrived within --drain-timeout"
    assert told[4] == "the backlog of the topic grew by 10.0% of what goes through it"
    assert told[5] == "too slow"


def test_a_place_that_nobody_could_look_at_is_told_before_one_that_grew() -> None:
    backlogs = {"topic": series(100.0), "slot": series(0.0, known=False)}

    judged = judge_probe(replace(HOLDS, backlogs=backlogs))

    assert judged.reason == "the backlog of the slot is not known, and so not bounded"
    assert judged.growth == {"topic": pytest.approx(0.1, abs=1e-4)}, "unknown is not nothing"


def test_a_late_generator_excuses_no_pipeline_that_did_not_drain() -> None:
    figures = replace(HOLDS, generator=["it was behind"], drained=False)

    judged = judge_probe(figures)

    assert (judged.held, judged.reason) == (False, "not everything arrived within --drain-timeout")


def test_a_probe_that_was_given_up_needs_no_more_looks() -> None:
    early = replace(HOLDS, looks=looks(RATE, seconds=2), cut="p99 is out of reach")

    assert (judge_probe(early).held, judge_probe(early).reason) == (False, "p99 is out of reach")


def test_three_looks_after_the_first_fifth_are_enough() -> None:
    assert judge_probe(replace(HOLDS, looks=looks(RATE, seconds=4))).held is True

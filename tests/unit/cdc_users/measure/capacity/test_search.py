"""The search finds the rate that a simulated pipeline holds, or says what keeps it from that."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc_users.measure.capacity.search import (
    Evidence,
    LimitName,
    SearchAnswer,
    SearchPlan,
    Trial,
    TrialOutcome,
    next_trial,
)
from tests.unit.cdc_users.measure.capacity.simulated import (
    PLAN,
    SimulatedPipeline,
    searched,
    stalling,
    steady,
    tiring,
)

#: A probe may fall behind by less than this and hold (probe.GROWTH_SHARE).
TOLERANCE = 0.005


def outcome(rate_per_s: float, held: bool | None, *, long: bool = False) -> TrialOutcome:
    trial = Trial(rate_per_s, long)
    return TrialOutcome(trial, held, rate_per_s, 10.0, "" if held else f"{rate_per_s:g} failed")


def perfect(rate_per_s: float, plan: SearchPlan = PLAN) -> tuple[SearchAnswer, list[Trial]]:
    """Search a pipeline that holds exactly this rate, and never errs."""
    outcomes: list[TrialOutcome] = []
    while isinstance(trial := next_trial(plan, outcomes), Trial):
        held = trial.rate_per_s <= rate_per_s
        outcomes.append(TrialOutcome(trial, held, trial.rate_per_s, plan.cost_s(long=trial.long)))
    return trial, [one.trial for one in outcomes]


@pytest.mark.parametrize("rate_per_s", [200, 1000, 5000])
def test_the_interval_holds_the_rate_of_a_noisy_pipeline_and_is_narrow(rate_per_s: float) -> None:
    answers = [searched(SimulatedPipeline(steady(rate_per_s), seed=seed))[0] for seed in range(20)]

    right = [
        answer
        for answer in answers
        if answer.low_per_s is not None
        and answer.high_per_s is not None
        and answer.low_per_s <= rate_per_s <= answer.high_per_s
        and (answer.width or 1) <= 0.05
    ]
    assert len(right) >= 19


def test_a_search_with_defaults_takes_less_than_twelve_minutes() -> None:
    _, outcomes = searched(SimulatedPipeline(steady(3300), seed=1))

    assert sum(one.took_s for one in outcomes) < 720


@pytest.mark.parametrize("seed", range(5))
def test_stalls_beyond_the_slo_are_why_nothing_holds(seed: int) -> None:
    answer, outcomes = searched(SimulatedPipeline(stalling(1000, every_s=15, for_s=2), seed=seed))

    assert (answer.kind, answer.high_per_s) == ("nothing_holds", 50)
    assert "p99" in answer.why
    assert [one.trial.rate_per_s for one in outcomes] == [200, 100, 50]


@pytest.mark.parametrize("seed", range(5))
def test_where_stalls_are_allowed_the_interval_holds_what_is_left_of_the_rate(seed: int) -> None:
    pipeline = SimulatedPipeline(stalling(1000, every_s=15, for_s=2), seed=seed, slo=False)
    answer, _ = searched(pipeline)

    assert answer.kind == "interval"
    assert answer.low_per_s is not None
    assert answer.high_per_s is not None
    assert answer.low_per_s * (1 - TOLERANCE) <= 1000 * 13 / 15 <= answer.high_per_s


@pytest.mark.parametrize("seed", range(5))
def test_a_capacity_that_falls_under_load_is_found_by_the_confirmations(seed: int) -> None:
    answer, outcomes = searched(SimulatedPipeline(tiring(1000, 700, after_s=30), seed=seed))

    assert answer.kind == "interval"
    assert answer.low_per_s is not None
    assert answer.high_per_s is not None
    assert answer.low_per_s <= 700 <= answer.high_per_s
    assert any(one.held and not one.trial.long and one.trial.rate_per_s > 700 for one in outcomes)


def test_a_generator_that_can_no_more_ends_the_search_as_at_least() -> None:
    answer, outcomes = searched(SimulatedPipeline(steady(5000), generator_per_s=1500))

    assert (answer.kind, answer.limit, answer.high_per_s) == ("at_least", "generator", None)
    assert answer.low_per_s == 800
    assert [one.trial.repeat for one in outcomes if one.held is None] == [0, 1]


def test_a_generator_that_needs_more_lanes_gets_them_and_the_search_goes_on() -> None:
    pipeline = SimulatedPipeline(steady(5000), generator_per_s=1500, more_lanes=4)
    answer, outcomes = searched(pipeline)

    assert answer.kind == "interval"
    assert answer.low_per_s is not None
    assert answer.low_per_s <= 5000
    assert all(one.trial.repeat for one in outcomes[-3:])


def test_an_unknown_lag_fails_at_every_rate() -> None:
    answer, _ = searched(SimulatedPipeline(steady(5000), lag_known=False))

    assert answer.kind == "nothing_holds"
    assert "not known" in answer.why


@pytest.mark.parametrize("limit", ["most", "ceiling"])
def test_a_rate_that_holds_at_the_end_of_what_may_be_asked_is_at_least_that(
    limit: LimitName,
) -> None:
    plan = replace(PLAN, most_per_s=900, limit=limit)
    answer, outcomes = searched(SimulatedPipeline(steady(5000)), plan)

    assert (answer.kind, answer.limit, answer.confirmed) == ("at_least", limit, 2)
    assert answer.low_per_s == pytest.approx(900, rel=TOLERANCE)
    assert max(one.trial.rate_per_s for one in outcomes) == 900


def test_a_budget_that_ends_early_leaves_a_wide_interval_that_is_still_right() -> None:
    plan = replace(PLAN, budget_s=330)
    answer, outcomes = searched(SimulatedPipeline(steady(1300)), plan)

    assert answer.kind == "interval"
    assert answer.low_per_s is not None
    assert answer.high_per_s is not None
    assert answer.low_per_s <= 1300 <= answer.high_per_s
    assert sum(one.took_s for one in outcomes) <= 330


def weak(trial: Trial) -> TrialOutcome:
    return TrialOutcome(trial, None, 0.0, 10.0, "others used the machine")


def test_what_the_generator_cannot_hold_for_long_is_tried_twice_and_then_the_next_lower_rate() -> (
    None
):
    """GIVEN rates that held in short probes and cannot be offered in a long one."""
    outcomes = [outcome(400, True), outcome(800, True), outcome(1600, held=False)]
    tried = []
    while isinstance(trial := next_trial(replace(PLAN, precision=1.0), outcomes), Trial):
        tried.append(trial)
        outcomes.append(weak(trial))

    assert tried == [
        Trial(800, long=True),
        Trial(800, long=True, repeat=1),
        Trial(400, long=True, repeat=1),
    ]
    assert (trial.kind, trial.limit) == ("undecided", "generator")
    assert "others used the machine" in trial.why


def test_a_lower_rate_that_the_generator_can_hold_is_an_at_least() -> None:
    outcomes = [outcome(400, True), outcome(800, True), outcome(1600, held=False)]
    while isinstance(trial := next_trial(replace(PLAN, precision=1.0), outcomes), Trial):
        offered = trial.rate_per_s < 800
        outcomes.append(replace(outcome(400, True), trial=trial) if offered else weak(trial))

    assert (trial.kind, trial.limit, trial.low_per_s) == ("at_least", "generator", 400)
    assert trial.confirmed == 2


def test_a_failure_below_the_generators_end_is_searched_on() -> None:
    """GIVEN a rate that the generator cannot offer, above one that held in a short probe only THEN
    the pipeline's own limit is below it and is found.
    """
    outcomes = [outcome(4000, True), outcome(8000, True)]
    outcomes += [weak(Trial(16000)), weak(Trial(16000, repeat=1))]
    outcomes.append(outcome(8000, held=False, long=True))
    while isinstance(trial := next_trial(PLAN, outcomes), Trial):
        outcomes.append(replace(outcome(trial.rate_per_s, trial.rate_per_s <= 6000), trial=trial))

    assert trial.kind == "interval"
    assert trial.low_per_s is not None
    assert trial.high_per_s is not None
    assert trial.low_per_s <= 6000 < trial.high_per_s


def test_between_a_doubtful_rate_and_what_the_generator_can_offer_nothing_is_asked_again() -> None:
    """GIVEN a rate that held once and failed once, below one that the generator cannot offer THEN
    the answer lies below the failure, and the generator is not asked for the other rate again.
    """
    outcomes = [outcome(4000, True), outcome(8000, True), outcome(16000, held=False)]
    outcomes += [outcome(11310, True), weak(Trial(13450)), weak(Trial(13450, repeat=1))]
    outcomes += [outcome(11310, True, long=True), outcome(11310, held=False, long=True)]
    while isinstance(trial := next_trial(PLAN, outcomes), Trial):
        assert trial.rate_per_s < 11310
        outcomes.append(replace(outcome(trial.rate_per_s, True), trial=trial))

    assert (trial.kind, trial.limit, trial.confirmed) == ("at_least", "generator", 2)
    assert trial.low_per_s is not None
    assert 11310 / (1 + PLAN.precision) <= trial.low_per_s < 11310


def test_an_upper_end_that_cannot_be_offered_for_long_leaves_a_lower_one_confirmed_twice() -> None:
    outcomes = [outcome(4000, True), outcome(4100, held=False)]
    outcomes += [weak(Trial(4050)), outcome(4000, True, long=True)]
    outcomes += [weak(Trial(4100, long=True, repeat=1))]
    while isinstance(trial := next_trial(PLAN, outcomes), Trial):
        assert trial == Trial(4000, long=True, repeat=1)
        outcomes.append(replace(outcome(4000, True), trial=trial))

    assert (trial.kind, trial.low_per_s, trial.high_per_s) == ("interval", 4000, 4100)
    assert trial.confirmed == 2


def test_an_at_least_lies_below_every_long_failure() -> None:
    """GIVEN a rate that held and failed, and a lower one that the generator cannot offer now."""
    outcomes = [outcome(4000, True, long=True), outcome(8000, True, long=True)]
    outcomes += [outcome(8000, held=False, long=True)]
    outcomes += [weak(Trial(6000, long=True)), weak(Trial(6000, long=True, repeat=1))]
    while isinstance(trial := next_trial(PLAN, outcomes), Trial):
        assert trial.rate_per_s < 8000
        offered = trial.rate_per_s <= 4000
        outcomes.append(
            replace(outcome(trial.rate_per_s, True), trial=trial) if offered else weak(trial)
        )

    assert (trial.kind, trial.low_per_s, trial.limit) == ("at_least", 4000, "generator")


def test_what_could_not_be_confirmed_is_no_answer() -> None:
    plan = replace(PLAN, budget_s=PLAN.least_s - 1)

    answer = next_trial(plan, [outcome(200, True)])

    assert isinstance(answer, SearchAnswer) or answer.long
    answer, _ = perfect(1000, replace(PLAN, budget_s=60))
    assert answer.kind == "undecided"
    assert "raise --budget" in answer.why


@settings(max_examples=200, deadline=None)
@given(rate_per_s=st.floats(60, 90_000), precision=st.sampled_from([0.02, 0.03, 0.1, 0.5]))
def test_without_noise_the_interval_always_holds_the_rate_and_is_as_narrow_as_asked(
    rate_per_s: float, precision: float
) -> None:
    plan = replace(PLAN, most_per_s=100_000, precision=precision, budget_s=1e9)
    answer, trials = perfect(rate_per_s, plan)

    assert answer.kind == "interval"
    assert answer.low_per_s is not None
    assert answer.high_per_s is not None
    assert answer.low_per_s <= rate_per_s + 0.1
    assert rate_per_s < answer.high_per_s
    assert answer.width is not None
    assert answer.width <= precision + 0.002
    assert [trial.long for trial in trials[-3:]] == [True, True, True]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([100.0, 200.0, 400.0, 800.0]), st.booleans(), st.booleans()),
        min_size=1,
        max_size=12,
    )
)
def test_whatever_was_seen_the_bracket_lies_around_every_contradiction(
    seen: list[tuple[float, bool, bool]],
) -> None:
    evidence = Evidence.of([outcome(rate, held, long=long) for rate, held, long in seen])

    if evidence.low is not None and evidence.high is not None:
        assert evidence.low < evidence.high
    assert all(evidence.low is None or rate > evidence.low for rate in evidence.fails)
    assert all(evidence.high is None or rate < evidence.high for rate in evidence.holds)


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=False), st.floats(0, 1))
def test_a_search_ends_within_its_budget_whatever_the_pipeline_does(
    chance: object, bias: float
) -> None:
    """GIVEN outcomes by chance THEN the search ends, and spends no more than it may."""
    outcomes: list[TrialOutcome] = []
    for _ in range(500):
        trial = next_trial(PLAN, outcomes)
        if isinstance(trial, SearchAnswer):
            break
        drawn = chance.random()  # type: ignore[attr-defined]
        held = None if drawn < 0.05 else drawn < bias
        took_s = PLAN.cost_s(long=trial.long)
        outcomes.append(TrialOutcome(trial, held, trial.rate_per_s, took_s, "by chance"))
    else:
        pytest.fail("the search does not end")

    repeats = sum(one.trial.repeat for one in outcomes if one.held is None)
    assert sum(one.took_s for one in outcomes) <= PLAN.budget_s + repeats * PLAN.cost_s(long=True)


def test_a_search_is_a_function_of_what_was_seen() -> None:
    first, second = (searched(SimulatedPipeline(steady(1700), seed=4)) for _ in range(2))

    assert first == second


def test_a_failed_rate_is_told_in_the_words_of_the_probe_that_failed() -> None:
    """GIVEN a rate that the generator could not offer at first, and at which the pipeline then
    failed THEN the generator is not what the interval ends at.
    """
    weak = TrialOutcome(Trial(1600, long=True), None, 1500.0, 10.0, "the generator was behind")
    failed = TrialOutcome(
        Trial(1600, long=True, repeat=1), False, 1400.0, 10.0, "the backlog grew by 200 events/s"
    )
    held = [outcome(800, held=True, long=True)] * 2

    answer = next_trial(replace(PLAN, precision=1.0), [*held, weak, failed, failed])

    assert isinstance(answer, SearchAnswer)
    assert (answer.kind, answer.high_per_s) == ("interval", 1600)
    assert answer.why == "the backlog grew by 200 events/s"


def test_a_search_doubles_then_halves_the_logarithm_and_confirms_in_turn() -> None:
    """GIVEN a pipeline that holds 1,000/s THEN each trial follows from those before."""
    answer, trials = perfect(1000, replace(PLAN, precision=0.5))

    # The square root of 800 x 1,600 is 1,131, which is within half of 800.
    assert trials == [
        *(Trial(rate) for rate in (200, 400, 800, 1600, 1131)),
        *(Trial(rate, long=True) for rate in (800, 1131, 800, 1131)),
    ]
    assert (answer.kind, answer.low_per_s, answer.high_per_s) == ("interval", 800, 1131)
    assert (answer.confirmed, answer.limit) == (2, None)
    assert answer.width == pytest.approx(0.41375)


def test_a_rate_that_fails_once_and_holds_once_lies_within_the_interval() -> None:
    """GIVEN 1,000/s fails only the first time, because the machine stood still."""
    plan = replace(PLAN, precision=0.3)
    seen = [
        *[outcome(800, held=True, long=True)] * 2,
        outcome(1200, held=False),
        outcome(1000, held=False),
        outcome(1000, held=False, long=True),
    ]
    again = next_trial(plan, seen)
    assert again == Trial(1000, long=True)

    seen += [outcome(1000, held=True, long=True), *[outcome(1200, held=False, long=True)] * 2]
    answer = next_trial(plan, seen)

    assert isinstance(answer, SearchAnswer)
    assert (answer.low_per_s, answer.high_per_s) == (800, 1200)


def test_a_budget_that_is_spent_leaves_an_upper_end_that_failed_once() -> None:
    plan = replace(PLAN, precision=0.5, budget_s=100)
    seen = [*[outcome(800, held=True, long=True)] * 2, outcome(1131, held=False, long=True)]

    assert next_trial(replace(plan, budget_s=1000), seen) == Trial(1131, long=True)
    answer = next_trial(replace(plan, budget_s=90), seen)

    assert isinstance(answer, SearchAnswer)
    assert (answer.low_per_s, answer.high_per_s) == (800, 1131)


def test_a_rate_that_fails_at_first_is_halved_until_one_holds() -> None:
    _, trials = perfect(60, replace(PLAN, precision=2.0))

    assert [trial.rate_per_s for trial in trials if not trial.long] == [200, 100, 50]


def test_nothing_below_a_quarter_of_the_start_is_tried() -> None:
    answer, trials = perfect(10)

    assert trials == [Trial(200), Trial(100), Trial(50)]
    assert (answer.kind, answer.high_per_s) == ("nothing_holds", 50)
    assert answer.width is None


@pytest.mark.parametrize(
    ("needed_per_s", "lowest", "tried"),
    [(0.0, 50, [200, 100, 50]), (100.0, 100, [200, 100]), (150.0, 150, [200]), (1e6, 200, [200])],
)
def test_nothing_below_what_a_probe_needs_is_tried(
    needed_per_s: float, lowest: float, tried: list[float]
) -> None:
    plan = replace(PLAN, needed_per_s=needed_per_s)

    _, trials = perfect(10, plan)

    assert plan.lowest_per_s == lowest
    assert [trial.rate_per_s for trial in trials] == tried


@pytest.mark.parametrize(
    ("most_per_s", "tried"),
    [(100, [100]), (200, [200]), (500, [200, 500]), (600, [200, 400, 600]), (900, [200, 400, 900])],
)
def test_the_highest_rate_is_reached_in_steps_that_are_not_too_small(
    most_per_s: float, tried: list[float]
) -> None:
    answer, trials = perfect(1e9, replace(PLAN, most_per_s=most_per_s))

    assert [trial.rate_per_s for trial in trials if not trial.long] == tried
    assert trials[-2:] == [Trial(most_per_s, long=True)] * 2
    assert (answer.kind, answer.low_per_s, answer.limit) == ("at_least", most_per_s, "most")


def test_once_a_short_probe_was_wrong_all_are_long_and_begin_beside_it() -> None:
    """GIVEN a precision of 3 % THEN the first step down is 3 %, the next 6 %, then 12 %."""
    seen = [outcome(200, held=True), outcome(200, held=False, long=True)]
    tried = []
    for _ in range(5):
        down = next_trial(PLAN, seen)
        assert isinstance(down, Trial)
        assert down.long, "the short one is believed no more"
        tried.append(down.rate_per_s)
        seen.append(outcome(down.rate_per_s, held=False, long=True))
    assert tried == [194.2, 183.1, 162.7, 128.4, 80.01]

    up = next_trial(PLAN, [*seen[:3], outcome(100, held=True, long=True)])

    # Between 100 and 194.2, the square root of their product.
    assert up == Trial(139.4, long=True)


def test_the_way_down_begins_anew_below_a_rate_that_held_once() -> None:
    seen = [
        outcome(400, held=True),
        *(outcome(rate, held=False, long=True) for rate in (400, 388, 366)),
        outcome(325, held=True, long=True),
        outcome(325, held=False, long=True),
    ]
    down = next_trial(PLAN, seen)
    assert down == Trial(315.5, long=True)

    assert next_trial(PLAN, [*seen, outcome(315.5, held=False, long=True)]) == Trial(
        297.4, long=True
    )


def test_a_short_failure_that_a_long_probe_refutes_is_forgotten() -> None:
    evidence = Evidence.of([outcome(400, held=False), outcome(400, held=True, long=True)])

    assert (evidence.low, evidence.high, evidence.doubtful) == (400, None, None)
    assert not evidence.trusted
    assert next_trial(PLAN, [outcome(400, False), outcome(400, True, long=True)]) == Trial(
        412, long=True
    ), "by the precision more, where short probes are wrong"


def test_a_rate_that_fails_below_one_that_holds_is_doubtful() -> None:
    evidence = Evidence.of(
        [outcome(400, held=False, long=True), outcome(800, held=True, long=True)]
    )

    assert evidence.doubtful == (400, 800)
    assert (evidence.low, evidence.high) == (None, None)


def test_nothing_seen_says_nothing() -> None:
    evidence = Evidence.of([])

    assert (evidence.low, evidence.high, evidence.doubtful) == (None, None, None)
    assert evidence.trusted


def test_what_a_probe_takes_has_its_warm_up_and_its_drain_in_it() -> None:
    assert PLAN.cost_s(long=False) == 5 + 20 + 3
    assert PLAN.cost_s(long=True) == 5 + 60 + 3
    assert PLAN.least_s == 96


def test_the_answer_is_what_came_out_of_the_confirmations_and_no_more_than_was_asked() -> None:
    def confirmed(*delivered_per_s: float) -> float | None:
        told = [
            TrialOutcome(Trial(800, long=True), True, delivered, 10.0)
            for delivered in delivered_per_s
        ]
        failed = outcome(1600, held=False, long=True)
        answer = next_trial(replace(PLAN, precision=1.0), [*told, failed, failed])
        assert isinstance(answer, SearchAnswer)
        return answer.low_per_s

    assert confirmed(797.26, 799.0) == 797.3
    assert confirmed(801.0, 802.0) == 800


def test_a_budget_that_ends_before_any_rate_failed_gives_at_least_what_was_confirmed() -> None:
    plan = replace(PLAN, budget_s=28 + 3 * 68)
    answer, trials = perfect(1e9, plan)

    assert trials[0] == Trial(200)
    assert (answer.kind, answer.high_per_s, answer.limit) == ("at_least", None, None)
    assert answer.why == f"the budget of {plan.budget_s:g} s ended before any rate failed"


def test_a_budget_that_ends_before_any_rate_held_says_what_failed_last() -> None:
    answer, trials = perfect(10, replace(PLAN, budget_s=28 + 68 + 27))

    assert trials == [Trial(200)]
    assert (answer.kind, answer.low_per_s, answer.high_per_s) == ("undecided", None, 200)
    assert answer.why.startswith("the budget of 123 s ended before any rate held; 200/s failed")


def test_a_generator_that_offers_nothing_at_all_decides_nothing() -> None:
    outcomes: list[TrialOutcome] = []
    while isinstance(trial := next_trial(PLAN, outcomes), Trial):
        outcomes.append(TrialOutcome(trial, None, 0.0, 10.0, "the generator was behind"))

    assert [one.trial for one in outcomes] == [Trial(200), Trial(200, repeat=1)]
    assert (trial.kind, trial.limit) == ("undecided", "generator")
    assert trial.why == "the generator was behind"

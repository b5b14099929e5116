"""A search decides its steps from what the last ones showed, and comes to an answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cdc_users.error import OptionsError
from cdc_users.measure.capacity.probe import BacklogSeries
from cdc_users.measure.judgement.backlog import ProgressSample
from cdc_users.measure.latency.recorder import Recorder
from cdc_users.options.options import Options, resolve
from cdc_users.scenario import Step, StepProgress, StepShown
from cdc_users.shapes.capacity import planned_steps
from cdc_users.shapes.course import PAUSE
from tests.unit.cdc_users.shapes.known_capacity import (
    CAPACITY,
    CEILING,
    WAL_BYTES,
    course,
    driven,
    shown,
)
from tests.unit.made_result import step_result

pytestmark = pytest.mark.gevent


def test_a_search_measures_its_ceiling_then_probes_each_rate_behind_a_warm_up() -> None:
    taken, outcome = driven(course())
    steps = [one.step for one in taken]

    assert steps[0].mode == "null"
    assert [step.warm_up for step in steps[1:]] == [True, False] * (len(steps) // 2)
    assert len({step.name for step in steps}) == len(steps)
    assert outcome.failed == outcome.invalid == ()
    answer: Any = outcome.summary
    assert answer is not None
    assert answer["kind"] == "interval"
    assert answer["low_per_s"] <= CAPACITY < answer["high_per_s"]
    assert answer["width"] <= 0.05 + 0.002
    assert answer["ceiling_per_s"] == CEILING
    assert [probe["long"] for probe in answer["probes"][-3:]] == [True, True, True]


def test_the_answer_names_its_bottleneck_and_its_cost() -> None:
    _, outcome = driven(course())
    answer: Any = outcome.summary

    assert answer is not None
    assert answer["bottleneck"]["stage"] == "capture"
    assert answer["bottleneck"]["rate_per_s"] == answer["high_per_s"]
    assert answer["cost"]["at_the_rate"]["cores"] == 0.5
    assert answer["cost"]["at_the_rate"]["cores_per_10k"] == pytest.approx(5.0, rel=0.06)
    assert answer["cost"]["at_half"]["rate_per_s"] == pytest.approx(CAPACITY / 2, rel=0.7)
    assert set(answer["cost"]["at_half"]["parts"]) == {"kafka", "harness"}


def test_a_rate_above_the_share_of_the_ceiling_is_never_asked_for() -> None:
    taken, outcome = driven(course(), lambda step: shown(step, 1e9))

    assert outcome.summary is not None
    assert (outcome.summary["kind"], outcome.summary["limit"]) == ("at_least", "ceiling")
    assert max(one.step.schedule.rate_per_s for one in taken[1:]) == pytest.approx(0.6 * CEILING)


def test_what_the_user_asked_for_at_most_is_the_end_of_the_search() -> None:
    _, outcome = driven(course(most="700"), lambda step: shown(step, 1e9))

    assert outcome.summary is not None
    assert (outcome.summary["kind"], outcome.summary["limit"]) == ("at_least", "most")


def test_an_slo_that_fails_at_the_lowest_rate_fails_the_run() -> None:
    _, outcome = driven(course(), lambda step: shown(step, 1.0))

    (told,) = outcome.failed
    assert told.startswith("nothing holds: at 50/s")
    assert outcome.summary is not None
    assert outcome.summary["predictions"] is None


def test_a_generator_with_too_few_lanes_gets_more_once_and_then_the_source_is_to_blame() -> None:
    def crowded(step: Step) -> StepShown:
        late = step.schedule.rate_per_s > 300 and step.mode != "null"
        return shown(step, 1e9, crowded=["the generator was behind (send delay)"] if late else ())

    taken, _ = driven(course(most="400"), crowded)

    lanes = [one.step.lanes for one in taken if not one.step.warm_up]
    assert lanes[:3] == [8, 8, 8]
    assert set(lanes[3:]) == {32}


def test_a_generator_that_is_busy_with_itself_ends_the_search_at_what_it_could_offer() -> None:
    def busy(step: Step) -> StepShown:
        saturated = step.mode != "null" and step.schedule.rate_per_s > 500
        return shown(step, 1e9, generator=["saturated"] if saturated else ())

    _, outcome = driven(course(), busy)

    assert outcome.summary is not None
    assert (outcome.summary["kind"], outcome.summary["limit"]) == ("at_least", "generator")
    assert outcome.summary["low_per_s"] == 400.0


def test_a_pipeline_that_does_not_drain_ends_the_search_without_an_answer() -> None:
    taken, outcome = driven(course(), lambda step: shown(step, drained=step.mode == "null"))

    assert len(taken) == 3
    assert "did not drain" in outcome.invalid[0]


def test_a_run_that_ends_before_its_first_probe_has_no_answer() -> None:
    assert course().outcome([]).invalid == ["no probe was completed"]


def test_an_outage_follows_the_answer_at_half_of_what_holds() -> None:
    taken, outcome = driven(course(outage="20s"))
    last = taken[-1].step

    assert last.fault is not None
    assert (last.fault.name, last.fault.hold_s) == (PAUSE, 20.0)
    assert outcome.summary is not None
    low: Any = outcome.summary["low_per_s"]
    assert last.schedule.rate_per_s == pytest.approx(low / 2, rel=0.01)
    told: Any = outcome.summary["predictions"]
    worked_off_s = 20.0 * (low / 2) / (CAPACITY - low / 2)
    assert told["catch_up_s"]["predicted"] == pytest.approx(worked_off_s, rel=0.01)
    assert told["wal_bytes_per_event"] == pytest.approx(WAL_BYTES, rel=0.01)


def test_what_an_outage_showed_stands_beside_what_was_predicted() -> None:
    def with_outage(step: Step) -> StepShown:
        if step.fault is None:
            return shown(step)
        fault = {
            "outage_s": 20.0,
            "caught_up_s": 25.0,
            "recovered_s": 31.0,
            "p99_ms": 21_000.0,
        }
        at_s = [float(at) for at in range(60)]
        lag = [WAL_BYTES * 480 * max(0, min(at - 10, 20)) for at in range(60)]
        slot = BacklogSeries(at_s, [float(value) for value in lag], WAL_BYTES * 480)
        return shown(step, result=step_result(step.name, fault=fault), backlogs={"slot": slot})

    _, outcome = driven(course(outage="20s"), with_outage)

    assert outcome.summary is not None
    told: Any = outcome.summary["predictions"]
    assert told["catch_up_s"]["measured"] == 25.0
    assert told["catch_up_s"]["error"] == pytest.approx(
        told["catch_up_s"]["predicted"] / 25.0 - 1, abs=1e-4
    )
    assert told["wal_held_back_bytes_per_s"]["measured"] == pytest.approx(WAL_BYTES * 480)
    assert told["p99_ms"] == 21_000.0


def test_a_probe_is_given_up_when_its_slo_is_out_of_reach() -> None:
    searching = course()
    step = searching.planned[-1]
    late = Recorder()
    late.record_many_us("end_to_end", np.full(41, 1_500_000, dtype=np.int64))
    looks = [ProgressSample(1.0, 200, 200, 200)]

    assert "out of reach" in searching.give_up(StepProgress(step, looks, late))
    early = Recorder()
    early.record_many_us("end_to_end", np.full(41, 900_000, dtype=np.int64))
    assert searching.give_up(StepProgress(step, looks, early)) == ""


def test_a_warm_up_is_given_up_only_for_a_backlog_without_end() -> None:
    searching = course()
    warm_up, probe = searching.planned[1:]
    late = Recorder()
    late.record_many_us("end_to_end", np.full(500, 1_500_000, dtype=np.int64))
    looks = [ProgressSample(float(at), 200 * at, 50 * at, 200 * at) for at in range(1, 9)]

    assert searching.give_up(StepProgress(warm_up, looks[:1], late)) == ""
    assert "the backlog grew" in searching.give_up(StepProgress(warm_up, looks, late))
    assert "the backlog grew" in searching.give_up(StepProgress(probe, looks, late))


def test_rates_are_events_however_large_a_transaction_is() -> None:
    taken, outcome = driven(
        course(rows_per_transaction="10", from_="200"),
        lambda step: shown(step, CAPACITY / 10),
    )

    assert taken[2].step.schedule.rate_per_s == 20.0
    assert outcome.summary is not None
    assert outcome.summary["probes"][0]["rate_per_s"] == 200.0


def test_a_course_is_a_function_of_what_was_shown() -> None:
    (first, _), (second, _) = (driven(course()) for _ in range(2))

    assert [one.step for one in first] == [one.step for one in second]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"from_": "300", "most": "200"}, "--from 300/s is above --most 200/s"),
        ({"budget": "10s"}, "--budget 10s is too short for one probe and its confirmation"),
        ({"slo": "fetch.p99 < 1s", "capture": "wal"}, "no series 'fetch'"),
        ({"slo": "commit.p99 < 1s", "source": "topic"}, "no series 'commit'"),
        ({"from_": "10"}, "a p99 needs 1,000"),
        ({"outage": "20s", "capture": "wal"}, "--outage pauses a connector"),
        ({"disk": "ten"}, "'ten' is no size"),
        ({"precision": "90%", "disk": "1kB"}, "must be from 1MB"),
        ({"precision": "0.1%"}, "must be from 0.5%"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_the_remedy(
    given: dict[str, str], told: str
) -> None:
    with pytest.raises(OptionsError) as caught:
        resolve(given)

    assert any(told in mistake for mistake in caught.value.mistakes)


def options(**given: str) -> Options:
    return resolve(given)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"warm_up": "none"}, "--warm-up none"),
        ({"most": "1000k", "confirm": "1h", "lanes": "1", "budget": "9h"}, "lower --most"),
    ],
)
def test_a_search_that_no_lanes_could_carry_out_is_refused(
    given: dict[str, str], told: str
) -> None:
    with pytest.raises(OptionsError) as caught:
        planned_steps("capacity", options(**given))

    assert told in caught.value.mistakes[0]

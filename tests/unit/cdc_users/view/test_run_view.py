"""How long a step still takes, and what of it is due."""

from __future__ import annotations

import dataclasses

import pytest

from cdc_users.measure.schedule.plan import Schedule
from cdc_users.step.state import StepState
from cdc_users.view import run_view
from cdc_users.view.run_view import ChartMark
from tests.unit.made_run import MadeRun, moment, state

pytestmark = pytest.mark.gevent


def test_what_remains_counts_from_the_plan() -> None:
    assert run_view.remaining_s(MadeRun(), now_us=4_000_000) == pytest.approx(7.0)


def test_offered_is_what_the_plan_has_asked_for_by_now() -> None:
    assert [run_view.due(state(), now_us) for now_us in (0, 1_000_000, 1_500_000, 60_000_000)] == [
        1,
        1,
        51,
        1000,
    ]


def test_nothing_comes_due_after_a_load_was_cut_short() -> None:
    cut = state()
    cut.reports["local"].tally.started = 400
    cut.cut = "the backlog grows without end"

    assert [run_view.due(cut, now_us) for now_us in (0, 60_000_000)] == [1, 400]


def test_the_latest_second_is_of_the_step_at_hand_though_its_name_comes_again() -> None:
    again = [ChartMark(0.5, "step-1", "step-1"), ChartMark(6.5, "step-1", "step-1")]

    assert run_view.latest(MadeRun()) == moment(6)
    assert run_view.latest(MadeRun(marks=again)) is None
    assert run_view.latest(MadeRun(marks=again, moments=[moment(7)])) == moment(7)
    assert run_view.latest(MadeRun(states=[state("step-2")])) is None


def test_what_remains_is_never_less_than_nothing() -> None:
    run = MadeRun()
    at_the_end_us = round((1 + run.states[0].step.schedule.duration_s) * 1e6)

    assert run_view.remaining_s(run, at_the_end_us) == 0.0
    assert run_view.remaining_s(run, at_the_end_us + 1) == 0.0
    assert run_view.remaining_s(run, at_the_end_us - 250_000) == pytest.approx(0.25)


def test_nothing_remains_to_be_said_of_a_burst_between_steps_or_before_the_first_one() -> None:
    burst, loaded = MadeRun(), MadeRun()
    burst.states[0].step = dataclasses.replace(burst.states[0].step, schedule=Schedule.volume(10))
    loaded.states[0].loaded_us = 5_000_000

    for run in (burst, loaded, MadeRun(states=[])):
        assert run_view.remaining_s(run, now_us=4_000_000) is None


def test_the_current_step_is_the_last_one_that_has_begun() -> None:
    waiting = StepState(3, state().step)
    run = MadeRun(states=[state(), state("step-2", 2), waiting])

    found = run_view.current(run)
    assert found is not None
    assert found.number == 2
    assert run_view.current(MadeRun(states=[waiting])) is None


def test_without_a_step_or_a_second_there_is_nothing_latest() -> None:
    assert run_view.latest(MadeRun(states=[])) is None
    assert run_view.latest(MadeRun(moments=[])) is None
    assert run_view.latest(MadeRun(marks=[])) == moment(6)


def test_a_stage_within_a_step_takes_nothing_from_what_is_latest() -> None:
    """GIVEN a mark of the step's second stage, behind the newest second."""
    marks = [ChartMark(0.5, "step-1", "step-1"), ChartMark(9.0, "hold", "step-1")]

    assert run_view.latest(MadeRun(marks=marks)) == moment(6)


def test_a_second_at_the_very_mark_of_its_step_is_of_that_step() -> None:
    marks = [ChartMark(6.0, "step-1", "step-1")]

    assert run_view.latest(MadeRun(marks=marks)) == moment(6)


def test_the_last_mark_is_the_newest_and_without_one_it_has_no_names() -> None:
    marks = [ChartMark(0.5, "a", "a"), ChartMark(2.0, "b", "a")]

    assert run_view.last_mark(MadeRun(marks=marks)) == ChartMark(2.0, "b", "a")
    assert run_view.last_mark(MadeRun(marks=[])) == ChartMark(0.0, "", "")


def test_a_step_that_the_sink_has_not_seen_has_no_latencies() -> None:
    assert run_view.series(MadeRun()).histogram("end_to_end").count == 1000
    for run in (MadeRun(states=[state("step-2", 2)]), MadeRun(states=[])):
        assert run_view.series(run).histogram("end_to_end").count == 0


def test_an_arrival_is_due_at_its_very_time_and_not_before() -> None:
    """GIVEN 100 arrivals a second from 1 s on."""
    times_us = (1_009_998, 1_010_000, 1_010_001)

    assert [run_view.due(state(), now_us) for now_us in times_us] == [1, 2, 2]

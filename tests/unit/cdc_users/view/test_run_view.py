"""How long a step still takes, and what of it is due."""

from __future__ import annotations

import pytest

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


def test_the_latest_second_is_of_the_step_at_hand_though_its_name_comes_again() -> None:
    again = [ChartMark(0.5, "step-1", "step-1"), ChartMark(6.5, "step-1", "step-1")]

    assert run_view.latest(MadeRun()) == moment(6)
    assert run_view.latest(MadeRun(marks=again)) is None
    assert run_view.latest(MadeRun(marks=again, moments=[moment(7)])) == moment(7)
    assert run_view.latest(MadeRun(states=[state("step-2")])) is None

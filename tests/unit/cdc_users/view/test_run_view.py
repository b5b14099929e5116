"""Trouble is told before the audit, and how long a step still takes."""

from __future__ import annotations

import pytest

from cdc_users.view import run_view
from cdc_users.view.run_view import RunView
from tests.unit.made_result import result
from tests.unit.made_run import MadeRun, state

pytestmark = pytest.mark.gevent


def test_failed_arrivals_are_trouble_before_the_audit() -> None:
    run: RunView = MadeRun(states=[state(failed=2)])

    assert run_view.concerns(run) == ["step-1: 2 arrivals failed"]
    assert run_view.verdict(run) == "trouble so far"
    assert run_view.verdict(MadeRun()) == "good so far"
    assert run_view.verdict(MadeRun(result=result())) == "PASS"


def test_what_remains_counts_from_the_plan() -> None:
    assert run_view.remaining_s(MadeRun(), now_us=4_000_000) == pytest.approx(7.0)


def test_offered_is_what_the_plan_has_asked_for_by_now() -> None:
    assert [run_view.due(state(), now_us) for now_us in (0, 1_000_000, 1_500_000, 60_000_000)] == [
        1,
        1,
        51,
        1000,
    ]

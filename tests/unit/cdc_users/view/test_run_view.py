"""How long a step still takes, and what of it is due."""

from __future__ import annotations

import pytest

from cdc_users.view import run_view
from tests.unit.made_run import MadeRun, state

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

"""The capacity scenario in smoke size, and what it refuses before any server is touched."""

from __future__ import annotations

from pathlib import Path

from infra.stack.endpoints import Endpoints
from tests.scenarios.locust_process import NOTHING, LocustProcess, leftovers


def test_a_smoke_run_takes_one_probe_behind_its_warm_up_and_answers_nothing(
    stack: Endpoints, results: Path
) -> None:
    run = LocustProcess("capacity", results, "--probe", "1s", "--warm-up", "1s", "--confirm", "2s")

    assert run.wait() == 0, run.output
    result = run.result()
    assert result["capacity"] is None
    assert [step["name"] for step in result["steps"]] == [
        "capacity-1-probe-200-per-s-warm-up",
        "capacity-1-probe-200-per-s",
    ]
    assert [step["ledger"]["lost"] for step in result["steps"]] == [0, 0]
    assert leftovers(stack) == NOTHING

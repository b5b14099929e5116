"""Faults under load: Connect and platform killed, the slot's reader cut off; nothing is lost."""

from __future__ import annotations

from tests.benchmark.scenario_process import run_scenario


def test_nothing_is_lost_and_the_pipeline_comes_back_from_every_fault() -> None:
    finished = run_scenario("faults")

    assert finished.exit_code == 0, str(finished)
    found = {step["fault"]["name"]: step for step in finished.result["steps"]}
    assert set(found) == {"kill-connect", "kill-platform", "end-walsender"}
    for step in found.values():
        assert step["ledger"]["lost"] == 0
        assert step["fault"]["recovered_s"] is not None

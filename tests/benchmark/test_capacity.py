"""Capacity: a search in short form, for the highest rate that the pipeline holds."""

from __future__ import annotations

from tests.benchmark.scenario_process import run_scenario

#: A minute and a half at most, where the full search takes up to twelve minutes.
SHORT = {
    "--from": "500/s",
    "--probe": "5s",
    "--warm-up": "1s",
    "--confirm": "7s",
    "--precision": "25%",
    "--budget": "75s",
}


def test_the_answer_is_an_interval_that_was_confirmed_or_at_least_its_lower_end() -> None:
    finished = run_scenario("capacity", *(word for pair in SHORT.items() for word in pair))

    assert finished.exit_code == 0, str(finished)
    answer = finished.result["capacity"]
    assert answer["kind"] in ("interval", "at_least")
    assert answer["confirmed"] >= 1
    held = [probe["rate_per_s"] for probe in answer["probes"] if probe["held"]]
    assert answer["low_per_s"] <= max(held)
    if answer["kind"] == "interval":
        assert answer["low_per_s"] < answer["high_per_s"]
        assert answer["why"]
    assert all(step["ledger"]["lost"] == 0 for step in finished.result["steps"])

"""Backpressure: more load than a slow sink can take; memory stays bounded, nothing is lost, and it
recovers.
"""

from __future__ import annotations

from tests.benchmark.scenario_process import run_scenario


def test_a_slow_sink_bounds_the_queue_and_memory_and_loses_nothing() -> None:
    finished = run_scenario("backpressure")

    assert finished.exit_code == 0, str(finished)
    judged = [step for step in finished.result["steps"] if not step["warm_up"]]
    assert [step["name"] for step in judged] == [
        "backpressure-delay-0.01s",
        "backpressure-delay-0.05s",
    ]
    for step in judged:
        assert step["pressure"]["queue_high_water"] <= step["pipeline"]["max_buffered_messages"]
        assert step["pressure"]["memory_growth_mb"] < 50
        assert step["ledger"]["lost"] == 0

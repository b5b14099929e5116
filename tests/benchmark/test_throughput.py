"""End-to-end throughput:

INSERT -> Debezium -> Kafka -> CDCConsumer -> CountingSink, 100, 500 and 10,000 rows.
"""

from __future__ import annotations

from tests.benchmark.scenario_process import run_scenario


def test_rows_get_from_insert_to_the_sink_without_loss() -> None:
    finished = run_scenario("throughput")

    assert finished.exit_code == 0, str(finished)
    assert [step["messages"] for step in finished.result["steps"]] == [100, 500, 10_000]

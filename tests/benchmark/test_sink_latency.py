"""Write latency of each sink, without Debezium: records wait in the topic -> CDCConsumer ->
InstrumentedSink(sink).
"""

from __future__ import annotations

import pytest

from cdc_users.pipeline.declaration import sinks
from tests.benchmark.scenario_process import run_scenario

ICEBERG = pytest.mark.skipif(
    sinks().by_name["iceberg"].lacking is not None,
    reason=f"iceberg {sinks().by_name['iceberg'].lacking}",
)


@pytest.mark.parametrize("sink", ["webhook", "postgres", pytest.param("iceberg", marks=ICEBERG)])
def test_every_record_is_written_once_and_how_long_a_write_takes_is_known(sink: str) -> None:
    finished = run_scenario("latency", "--sinks", sink)

    assert finished.exit_code == 0, str(finished)
    (step,) = finished.result["steps"]
    ledger, write = step["ledger"], step["latency_ms"]["sink_write"]
    assert (ledger["delivered"], ledger["lost"], ledger["duplicated"]) == (ledger["sent"], 0, 0)
    assert 0 < write["p50"] <= write["p95"] <= write["p99"]
    assert step["drain_rate_per_s"] > 0

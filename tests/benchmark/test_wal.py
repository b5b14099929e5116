"""The direct way out:

INSERT -> replication slot -> reader -> Kinesis and Kafka, 100, 500 and 10,000 rows.
"""

from __future__ import annotations

import pytest

from infra.stack.emulators.emulator import EmulatorUnavailableError
from infra.stack.emulators.kinesis import node
from tests.benchmark.scenario_process import run_scenario


@pytest.mark.parametrize("transport", ["kinesis", "kafka"])
def test_rows_get_from_insert_to_the_stream_without_loss(transport: str) -> None:
    if transport == "kinesis":
        try:
            node()
        except EmulatorUnavailableError as error:
            pytest.skip(str(error))

    finished = run_scenario("wal", "--transport", transport)

    assert finished.exit_code == 0, str(finished)
    assert [step["messages"] for step in finished.result["steps"]] == [100, 500, 10_000]

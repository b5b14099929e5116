"""The wal scenario in smoke size: the direct reader under the harness, its stream read back,
nothing left behind.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import psutil
import pytest

from infra.stack.endpoints import Endpoints
from tests.scenarios.locust_process import LocustProcess, await_that, leftovers

MIXED = (
    "--mix",
    "insert=60,update=30,delete=10",
    "--rows-per-transaction",
    "5",
    "--insert-method",
    "values",
)


def mine(stack: Endpoints, run: str) -> list[str]:
    """What this run has left in Postgres."""
    return [name for names in leftovers(stack).values() for name in names if run in name]


def run_id(results: Path) -> str:
    (place,) = results.iterdir()
    return place.name.rsplit("-", 1)[1]


def assert_whole(run: LocustProcess) -> None:
    for step in run.result()["steps"]:
        ledger = step["ledger"]
        assert ledger["sent"] == ledger["delivered"] >= 300
        assert [
            ledger[name] for name in ("lost", "duplicated", "reordered", "unseen", "corrupt")
        ] == [0] * 5
        assert ledger["fences"] == "complete"


@pytest.mark.parametrize(
    "transport", ["kinesis", "kafka", pytest.param("pubsub", marks=pytest.mark.soak)]
)
def test_mixed_changes_come_out_of_the_stream_once_and_in_order(
    stack: Endpoints, results: Path, transport: str
) -> None:
    run = LocustProcess(
        "wal", results, "--transport", transport, "--rows", "300", "--partitions", "4", *MIXED
    )

    assert run.wait() == 0, run.output
    assert_whole(run)
    assert mine(stack, run_id(results)) == []


@pytest.mark.parametrize(
    "sink",
    ["postgres", pytest.param("webhook", marks=pytest.mark.soak)],
)
def test_the_platform_stands_behind_the_reader_as_behind_debezium(
    stack: Endpoints, results: Path, sink: str
) -> None:
    """The reader writes Debezium's Avro; topic, platform and sink are all in the ledger."""
    options = ("--capture", "wal", "--transport", "kafka", "--sink", sink, "--partitions", "3")
    run = LocustProcess("throughput", results, *options, "--rows", "300", *MIXED)

    assert run.wait() == 0, run.output
    assert_whole(run)
    (place,) = results.iterdir()
    finals = json.loads((place / "audit.json").read_text(encoding="utf-8"))["final"].values()
    differing = [final[name] for final in finals for name in ("missing", "extra", "stale")]
    assert differing == [0] * (3 if sink == "postgres" else 0)
    assert mine(stack, run_id(results)) == []


def test_a_small_step_after_a_large_one_has_its_own_figures(
    stack: Endpoints, results: Path
) -> None:
    run = LocustProcess(
        "wal", results, "--transport", "kafka", "--rows", "3000,30", "--insert-method", "values"
    )

    assert run.wait() == 0, run.output
    large, small = (step["pressure"] for step in run.result()["steps"])
    assert 0 < small["queue_high_water"] < large["queue_high_water"]
    assert (large["partition_events"], small["partition_events"]) == ([3000], [30])


def test_a_reader_that_dies_fails_the_run_and_leaves_no_slot(
    stack: Endpoints, results: Path
) -> None:
    run = LocustProcess("wal", results, "--rate", "100", "--duration", "60s")
    run.await_output("benchmark.step")

    run.child("infra.platform.wal").kill()

    assert run.wait() == 1, run.output
    assert "the system under test died" in run.result()["reasons"][0]
    assert mine(stack, run_id(results)) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_ended_run_leaves_no_slot_and_no_emulator(
    stack: Endpoints, results: Path, number: int
) -> None:
    run = LocustProcess("wal", results, "--rate", "100", "--duration", "60s")
    run.await_output("benchmark.step")
    family = run.family()
    assert any("server.js" in " ".join(process.cmdline()) for process in family)

    run.signal(number)
    run.wait()

    await_that(lambda: not any(map(psutil.Process.is_running, family)), "a process was left behind")
    assert mine(stack, run_id(results)) == []

"""Partitions in smoke size: the same records through more partitions and instances, in order and
without loss.
"""

from __future__ import annotations

from pathlib import Path

from infra.stack.endpoints import Endpoints
from tests.scenarios.locust_process import LocustProcess


def test_the_same_records_go_through_each_partition_count(stack: Endpoints, results: Path) -> None:
    sizes = ("--partitions", "1,4", "--records", "1000", "--sinks", "waiting,counting")
    run = LocustProcess(
        "partitions", results, *sizes, "--mix", "insert=70,update=30", "--key-skew", "zipf:1.2"
    )

    assert run.wait() == 0, run.output
    steps = run.result()["steps"]
    assert [step["pipeline"]["partitions"] for step in steps] == [1, 4, 1, 4]
    for step in steps:
        assert step["mode"] == "drain"
        assert step["ledger"]["sent"] == step["ledger"]["delivered"] == 1000
        assert step["ledger"]["reordered"] == 0
        assert len(step["pressure"]["partition_events"]) == step["pipeline"]["partitions"]
        assert sum(step["pressure"]["partition_events"]) == 1000


def test_instances_begin_together_and_share_the_partitions(stack: Endpoints, results: Path) -> None:
    run = LocustProcess(
        "partitions",
        results,
        "--partitions",
        "4",
        "--instances",
        "1,2",
        "--records",
        "1000",
        "--sinks",
        "counting",
    )

    assert run.wait() == 0, run.output
    assert [step["pipeline"]["instances"] for step in run.result()["steps"]] == [1, 2]
    assert all(step["ledger"]["delivered"] == 1000 for step in run.result()["steps"])


def test_more_instances_than_partitions_are_refused(results: Path) -> None:
    run = LocustProcess("partitions", results, "--partitions", "2", "--instances", "1,3")

    assert run.wait() == 2, run.output
    assert "1 would idle" in run.output
    assert not results.exists()

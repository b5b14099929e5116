"""Pipelines that lose, boast or fall behind, through a real locust process: each by its name."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from infra.stack.endpoints import Endpoints
from infra.stack.servers.port import free_ports
from tests.scenarios.locust_process import LocustProcess

FULL = ("--smoke", "no")


def broken(defect: str) -> tuple[str, ...]:
    module = [sys.executable, "-m", "tests.scenarios.broken_platform", "--defect", defect]
    return ("--platform", shlex.join(module))


def stand_still(stack: Endpoints, run: LocustProcess) -> None:
    """Let the lanes' inserts wait for a lock, as they would for a server that stands still."""
    run.await_output("benchmark.step")
    _, schema, table = run.topic().split(".")
    place = sql.Identifier(schema, table)
    with psycopg.connect(stack.postgres_dsn) as connection:
        while not connection.execute(
            sql.SQL("SELECT 1 FROM {} OFFSET 20").format(place)
        ).fetchall():
            connection.commit()
        connection.execute(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(place))
        connection.execute("SELECT pg_sleep(1.5)")


def test_a_pipeline_that_loses_a_fifth_of_everything_fails_with_the_share(
    stack: Endpoints, results: Path
) -> None:
    load = ("--rate", "100", "--duration", "4s", "--drain-timeout", "12s", "--partitions", "2")
    run = LocustProcess("throughput", results, *load, *broken("skips"))

    assert run.wait() == 1, run.output
    result = run.result()
    assert any("lost == 0, but it is 8" in reason for reason in result["reasons"]), result
    assert any("(2" in reason and "% of 400 sent)" in reason for reason in result["reasons"])
    assert result["steps"][0]["ledger"]["fences"] == "complete"


def test_a_platform_that_boasts_is_found_out_by_the_tap(stack: Endpoints, results: Path) -> None:
    load = ("--rate", "50", "--duration", "4s", "--sinks", "webhook")
    run = LocustProcess("latency", results, *load, *FULL, *broken("boasts"))

    assert run.wait() == 4, run.output
    (reason,) = [told for told in run.result()["reasons"] if "durable" in told]
    assert "before the sink's tap saw them" in reason
    latency = run.result()["steps"][0]["latency_ms"]
    assert latency["end_to_end"]["mean"] - latency["durable"]["mean"] > 250


@pytest.mark.parametrize(
    ("scenario", "load"),
    [
        ("latency", ("--sinks", "slow", "--rate", "120", "--duration", "5s")),
        ("throughput", ("--sink", "slow", "--stages", "120/s:3s,120/s:3s")),
    ],
)
def test_twice_the_capacity_is_never_a_pass(
    stack: Endpoints, results: Path, scenario: str, load: tuple[str, ...]
) -> None:
    slow = ("--sink-delay", "50ms", "--batch-size", "3")
    run = LocustProcess(scenario, results, *load, *slow, *FULL)

    assert run.wait() == 4, run.output
    told = [
        reason
        for reason in run.result()["reasons"]
        if "no steady state" in reason or "too short to judge" in reason
    ]
    assert len(told) == len(run.result()["steps"])


def test_dropped_arrivals_are_in_every_percentile_that_they_may_reach(
    stack: Endpoints, results: Path
) -> None:
    load = ("--rate", "200", "--duration", "6s", "--late", "drop:50ms", "--lanes", "4")
    limit = ("--threshold", "response.p95 < 10s")
    run = LocustProcess("throughput", results, *load, *limit, *FULL)
    stand_still(stack, run)

    run.wait()
    result = run.result()
    (step,) = result["steps"]
    dropped, latency = step["arrivals"]["dropped"], step["latency_ms"]
    assert dropped > 60
    for name in ("response", "end_to_end", "send_delay"):
        assert latency[name]["censored"] == dropped
        assert (latency[name]["mean"], latency[name]["p95"]) == (None, None)
    assert any(f"{dropped} dropped arrivals could" in told for told in result["reasons"])


def test_a_stall_of_the_source_is_not_the_generators_fault(stack: Endpoints, results: Path) -> None:
    load = ("--rate", "100", "--duration", "8s", "--lanes", "8")
    run = LocustProcess("throughput", results, *load, *FULL)
    stand_still(stack, run)

    run.wait()
    result = run.result()
    assert result["steps"][0]["latency_ms"]["send_delay"]["p95"] > 200
    assert not any("send delay" in reason for reason in result["reasons"]), result["reasons"]


def test_a_worker_with_a_clock_of_its_own_is_corrected_and_its_bound_is_told(
    stack: Endpoints, results: Path, tmp_path: Path
) -> None:
    (port,) = map(str, free_ports(1))
    faulty = "tests/scenarios/faulty_harness.py"
    elsewhere = {"FAULT": "elsewhere"}
    load = ("--rate", "50", "--duration", "4s", "--lanes", "4", *FULL)
    ports = ("--master", "--master-bind-port", port, "--expect-workers", "1")
    master = LocustProcess(faulty, results, *load, *ports, environment=elsewhere)
    worker = LocustProcess(
        faulty, tmp_path / "worker", "--worker", "--master-port", port, environment=elsewhere
    )

    master.wait()
    worker.wait()
    result = master.result()
    latency = result["steps"][0]["latency_ms"]["end_to_end"]
    assert 0 < latency["mean"] < 1500, "the worker's clock is 3 s behind"
    assert 0 < latency["clock"] < 100
    assert not any("before it was due" in reason for reason in result["reasons"])

"""Faults done to a real pipeline under load: undone for sure, told with figures, and judged."""

from __future__ import annotations

import csv
import os
import shlex
import signal
import sys
from pathlib import Path

import pytest

from infra.stack.endpoints import Endpoints
from infra.stack.error import StackError
from infra.stack.find.locate import locate
from infra.stack.supervise.state import CHECKOUT
from tests.real_stack import server_processes
from tests.scenarios.locust_process import NOTHING, LocustProcess, await_that, leftovers

SHORT = ("--rate", "50", "--steady", "2s", "--hold", "2s", "--recover", "40s")
#: A machine at rest needs half a minute.
DEADLINE_S = 300.0
PIPELINES = {
    "debezium to postgres": ("--sink", "postgres"),
    "debezium to iceberg": ("--sink", "iceberg"),
    "reader to kafka": ("--capture", "wal", "--transport", "kafka", "--sink", "counting"),
}


def faults_of(results: Path) -> list[dict[str, str]]:
    (path,) = results.glob("*/faults.csv")
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_fault_is_done_undone_and_told(stack: Endpoints, results: Path) -> None:
    run = LocustProcess("faults", results, *SHORT, "--faults", "kill-platform")

    assert run.wait(DEADLINE_S) == 0, run.output
    (row,) = faults_of(results)
    assert (row["name"], row["verdict"], row["lost"]) == ("kill-platform", "PASS", "0")
    assert row["sent"] == row["delivered"]
    assert float(row["recovered_s"]) >= 0
    assert 0 < float(row["detected_s"]) < float(row["outage_s"])
    assert "benchmark.fault.inject" in run.output
    assert leftovers(stack) == NOTHING


def test_a_server_that_a_dead_run_has_stopped_goes_on_for_the_next_run(
    stack: Endpoints, results: Path
) -> None:
    run = LocustProcess("faults", results, *SHORT[:-4], "--hold", "60s", "--faults", "pause-kafka")
    run.await_output("benchmark.fault.inject")
    await_that(lambda: not answers(), "Kafka was not stopped")
    run.child("cdc_users.pipeline.provision.steward").kill()
    run.signal(signal.SIGKILL)
    run.wait()

    again = LocustProcess("throughput", results / "again", "--rows", "10")

    assert again.wait(DEADLINE_S) == 0, again.output
    assert leftovers(stack) == NOTHING


def answers() -> bool:
    """Whether the stack does, asked for real."""
    try:
        return locate(CHECKOUT, os.environ) is not None
    except StackError:
        return False


#: A platform that does not come back from a fault of each family.
GIVES_UP = {
    "kill-platform": "lame",
    "pause-platform": "gives-up-after-pause",
    "kill-kafka": "gives-up-without-broker",
    "pause-kafka": "gives-up-without-broker",
    "pause-registry": "gives-up-without-registry",
    "kill-postgres": "gives-up-without-sink",
}


@pytest.mark.soak
@pytest.mark.parametrize("fault", GIVES_UP)
def test_a_platform_that_does_not_recover_is_told_as_that_within_its_limit(
    stack: Endpoints, results: Path, fault: str
) -> None:
    broken = [sys.executable, "-m", "tests.scenarios.broken_platform", "--defect", GIVES_UP[fault]]
    limits = ("--hold", "4s", "--recover", "5s", "--drain-timeout", "20s")
    run = LocustProcess(
        "faults",
        results,
        *SHORT[:-4],
        *limits,
        "--faults",
        fault,
        "--platform",
        shlex.join(broken),
    )

    assert run.wait(DEADLINE_S) == 1, run.output
    reasons = run.result()["reasons"]
    assert any(f"has not recovered from {fault}" in reason for reason in reasons), reasons
    assert "benchmark.stall" in run.output
    assert leftovers(stack) == NOTHING


#: The options without which a fault cannot be done.
ELSEWHERE_ONLY = {
    "lock-catalog": ("--sink", "iceberg"),
    "concurrent-commits": ("--sink", "iceberg"),
    "full-warehouse": ("--sink", "iceberg"),
    "webhook-hangs": ("--sink", "webhook"),
    "kill-reader": ("--capture", "wal", "--sink", "counting"),
}
#: One fault of each kind that something must undo.
UNDONE = (
    "kill-connect",
    "kill-registry",
    "pause-postgres",
    "pause-connector",
    "delete-connector",
    "hide-publication",
    "add-column",
    "idle-transaction",
    "lock-sink-table",
    "rename-column",
    "message-too-large",
    "short-retention",
    "deadlock-sink",
    "silent-network",
    "half-open-connections",
    "silent-sink-network",
    "kill-platform",
    "add-partitions",
    "silent-kafka-network",
    "silent-registry-network",
    "planned-fail-over",
    "kill-primary",
    "full-broker-disk",
    "full-wal-disk",
    *ELSEWHERE_ONLY,
)


@pytest.mark.soak
@pytest.mark.parametrize("fault", UNDONE)
def test_what_a_killed_run_has_done_is_undone_by_the_next(
    stack: Endpoints, results: Path, fault: str
) -> None:
    times = (*SHORT[:-4], "--hold", "60s")
    options = ELSEWHERE_ONLY.get(fault, ())
    run = LocustProcess("faults", results, *times, "--faults", fault, *options)
    run.await_output("benchmark.fault.inject")
    run.child("cdc_users.pipeline.provision.steward").kill()
    run.signal(signal.SIGKILL)
    run.wait()

    again = LocustProcess("throughput", results / "again", "--rows", "10")

    assert again.wait(DEADLINE_S) == 0, again.output
    assert answers()
    assert leftovers(stack) == NOTHING
    assert "locust-cdc" not in Path("/proc/self/mounts").read_text(encoding="utf-8")
    assert not any("primary_slot_name" in " ".join(item.cmdline()) for item in server_processes())


@pytest.mark.soak
def test_the_same_seed_does_the_same_faults_at_the_same_planned_times(
    stack: Endpoints, results: Path
) -> None:
    quick = "end-walsender,vacuum-full,widen-column"
    plans = []
    for number, seed in enumerate(("7", "7", "8")):
        place = results / str(number)
        run = LocustProcess("faults", place, *SHORT, "--faults", quick, "--seed", seed)
        assert run.wait(DEADLINE_S) == 0, run.output
        plans.append([(row["name"], row["round"], row["planned_s"]) for row in faults_of(place)])

    assert plans[0] == plans[1]
    assert len(plans[0]) == 3
    assert plans[0] != plans[2]
    assert leftovers(stack) == NOTHING


@pytest.mark.soak
def test_a_registry_may_be_away_for_longer_than_its_answers_are_kept(
    stack: Endpoints, results: Path
) -> None:
    """Apicurio's converters ask about each schema again after 30 s."""
    times = (*SHORT[:-4], "--hold", "40s")
    run = LocustProcess("faults", results, *times, "--faults", "kill-registry")

    assert run.wait(DEADLINE_S) == 0, run.output
    (row,) = faults_of(results)
    assert row["sent"] == row["delivered"]
    assert leftovers(stack) == NOTHING


#: What nobody can make good: what was not read is gone, or was never captured.
LOSES = ("drop-slot", "invalidate-slot", "hide-publication", "short-retention")


@pytest.mark.soak
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_nothing_is_lost_by_any_fault_that_promises_it(
    stack: Endpoints, results: Path, pipeline: str
) -> None:
    """The campaign: every fault that the pipeline allows, five rounds, at 500 rows a second."""
    times = ("--steady", "8s", "--hold", "5s", "--rounds", "5", "--drain-timeout", "3m")
    run = LocustProcess(
        "faults", results, "--rate", "500", *times, "--faults", "all", *PIPELINES[pipeline]
    )

    code = run.wait(4 * 3600)

    rows = faults_of(results)
    kept = [row for row in rows if row["name"] not in LOSES]
    assert [
        row for row in kept if (row["lost"], row["stale"], row["reordered"]) != ("0",) * 3
    ] == []
    assert code in (0, 1), run.output
    assert leftovers(stack) == NOTHING

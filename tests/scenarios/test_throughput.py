"""The throughput scenario in smoke size, in each of its ways of use."""

from __future__ import annotations

import csv
from pathlib import Path

from infra.stack.endpoints import Endpoints
from infra.stack.servers.port import free_ports
from tests.scenarios.locust_process import NOTHING, LocustProcess, leftovers


def test_every_row_reaches_the_sink_once_and_nothing_is_left_behind(
    stack: Endpoints, results: Path
) -> None:
    run = LocustProcess("throughput", results, "--rows", "100,500")

    assert run.wait() == 0, run.output
    ledgers = [step["ledger"] for step in run.result()["steps"]]
    assert [ledger["sent"] for ledger in ledgers] == [100, 500]
    assert [ledger["delivered"] for ledger in ledgers] == [100, 500]
    assert all(ledger["fences"] == "complete" for ledger in ledgers)
    assert leftovers(stack) == NOTHING


def test_smoke_size_publishes_no_figure(stack: Endpoints, results: Path) -> None:
    run = LocustProcess("throughput", results, "--rows", "50")

    assert run.wait() == 0, run.output
    assert run.result()["steps"][0]["throughput_per_s"] is None
    assert run.result()["steps"][0]["latency_ms"] == {}


def test_an_open_loop_offers_exactly_what_was_asked_for(stack: Endpoints, results: Path) -> None:
    run = LocustProcess("throughput", results, "--rate", "200", "--duration", "2s")

    assert run.wait() == 0, run.output
    arrivals = run.result()["steps"][0]["arrivals"]
    assert arrivals["offered"] == arrivals["completed"] == 400


def test_stages_of_one_rate_are_two_steps(stack: Endpoints, results: Path) -> None:
    run = LocustProcess(
        "throughput", results, "--stages", "100/s:1s,200/s:1s,100/s:1s", "--smoke", "no"
    )

    assert run.wait() in (0, 4), run.output
    names = [step["name"] for step in run.result()["steps"]]
    assert names == ["throughput-100-per-s", "throughput-200-per-s", "throughput-100-per-s-2"]
    (place,) = results.iterdir()
    assert all((place / f"{name}.end_to_end.hgrm").is_file() for name in names)


def test_a_real_run_reports_stages_that_sum_to_the_end_to_end_latency(
    stack: Endpoints, results: Path
) -> None:
    run = LocustProcess("throughput", results, "--rows", "500", "--smoke", "no")

    # The session's stack is the quick-starting one, which may not publish figures: INVALID, and
    # said so.
    assert run.wait() in (0, 4), run.output
    if stack.profile == "test":
        assert run.result()["verdict"] == "INVALID"
    latency = run.result()["steps"][0]["latency_ms"]
    stages = sum(
        latency[name]["mean"] for name in ("commit", "capture", "fetch", "queue", "sink_write")
    )
    assert abs(stages - latency["end_to_end"]["mean"]) < 0.01


def test_two_worker_processes_share_the_plan_without_gap_or_overlap(
    stack: Endpoints, results: Path
) -> None:
    (port,) = map(str, free_ports(1))
    ports = ("--master-bind-port", port, "--master-port", port)
    run = LocustProcess("throughput", results, "--rows", "301", "--processes", "2", *ports)

    assert run.wait() == 0, run.output
    step = run.result()["steps"][0]
    assert step["arrivals"]["offered"] == step["arrivals"]["completed"] == 301
    assert step["ledger"]["delivered"] == 301


def test_partitions_and_instances_share_the_events(stack: Endpoints, results: Path) -> None:
    run = LocustProcess(
        "throughput", results, "--rows", "400", "--partitions", "4", "--instances", "2"
    )

    assert run.wait() == 0, run.output
    assert run.result()["steps"][0]["ledger"]["delivered"] == 400


def test_many_rows_a_transaction_are_each_accounted_for(stack: Endpoints, results: Path) -> None:
    options = (
        "--rows",
        "2000",
        "--rows-per-transaction",
        "100",
        "--insert-method",
        "values",
        "--row-bytes",
        "200",
    )
    run = LocustProcess("throughput", results, *options)

    assert run.wait() == 0, run.output
    step = run.result()["steps"][0]
    assert step["arrivals"]["completed"] == 20
    assert step["ledger"]["sent"] == step["ledger"]["delivered"] == 2000


def test_locusts_own_csv_holds_the_users_requests_and_what_the_sink_saw(
    stack: Endpoints, results: Path, tmp_path: Path
) -> None:
    prefix = tmp_path / "out" / "run"
    run = LocustProcess("throughput", results, "--rows", "100", "--csv", str(prefix))

    assert run.wait() == 0, run.output
    with Path(f"{prefix}_stats.csv").open(encoding="utf-8") as file:
        counts = {row["Name"]: int(row["Request Count"]) for row in csv.DictReader(file)}
    assert counts["insert (response)"] == 100
    assert counts["end_to_end (sink)"] == 100


def test_mistakes_are_reported_together_before_any_server_is_touched(results: Path) -> None:
    options = ("--rows", "0", "--rate", "fast", "--duration", "3", "--batch-size", "x")
    run = LocustProcess("throughput", results, *options)

    assert run.wait() == 2, run.output
    for flag in ("--rows", "--rate", "--duration", "--batch-size"):
        assert flag in run.output
    assert not results.exists()

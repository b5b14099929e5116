"""Production straight to the topic in smoke size: the latency scenario in each of its ways of
use.
"""

from __future__ import annotations

import csv
import json
import signal
import uuid
from pathlib import Path

import pytest
import requests

from cdc_users.pipeline.provision.kafka_topics import create_topic, delete_subjects, delete_topics
from infra.stack.endpoints import Endpoints
from infra.stack.servers.port import free_ports
from tests.scenarios.locust_process import LocustProcess


def test_records_that_wait_in_the_topic_are_each_drained_once_and_locust_counts_them_by_batch(
    stack: Endpoints, results: Path, tmp_path: Path
) -> None:
    prefix = tmp_path / "out" / "run"
    load = ("--records", "3000", "--partitions", "4", "--csv", str(prefix))
    run = LocustProcess("latency", results, "--sinks", "counting", *load)

    assert run.wait() == 0, run.output
    (step,) = run.result()["steps"]
    assert (step["mode"], step["name"]) == ("drain", "latency-counting-drain")
    assert step["ledger"]["sent"] == step["ledger"]["delivered"] == 3000
    assert step["ledger"]["fences"] == "complete"
    with Path(f"{prefix}_stats.csv").open(encoding="utf-8") as file:
        rows = {row["Name"]: row for row in csv.DictReader(file)}
    batches = rows["produce batch (slowest response)"]
    assert int(batches["Request Count"]) < 1000
    assert round(int(batches["Request Count"]) * float(batches["Average Content Size"])) == 3000


def test_an_open_loop_of_several_records_an_arrival_with_headers_and_a_column_added_in_mid_run(
    stack: Endpoints, results: Path
) -> None:
    load = (
        "--rate",
        "200",
        "--duration",
        "2s",
        "--rows-per-transaction",
        "5",
        "--evolve-at",
        "200",
    )
    run = LocustProcess(
        "latency", results, "--sinks", "counting", *load, "--debezium-headers", "yes"
    )

    assert run.wait() == 0, run.output
    (step,) = run.result()["steps"]
    assert step["arrivals"]["offered"] == step["arrivals"]["completed"] == 400
    assert step["ledger"]["sent"] == step["ledger"]["delivered"] == 2000


def test_two_worker_processes_share_the_records(stack: Endpoints, results: Path) -> None:
    (port,) = map(str, free_ports(1))
    ports = ("--master-bind-port", port, "--master-port", port)
    run = LocustProcess(
        "latency", results, "--sinks", "counting", "--records", "3001", "--processes", "2", *ports
    )

    assert run.wait() == 0, run.output
    (step,) = run.result()["steps"]
    assert step["arrivals"]["completed"] == step["ledger"]["delivered"] == 3001


def test_records_that_are_too_large_are_failures_with_their_size(
    stack: Endpoints, results: Path
) -> None:
    load = ("--records", "20", "--row-bytes", "1100000")
    run = LocustProcess("latency", results, "--sinks", "counting", *load)

    assert run.wait() == 1, run.output
    result = run.result()
    (step,) = result["steps"]
    assert (step["arrivals"]["failed"], step["ledger"]["delivered"]) == (20, 0)
    assert "a record of 1100" in " ".join(result["notes"])


@pytest.mark.parametrize("server", ["kafka_bootstrap", "schema_registry_url"])
def test_a_server_that_does_not_answer_ends_the_run_with_3(
    stack: Endpoints, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    (port,) = free_ports(1)
    nobody = {
        "kafka_bootstrap": f"127.0.0.1:{port}",
        "schema_registry_url": f"http://127.0.0.1:{port}",
    }
    broken = tmp_path / "endpoints.json"
    broken.write_text(json.dumps(stack.to_json() | {server: nobody[server]}), encoding="utf-8")
    monkeypatch.setenv("CDC_STACK", str(broken))
    run = LocustProcess("latency", results, "--sinks", "counting", "--records", "10")

    assert run.wait() == 3, run.output
    assert str(port) in run.output


def test_a_subject_that_holds_something_else_ends_the_run_with_2(
    stack: Endpoints, results: Path
) -> None:
    topic = f"cdc_scenario_{uuid.uuid4().hex[:8]}"
    create_topic(stack.kafka_bootstrap, topic, 1)
    url = f"{stack.schema_registry_url}/subjects/{topic}-value/versions"
    body = {
        "schema": '{"type": "record", "name": "Other", "fields": [{"name": "a", "type": "string"}]}'
    }
    try:
        assert requests.post(url, json=body, timeout=10).status_code == 200
        run = LocustProcess(
            "latency", results, "--topic", topic, "--sinks", "counting", "--records", "10"
        )
        assert run.wait() == 2, run.output
        assert "use a topic of its own" in run.output
    finally:
        delete_topics(stack.kafka_bootstrap, [topic])
        delete_subjects(stack.schema_registry_url, topic)


def test_a_load_that_is_stopped_leaves_no_record_without_an_outcome(
    stack: Endpoints, results: Path
) -> None:
    load = ("--rate", "500", "--duration", "60s", "--mix", "insert=60,update=30,delete=10")
    run = LocustProcess("latency", results, "--sinks", "counting", *load)
    run.await_output("benchmark.step")

    run.signal(signal.SIGTERM)

    assert run.wait() == 4, run.output
    (step,) = run.result()["steps"]
    assert step["ledger"]["sent"] == step["ledger"]["delivered"]
    assert step["ledger"]["unknown"] == 0
    assert step["arrivals"]["started"] == step["arrivals"]["completed"] < 30_000

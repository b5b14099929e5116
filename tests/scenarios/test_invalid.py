"""Runs whose numbers may not be used: each reason is provoked in a real locust process, and the
verdict names it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from infra.stack.endpoints import Endpoints
from tests.private_connect import private_connect
from tests.private_postgres import private_postgres
from tests.real_stack import stack_command
from tests.scenarios.locust_process import LocustProcess, await_that

PACED = ("--rate", "50", "--duration", "3s")
#: Figures are judged, not published: the session's stack may be the quick-starting one, which is a
#: reason of its own.
FULL = ("--smoke", "no")


def invalid(run: LocustProcess, *reasons: str) -> None:
    """The run ends as INVALID, and its result says so for these reasons."""
    assert run.wait() == 4, run.output
    result = run.result()
    assert result["verdict"] == "INVALID"
    for reason in reasons:
        assert any(reason in told for told in result["reasons"]), result["reasons"]
        assert reason in run.output


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("stall", "the generator's event loop stalled"),
        ("busy", "the generator's processors were saturated"),
        ("forget", "of 150 arrivals offered"),
        ("clock", "the wall clock was moved by"),
    ],
)
def test_a_generator_at_fault_is_found_out(
    stack: Endpoints, results: Path, fault: str, reason: str
) -> None:
    run = LocustProcess(
        "tests/scenarios/faulty_harness.py", results, *PACED, *FULL, environment={"FAULT": fault}
    )

    invalid(run, reason)


def test_a_generator_behind_its_plan_is_found_out(stack: Endpoints, results: Path) -> None:
    run = LocustProcess(
        "throughput", results, "--rate", "6000", "--duration", "1s", "--lanes", "1", *FULL
    )

    invalid(run, "the generator was behind its plan (send delay p99")
    assert any("--lanes" in note for note in run.result()["notes"])


def test_a_backlog_that_grows_is_no_steady_state_and_a_timeout_no_result(
    stack: Endpoints, results: Path
) -> None:
    slow = ("--sink", "slow", "--sink-delay", "500ms", "--batch-size", "5", "--drain-timeout", "1s")
    load = ("--rate", "50", "--duration", "14s", "--warm-up", "none")
    run = LocustProcess("throughput", results, *load, *slow, *FULL)

    invalid(
        run,
        "no steady state: the backlog grew",
        "not everything arrived within --drain-timeout",
        "fences",
    )
    assert run.result()["steps"][0]["ledger"]["lost"] == 0, "what is on its way is unseen, not lost"
    assert run.result()["steps"][0]["ledger"]["unseen"] > 0


def test_a_source_that_restarts_makes_figures_of_two_systems(
    stack: Endpoints, results: Path, tmp_path: Path
) -> None:
    with private_postgres(tmp_path, {}) as source:
        servers = {
            name: getattr(stack, name)
            for name in ("kafka_bootstrap", "schema_registry_url", "connect_url")
        }
        file = tmp_path / "servers.toml"
        file.write_text(
            "".join(
                f'{name} = "{value}"\n'
                for name, value in {**servers, "postgres_dsn": source.dsn}.items()
            )
        )
        load = ("--transport", "kafka", "--rate", "50", "--duration", "8s")
        run = LocustProcess("wal", results, *load, environment={"CDC_STACK": str(file)})
        run.await_output("benchmark.step")

        source.stop()
        source.start()

        invalid(run, "PostgreSQL restarted in mid-run")


def test_a_connect_that_was_killed_and_came_back_makes_figures_of_two_systems(
    stack: Endpoints, results: Path, tmp_path: Path
) -> None:
    with private_connect(stack, tmp_path) as connect:
        load = ("--rate", "50", "--duration", "6s", "--drain-timeout", "40s")
        run = LocustProcess(
            "throughput", results, *load, environment={"CDC_STACK": str(connect.file())}
        )
        run.await_output("benchmark.step")

        connect.kill()
        connect.start()

        invalid(run, "Kafka Connect restarted in mid-run")


@pytest.mark.soak
def test_a_broker_and_a_registry_that_restart_make_figures_of_two_systems(
    stack: Endpoints, results: Path
) -> None:
    """Both are up again and every event arrives, so nothing else speaks against a PASS."""
    load = ("--rate", "10", "--duration", "60s", "--drain-timeout", "60s")
    run = LocustProcess("throughput", results, *load)
    run.await_output("benchmark.step")

    for server in ("schema-registry", "kafka"):
        done = stack_command("restart", server)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "benchmark.produce.progress" not in run.output, "the load ended before both were up"

    invalid(run, "Kafka restarted in mid-run", "the schema registry restarted in mid-run")
    (step,) = run.result()["steps"]
    assert (step["ledger"]["sent"], step["ledger"]["lost"]) == (600, 0)


def test_a_topic_that_deleted_what_nobody_had_read_is_not_the_consumers_loss(
    stack: Endpoints, results: Path
) -> None:
    run = LocustProcess(
        "throughput", results, "--rate", "200", "--duration", "6s", "--drain-timeout", "2s"
    )
    run.await_output("benchmark.step")
    topic = run.topic()
    admin = AdminClient({"bootstrap.servers": stack.kafka_bootstrap})
    for process in (run.child("infra.platform"), run.child("cdc_users.observe")):
        process.suspend()
        behind = process
    try:
        await_that(lambda: _end(admin, topic) > 600, "the load does not get into the topic")
        admin.delete_records([TopicPartition(topic, 0, 500)])[TopicPartition(topic, 0)].result(30)
    finally:
        run.child("infra.platform").resume()
        behind.resume()

    invalid(run, "the topic's retention overtook the consumer")


def _end(admin: AdminClient, topic: str) -> int:
    place = TopicPartition(topic, 0)
    latest: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    return int(admin.list_offsets({place: latest})[place].result(30).offset)

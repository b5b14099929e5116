"""A pipeline that is not ours: its platform is met only where events come out of it."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg

from cdc_users.pipeline.provision.kafka_topics import (
    create_topic,
    delete_groups,
    delete_subjects,
    delete_topics,
)
from infra.postgres.table import create_customers
from infra.stack.endpoints import Endpoints
from infra.stack.servers.port import free_ports
from infra.stack.supervise.state import CHECKOUT
from tests.scenarios.locust_process import LocustProcess


@contextmanager
def own_topic(stack: Endpoints) -> Iterator[str]:
    name = f"own-{uuid.uuid4().hex[:8]}"
    create_topic(stack.kafka_bootstrap, name, 2)
    try:
        yield name
    finally:
        delete_topics(stack.kafka_bootstrap, [name])
        delete_subjects(stack.schema_registry_url, name)
        delete_groups(stack.kafka_bootstrap, [name])


@contextmanager
def own_platform(stack: Endpoints, topic: str, *sink: str) -> Iterator[None]:
    """Somebody's platform behind a topic, started and stopped without the harness."""
    servers = (
        f"--bootstrap={stack.kafka_bootstrap}",
        f"--schema-registry={stack.schema_registry_url}",
    )
    command = [
        sys.executable,
        "-m",
        "infra.platform",
        *servers,
        f"--topic={topic}",
        f"--group={topic}",
        *sink,
    ]
    process = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def test_a_platform_that_runs_already_is_audited_at_its_webhook(
    stack: Endpoints, results: Path
) -> None:
    (port,) = map(str, free_ports(1))
    with own_topic(stack) as topic:
        own = ("--platform", "none", "--sink-tap", f"webhook:{port}", "--topic", topic)
        run = LocustProcess(
            "latency", results, "--rate", "100", "--duration", "2s", "--sinks", "webhook", *own
        )
        run.await_output("benchmark.step")  # the webhook listens from here on
        webhook = (
            "--sink=webhook",
            f"--webhook-url=http://127.0.0.1:{port}/events",
            "--batch-size=50",
        )
        with own_platform(stack, topic, *webhook):
            code = run.wait()

    assert code == 0, run.output
    (step,) = run.result()["steps"]
    assert step["ledger"]["sent"] == step["ledger"]["delivered"] == 200
    assert step["ledger"]["fences"] == "complete"


@contextmanager
def own_table(stack: Endpoints) -> Iterator[str]:
    name = f"own_{uuid.uuid4().hex[:8]}"
    with closing(psycopg.connect(stack.postgres_dsn, autocommit=True)) as connection:
        create_customers(connection, "public", name)
        try:
            yield f"public.{name}"
        finally:
            with connection.cursor() as cursor:
                cursor.execute(f"DROP TABLE IF EXISTS public.{name}, public.{name}_offsets")


def test_a_table_with_updates_is_compared_and_counts_nothing(
    stack: Endpoints, results: Path
) -> None:
    with own_topic(stack) as topic, own_table(stack) as table:
        own = ("--platform", "none", "--sink-tap", f"postgres:{table}", "--topic", topic)
        mix = ("--mix", "insert=60,update=30,delete=10", "--warm-up", "none")
        load = ("--rate", "200", "--duration", "12s", *mix)
        sink = (
            "--sink=postgres",
            f"--postgres-dsn={stack.postgres_dsn}",
            f"--postgres-table={table}",
        )
        with own_platform(stack, topic, *sink):
            run = LocustProcess(
                "latency", results, "--sinks", "postgres", "--smoke", "no", *load, *own
            )
            code = run.wait()

    # The session's stack may be the quick-starting one and the machine busy; there is no other
    # reason then.
    assert code in (0, 4), run.output
    mine = ("profile 'test'", "the generator", "others used")
    assert [
        reason for reason in run.result()["reasons"] if not any(name in reason for name in mine)
    ] == []
    (step,) = run.result()["steps"]
    assert (step["messages"], step["throughput_per_s"]) == (None, None)
    assert step["ledger"]["sent"] == step["ledger"]["delivered"] > 0
    assert any("not each change" in note for note in run.result()["notes"])


def test_a_topic_of_the_users_own_is_left_where_it_is(stack: Endpoints, results: Path) -> None:
    with own_topic(stack) as topic:
        for _ in range(2):
            run = LocustProcess(
                "latency", results, "--sinks", "counting", "--records", "50", "--topic", topic
            )
            assert run.wait() == 0, run.output


def test_a_topic_of_the_users_own_serves_one_pipeline(tmp_path: Path) -> None:
    run = LocustProcess("latency", tmp_path, "--sinks", "counting,slow", "--topic", "mine")

    assert run.wait() == 2, run.output
    assert "--topic mine serves one pipeline, and these options make 2" in run.output


def test_the_example_of_the_contracts_page_is_audited_where_it_writes(
    stack: Endpoints, results: Path, tmp_path: Path
) -> None:
    page = (CHECKOUT / "docs" / "platform-contract.md").read_text(encoding="utf-8")
    copier = tmp_path / "copier.py"
    copier.write_text(page.split("```python\n")[1].split("```")[0], encoding="utf-8")
    with own_topic(stack) as enriched:
        command = f"{sys.executable} {copier} --to {enriched}"
        own = ("--platform", command, "--sink-tap", f"topic:{enriched}")
        run = LocustProcess(
            "latency", results, "--rate", "100", "--duration", "2s", "--sinks", "counting", *own
        )
        code = run.wait()

    assert code == 0, run.output
    (step,) = run.result()["steps"]
    assert step["ledger"]["sent"] == step["ledger"]["delivered"] == 200
    assert step["ledger"]["fences"] == "complete"


def test_each_commit_of_a_sink_is_seen_in_its_own_log(stack: Endpoints, results: Path) -> None:
    with own_topic(stack) as topic, own_table(stack) as table:
        own = ("--platform", "none", "--sink-tap", f"postgres-log:{table}", "--topic", topic)
        load = ("--rate", "100", "--duration", "3s", "--mix", "insert=60,update=30,delete=10")
        sink = (
            "--sink=postgres",
            f"--postgres-dsn={stack.postgres_dsn}",
            f"--postgres-table={table}",
            "--batch-size=1",
        )
        with own_platform(stack, topic, *sink):
            run = LocustProcess("latency", results, "--sinks", "postgres", *load, *own)
            code = run.wait()
        with closing(psycopg.connect(stack.postgres_dsn)) as connection:
            left = connection.execute(
                "SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE %s",
                (f"%{run.result()['run']}%",),
            ).fetchone()

    assert code == 0, run.output
    (step,) = run.result()["steps"]
    assert step["messages"] == step["ledger"]["sent"] == step["ledger"]["delivered"] > 0
    assert left == (0,)

"""The pipelines that are shipped: audited from outside like others, and nothing of them stays."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import psycopg
import pytest
from confluent_kafka.admin import AdminClient

from infra.stack.endpoints import Endpoints
from tests.scenarios.locust_process import LocustProcess

#: A first run fetches 708 MB, and its JVM reads 561 jars.
FIRST_S = 600.0
LONG_S = 3600.0
MIXED = ("--mix", "insert=60,update=30,delete=10")
DEBEZIUM_SERVER = tuple(
    f"debezium-server-{place}"
    for place in (
        "http",
        "mariadb-http",
        "mariadb-jdbc",
        "kafka",
        "jdbc",
        "redis",
        "nats",
        "kinesis",
        "pubsub",
    )
)
#: Those that `make test` runs; the others are for `make soak`.
IN_EACH_TEST = ("debezium-server-http", "debezium-server-jdbc")
LEFT = {
    "slots": "SELECT slot_name FROM pg_replication_slots",
    "publications": "SELECT pubname FROM pg_publication",
    "databases": "SELECT datname FROM pg_database",
    "subscriptions": "SELECT subname FROM pg_subscription",
}


def left_of(stack: Endpoints, run: str) -> list[str]:
    with psycopg.connect(stack.postgres_dsn) as connection:
        names = [
            str(name) for query in LEFT.values() for (name,) in connection.execute(query).fetchall()
        ]
    admin = AdminClient({"bootstrap.servers": stack.kafka_bootstrap})
    names += admin.list_topics(timeout=10.0).topics
    names += [group.group_id for group in admin.list_consumer_groups().result(10.0).valid]
    # A server of the run's own stands below a directory that is named after the run.
    names += [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    return [name for name in names if run in name]


def audited(stack: Endpoints, results: Path, name: str, rows: int, limit_s: float) -> None:
    options = ("--pipeline", name, "--rows", str(rows), "--drain-timeout", f"{limit_s:.0f}s")
    run = LocustProcess("throughput", results, *options, *MIXED)

    assert run.wait(limit_s) == 0, run.output
    result = run.result()
    (step,) = result["steps"]
    ledger = step["ledger"]
    assert step["messages"] == ledger["sent"] == ledger["delivered"] >= rows
    findings = ("lost", "duplicated", "reordered", "stale", "torn", "corrupt", "unseen", "phantom")
    assert [ledger[finding] for finding in findings] == [0] * len(findings)
    assert ledger["checked"] > 0
    assert ledger["fences"] == "complete"
    assert left_of(stack, str(result["run"])) == []


def test_a_subscription_is_audited_by_the_log_of_the_database_that_it_writes_to(
    stack: Endpoints, results: Path
) -> None:
    audited(stack, results, "postgres-subscription", 5000, 120.0)


def test_the_copies_of_several_tables_are_each_compared_with_their_own(
    stack: Endpoints, results: Path
) -> None:
    options = ("--pipeline", "postgres-subscription", "--tables", "2", "--rows", "400")
    run = LocustProcess("throughput", results, *options, *MIXED)

    assert run.wait() == 0, run.output
    (audit,) = results.glob("*/audit.json")
    (final,) = json.loads(audit.read_text(encoding="utf-8"))["final"].values()
    assert final["compared"] > 100


def test_mariadb_is_a_source_whose_changes_are_audited(stack: Endpoints, results: Path) -> None:
    audited(stack, results, "debezium-server-mariadb-http", 1000, FIRST_S)


@pytest.mark.parametrize(
    "name",
    [
        *IN_EACH_TEST,
        *(
            pytest.param(name, marks=pytest.mark.soak)
            for name in DEBEZIUM_SERVER
            if name not in IN_EACH_TEST
        ),
    ],
)
def test_debezium_server_is_audited_where_it_writes(
    stack: Endpoints, results: Path, name: str
) -> None:
    audited(stack, results, name, 5000, FIRST_S)


@pytest.mark.soak
def test_icebergs_own_sink_is_audited_by_the_table_that_it_appends_to(
    stack: Endpoints, results: Path
) -> None:
    audited(stack, results, "iceberg-connect", 5000, FIRST_S)


@pytest.mark.soak
@pytest.mark.parametrize("name", [*DEBEZIUM_SERVER, "iceberg-connect", "postgres-subscription"])
def test_100_000_mixed_changes_are_audited(stack: Endpoints, results: Path, name: str) -> None:
    audited(stack, results, name, 100_000, LONG_S)


def test_a_typo_in_the_sinks_table_is_told_before_any_load(stack: Endpoints, results: Path) -> None:
    tap = ("--sink-tap", "postgres-log:public.copi", "--platform", "none")
    run = LocustProcess("throughput", results, "--rows", "10", *tap)

    assert run.wait() == 2, run.output
    assert "there is no table public.copi in database" in run.output

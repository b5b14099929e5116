"""The pipelines that are shipped: audited from outside like others, and nothing of them stays."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from infra.stack.endpoints import Endpoints
from tests.scenarios.locust_process import LocustProcess

MIXED = ("--mix", "insert=60,update=30,delete=10")
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
    return [name for name in names if run in name]


def audited(stack: Endpoints, results: Path, name: str, rows: int, *options: str) -> None:
    run = LocustProcess(
        "throughput", results, "--pipeline", name, "--rows", str(rows), *MIXED, *options
    )

    assert run.wait() == 0, run.output
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
    audited(stack, results, "postgres-subscription", 5000)


def test_debezium_server_is_audited_at_the_receiver_of_its_posts(
    stack: Endpoints, results: Path
) -> None:
    audited(stack, results, "debezium-server-http", 500)


@pytest.mark.soak
@pytest.mark.parametrize(
    "name", ["debezium-server-http", "debezium-server-jdbc", "postgres-subscription"]
)
def test_100_000_mixed_changes_are_audited(stack: Endpoints, results: Path, name: str) -> None:
    audited(stack, results, name, 100_000, "--drain-timeout", "40m")


def test_a_typo_in_the_sinks_table_is_told_before_any_load(stack: Endpoints, results: Path) -> None:
    tap = ("--sink-tap", "postgres-log:public.copi", "--platform", "none")
    run = LocustProcess("throughput", results, "--rows", "10", *tap)

    assert run.wait() == 2, run.output
    assert "there is no table public.copi in database" in run.output

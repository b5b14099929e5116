"""Tables of the user's own, written by real runs: again and again, and left as they were."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra.stack.endpoints import Endpoints
from infra.stack.supervise.state import CHECKOUT
from tests.scenarios.locust_process import LocustProcess

SHOP = """
CREATE TYPE {s}.state AS ENUM ('new', 'paid', 'gone');
CREATE TABLE {s}.orders (
    id uuid PRIMARY KEY, number text NOT NULL UNIQUE, state {s}.state NOT NULL,
    total numeric(12, 2) NOT NULL CHECK (total > 0), tags text[] NOT NULL, document jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT now(), note text
);
CREATE TABLE {s}.items (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id uuid NOT NULL REFERENCES {s}.orders, price numeric(8, 2) NOT NULL, n int NOT NULL,
    label varchar(30), note text
);
ALTER TABLE {s}.items REPLICA IDENTITY FULL;
CREATE TABLE {s}.priced (
    id text PRIMARY KEY, price numeric(8, 2) NOT NULL, n int NOT NULL,
    total numeric(12, 2) NOT NULL, CHECK (total = price * n)
);
"""
MIXED = ("--rate", "60", "--duration", "2s", "--mix", "insert=60,update=30,delete=10")
#: A locustfile as docs/external.md shows it.
PRICED = """
from cdc_users.scenario import Scenario
from cdc_users.shapes.volume import VolumeShape
from cdc_users.users.postgres import PostgresUser


class PricedWriter(PostgresUser):
    table = "{s}.priced"

    def row(self, key, random):
        price, n = random.randint(100, 9999), random.randint(1, 9)
        return {{"price": price / 100, "n": n, "total": price * n / 100}}


class PricedShape(VolumeShape):
    writer = PricedWriter
    scenario = Scenario("priced", question="Does it hold?", defaults={{"rows": "40"}})
"""


@contextmanager
def shop(stack: Endpoints) -> Iterator[tuple[psycopg.Connection[Any], str]]:
    name = f"shop_{secrets.token_hex(4)}"
    with closing(psycopg.connect(stack.postgres_dsn, autocommit=True)) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
        connection.execute(SHOP.replace("{s}", name).encode())
        try:
            yield connection, name
        finally:
            connection.execute(f"DROP SCHEMA {name} CASCADE".encode())


def count(connection: psycopg.Connection[Any], table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    return int(row[0]) if row else -1


def test_runs_follow_one_another_on_the_same_tables_and_leave_nothing(
    stack: Endpoints, results: Path
) -> None:
    with shop(stack) as (connection, schema):
        own = ("--table", f"{schema}.orders,{schema}.items", "--probe-column", "note")
        for number in range(2):
            run = LocustProcess("throughput", results / str(number), *MIXED, *own)
            assert run.wait() == 0, run.output
            (step,) = run.result()["steps"]
            assert step["ledger"]["sent"] == step["ledger"]["delivered"] > 100
            assert step["ledger"]["checked"] > 0
            assert any("REPLICA IDENTITY DEFAULT" in note for note in run.result()["notes"])
            assert (
                count(connection, f"{schema}.orders"),
                count(connection, f"{schema}.items"),
            ) == (0, 0)


def test_a_locustfile_says_how_rows_are_made_and_the_probes_column_goes_again(
    stack: Endpoints, results: Path, tmp_path: Path
) -> None:
    file = tmp_path / "priced.py"
    with shop(stack) as (connection, schema):
        file.write_text(PRICED.format(s=schema), encoding="utf-8")
        run = LocustProcess(str(file), results, "--add-probe", "yes")
        assert run.wait() == 0, run.output
        cursor = connection.execute(f"SELECT * FROM {schema}.priced".encode())
        assert [column.name for column in cursor.description or ()] == ["id", "price", "n", "total"]
        assert not cursor.fetchall()


def test_what_cannot_be_made_ends_the_run_with_2_and_nothing_created(
    stack: Endpoints, results: Path
) -> None:
    with shop(stack) as (connection, schema):
        own = ("--table", f"{schema}.priced", "--add-probe", "yes")
        run = LocustProcess("throughput", results, "--rows", "10", *own)
        assert run.wait() == 2, run.output
        assert "CHECK ((total = (price * (n)::numeric))) cannot be met" in run.output
        cursor = connection.execute(f"SELECT * FROM {schema}.priced".encode())
        assert len(cursor.description or ()) == 4


@pytest.mark.soak
def test_rows_of_a_run_that_was_killed_go_with_the_next_one(
    stack: Endpoints, results: Path
) -> None:
    with shop(stack) as (connection, schema):
        own = ("--table", f"{schema}.orders", "--probe-column", "note")
        mine = "(gen_random_uuid(), 'mine', 'new', 1, '{}', '{}')"
        connection.execute(f"INSERT INTO {schema}.orders VALUES {mine}".encode())
        run = LocustProcess("throughput", results, "--rate", "50", "--duration", "60s", *own)
        run.await_output("benchmark.progress")
        # The run and its steward at once, so that nobody is left to clean up.
        for pid in subprocess.run(
            ["pgrep", "-P", str(run.pid)], capture_output=True, text=True, check=False
        ).stdout.split():
            subprocess.run(["kill", "-9", pid], cwd=CHECKOUT, check=False)
        subprocess.run(["kill", "-9", str(run.pid)], check=False)
        run.wait()
        assert count(connection, f"{schema}.orders") > 1

        again = LocustProcess("throughput", results, "--rows", "10", *own)

        assert again.wait() == 0, again.output
        assert count(connection, f"{schema}.orders") == 1

"""Events that come out at several places, and tables whose copies have names of their own.

The pipeline is PostgreSQL itself: triggers keep two copies of each source table.
"""

from __future__ import annotations

import csv
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg

from infra.stack.endpoints import Endpoints
from tests.scenarios.locust_process import LocustProcess

TABLES = """
CREATE TABLE {s}.orders (id uuid PRIMARY KEY, number text NOT NULL, note text);
CREATE TABLE {s}.items (no bigint, line text, n int NOT NULL, note text, PRIMARY KEY (no, line));
ALTER TABLE {s}.orders REPLICA IDENTITY FULL;
ALTER TABLE {s}.items REPLICA IDENTITY FULL;
CREATE FUNCTION {s}.copy() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE copied text := format('{s}.%I', TG_ARGV[0]);
BEGIN
    IF TG_OP = 'INSERT' THEN
        EXECUTE 'INSERT INTO ' || copied || ' SELECT ($1).*' USING NEW;
    ELSIF TG_OP = 'UPDATE' THEN
        EXECUTE 'UPDATE ' || copied || ' SET ' || TG_ARGV[1] || ' WHERE ' || TG_ARGV[2] USING NEW;
    ELSE
        EXECUTE 'DELETE FROM ' || copied || ' WHERE ' || TG_ARGV[2] USING OLD;
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION {s}.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
"""
COPIED = """
CREATE TABLE {s}.{name}_o (LIKE {s}.orders INCLUDING ALL);
CREATE TABLE {s}.{name}_i (LIKE {s}.items INCLUDING ALL);
CREATE TRIGGER {name} AFTER INSERT OR UPDATE OR DELETE ON {s}.orders FOR EACH ROW EXECUTE FUNCTION
    {s}.copy('{name}_o', 'number = ($1).number, note = ($1).note', 'id = ($1).id');
CREATE TRIGGER {name} AFTER INSERT OR UPDATE OR DELETE ON {s}.items FOR EACH ROW EXECUTE FUNCTION
    {s}.copy('{name}_i', 'n = ($1).n, note = ($1).note', 'no = ($1).no AND line = ($1).line');
"""
#: One insert in five does not come out at `search`; fences, which prove a loss, do.
LOSSY = """
CREATE TRIGGER lossy BEFORE INSERT ON {s}.search_i FOR EACH ROW
    WHEN (substr(NEW.note, 56, 1) = 'i' AND NEW.n % 5 = 0) EXECUTE FUNCTION {s}.nothing();
"""
FILE = """
[source]
dsn = "{dsn}"
table = "{s}.orders,{s}.items"

[[tap]]
kind = "postgres-log"
place = "{s}.search_o,{s}.search_i"
name = "search"

[[tap]]
kind = "postgres-log"
place = "{s}.archive_o,{s}.archive_i"

[options]
probe_column = "note"
"""
LOAD = ("--rate", "60", "--duration", "3s", "--mix", "insert=60,update=30,delete=10")


@contextmanager
def copied(stack: Endpoints, place: Path, more: str = "") -> Iterator[Path]:
    """A pipeline file of two tables and two copies of each."""
    schema = f"copies_{secrets.token_hex(4)}"
    made = TABLES + "".join(COPIED.replace("{name}", name) for name in ("search", "archive")) + more
    with closing(psycopg.connect(stack.postgres_dsn, autocommit=True)) as connection:
        connection.execute(f"CREATE SCHEMA {schema}".encode())
        try:
            connection.execute(made.replace("{s}", schema).encode())
            file = place / "copies.toml"
            text = FILE.replace("{s}", schema).replace("{dsn}", stack.postgres_dsn)
            file.write_text(text, encoding="utf-8")
            yield file
        finally:
            connection.execute(f"DROP SCHEMA {schema} CASCADE".encode())


def test_each_of_two_sinks_is_audited_by_itself(
    stack: Endpoints, results: Path, tmp_path: Path
) -> None:
    with copied(stack, tmp_path) as file:
        run = LocustProcess(
            "throughput", results, *LOAD, "--pipeline", str(file), "--csv", str(tmp_path / "its")
        )
        assert run.wait() == 0, run.output
        with closing(psycopg.connect(stack.postgres_dsn)) as connection:
            left = connection.execute(
                "SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE %s",
                (f"%{run.result()['run']}%",),
            ).fetchone()

    (step,) = run.result()["steps"]
    sent = step["ledger"]["sent"]
    assert step["messages"] == sent > 100
    assert [(name, tap["messages"]) for name, tap in step["taps"].items()] == [
        ("search", sent),
        ("sink", sent),
    ]
    assert left == (0,)
    with (tmp_path / "its_stats.csv").open(encoding="utf-8") as file_of_locust:
        lines = {row["Name"]: int(row["Request Count"]) for row in csv.DictReader(file_of_locust)}
    assert lines["end_to_end (search)"] == lines["end_to_end (sink)"] > 0
    assert "Received" in run.output


def test_a_verdict_names_the_sink_that_has_lost_something(
    stack: Endpoints, results: Path, tmp_path: Path
) -> None:
    with copied(stack, tmp_path, LOSSY) as file:
        run = LocustProcess("throughput", results, *LOAD, "--pipeline", str(file))
        code = run.wait()

    assert code == 1, run.output
    (step,) = run.result()["steps"]
    lost = step["taps"]["search"]["ledger"]["lost"]
    assert lost == step["taps"]["search"]["lost_at"]["search"] > 0
    assert set(step["taps"]["sink"]["ledger"].values()) == {0}
    assert any(reason.endswith(f"by tap: search {lost}") for reason in run.result()["reasons"])


@contextmanager
def writer(stack: Endpoints, schema: str) -> Iterator[tuple[str, dict[str, str]]]:
    """A role that may read and write the schema's tables: its DSN, and its password."""
    role, password = f"writer_{secrets.token_hex(4)}", secrets.token_hex(8)
    kept = [part for part in stack.postgres_dsn.split() if "user=" not in part]
    dsn = " ".join([*(part for part in kept if "passfile=" not in part), f"user={role}"])
    with closing(psycopg.connect(stack.postgres_dsn, autocommit=True)) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'".encode())
        try:
            connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}".encode())
            connection.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role}".encode())
            yield dsn, {"PGPASSWORD": password}
        finally:
            connection.execute(f"DROP OWNED BY {role}".encode())
            connection.execute(f"DROP ROLE {role}".encode())


ONLY_WRITES = """
[source]
dsn = "{dsn}"
table = "{s}.orders,{s}.items"

[[tap]]
kind = "postgres"
place = "{s}.search_o,{s}.search_i"

[options]
probe_column = "note"
"""


def test_a_role_that_only_writes_suffices_where_the_rest_runs_already(
    stack: Endpoints, results: Path, tmp_path: Path
) -> None:
    """GIVEN a role that may neither replicate nor create anything."""
    with copied(stack, tmp_path) as file:
        schema = file.read_text(encoding="utf-8").partition('table = "')[2].partition(".")[0]
        with writer(stack, schema) as (dsn, password):
            text = ONLY_WRITES.replace("{s}", schema).replace("{dsn}", dsn)
            file.write_text(text, encoding="utf-8")
            own = ("--rows", "40", "--pipeline", str(file))
            run = LocustProcess("throughput", results, *own, environment=password)
            assert run.wait() == 0, run.output
            checked = subprocess.run(
                [sys.executable, "-m", "cdc_users.pipeline", "check", str(file)],
                env={**os.environ, **password},
                capture_output=True,
                text=True,
                check=False,
            )

    (step,) = run.result()["steps"]
    assert step["messages"] == step["ledger"]["sent"] >= 40
    assert "may not replicate" not in checked.stdout

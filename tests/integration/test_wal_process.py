"""The direct reader as a process: what it refuses and how to mend it, and that it never leaves a
slot behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from psycopg import pq
from psycopg2.extensions import connection as Connection

from infra.stack.supervise.state import CHECKOUT
from tests.private_postgres import PrivatePostgres, private_postgres
from tests.wal_process import WalProcess, await_that, slots


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivatePostgres]:
    settings = {"max_replication_slots": "1", "max_wal_senders": "2"}
    with private_postgres(tmp_path_factory.mktemp("postgres"), settings) as running:
        yield running


@pytest.fixture
def connection(postgres: PrivatePostgres) -> Iterator[Connection]:
    with closing(psycopg2.connect(postgres.dsn)) as opened:
        opened.autocommit = True
        yield opened


@pytest.fixture
def table(connection: Connection) -> Iterator[str]:
    name = f"wal_{uuid.uuid4().hex[:8]}"
    execute(connection, f"CREATE TABLE {name} (id int PRIMARY KEY)")
    yield name
    execute(
        connection,
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE active_pid IS"
        " NULL",
    )
    execute(connection, f"DROP PUBLICATION IF EXISTS {name}")
    execute(connection, f"DROP TABLE {name}")


def execute(connection: Connection, query: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(query)


def refused(directory: Path, *options: str, password: str = "") -> tuple[int, str]:
    """How a reader that cannot start ends: its exit code and what it says."""
    command = [
        sys.executable,
        "-m",
        "infra.platform.wal",
        "--journal",
        str(directory / "journal"),
        *options,
    ]
    done = subprocess.run(
        command,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **({"PGPASSWORD": password} if password else {})},
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def own(postgres: PrivatePostgres, table: str) -> list[str]:
    """A reader that makes its own slot and publication."""
    return [
        "--dsn",
        postgres.dsn,
        "--slot",
        table,
        "--publication",
        table,
        "--create",
        f"public.{table}",
    ]


def test_all_mistakes_are_told_together_before_any_server_is_asked(tmp_path: Path) -> None:
    code, text = refused(
        tmp_path,
        *("--dsn", "host=nowhere.invalid password=secret", "--slot", "s", "--publication", "p"),
        *("--transport", "carrier-pigeon", "--partitions", "0", "--format", "xml"),
    )

    assert code == 2
    assert "--partitions '0' is not a whole number of at least 1" in text
    assert "--transport 'carrier-pigeon' is not one of kafka, kinesis, pubsub, null" in text
    assert "--format 'xml'" in text
    assert "put it into PGPASSWORD" in text
    assert "secret" not in text


def test_a_missing_publication_ends_with_the_sql_that_makes_it(
    postgres: PrivatePostgres, connection: Connection, table: str, tmp_path: Path
) -> None:
    execute(connection, f"SELECT pg_create_logical_replication_slot('{table}', 'pgoutput')")
    code, text = refused(
        tmp_path, "--dsn", postgres.dsn, "--slot", table, "--publication", "Not There"
    )

    assert code == 2
    assert 'run CREATE PUBLICATION "Not There" FOR TABLE' in text


def test_a_missing_slot_ends_with_the_sql_that_makes_it(
    postgres: PrivatePostgres, connection: Connection, table: str, tmp_path: Path
) -> None:
    execute(connection, f"CREATE PUBLICATION {table} FOR TABLE {table}")
    code, text = refused(tmp_path, "--dsn", postgres.dsn, "--slot", table, "--publication", table)

    assert code == 3
    assert f"run SELECT pg_create_logical_replication_slot('{table}', 'pgoutput');" in text


def test_a_table_without_identity_ends_with_the_sql_that_gives_it_one(
    postgres: PrivatePostgres, connection: Connection, table: str, tmp_path: Path
) -> None:
    execute(connection, f"ALTER TABLE {table} REPLICA IDENTITY NOTHING")
    code, text = refused(tmp_path, *own(postgres, table))

    assert code == 2
    assert f'run ALTER TABLE "public"."{table}" REPLICA IDENTITY FULL;' in text
    assert slots(connection) == []


def test_no_free_slot_ends_with_the_setting(
    postgres: PrivatePostgres, connection: Connection, table: str, tmp_path: Path
) -> None:
    execute(connection, "SELECT pg_create_logical_replication_slot('taken', 'pgoutput')")
    code, text = refused(tmp_path, *own(postgres, table))
    execute(connection, "SELECT pg_drop_replication_slot('taken')")

    assert code == 3
    assert (
        "all 1 replication slots are in use; run ALTER SYSTEM SET max_replication_slots = 3;"
        in text
    )


def test_no_free_sender_ends_with_the_setting(
    postgres: PrivatePostgres, connection: Connection, table: str, tmp_path: Path
) -> None:
    conninfo = f"{postgres.dsn} replication=database".encode()
    taken = [pq.PGconn.connect(conninfo) for _ in range(2)]
    code, text = refused(tmp_path, *own(postgres, table))
    for sender in taken:
        sender.finish()

    assert code == 3
    assert "all 2 WAL senders are in use; run ALTER SYSTEM SET max_wal_senders = 5;" in text
    assert slots(connection) == []


def test_a_user_without_replication_ends_with_the_sql_that_allows_it(
    postgres: PrivatePostgres, connection: Connection, table: str, tmp_path: Path
) -> None:
    execute(connection, "CREATE ROLE plain LOGIN PASSWORD 'plain'")
    dsn = postgres.dsn.replace("user=postgres", "user=plain")
    options = ("--dsn", dsn, "--slot", table, "--publication", table)
    code, text = refused(tmp_path, *options, password="plain")
    execute(connection, "DROP ROLE plain")

    assert code == 2
    assert 'run ALTER ROLE "plain" REPLICATION;' in text


def test_a_server_without_logical_decoding_ends_with_the_setting(tmp_path: Path) -> None:
    with private_postgres(tmp_path, {"wal_level": "replica"}) as postgres:
        code, text = refused(tmp_path, "--dsn", postgres.dsn, "--slot", "s", "--publication", "p")

    assert code == 2
    assert "run ALTER SYSTEM SET wal_level = 'logical'; and restart the server" in text


@pytest.mark.parametrize(
    ("transport", "endpoint", "said"),
    [
        ("kinesis", "http://127.0.0.1:1", "Kinesis at http://127.0.0.1:1 does not answer"),
        ("pubsub", "127.0.0.1:1", "Pub/Sub at 127.0.0.1:1 does not answer"),
        ("kafka", "127.0.0.1:1", "Kafka at 127.0.0.1:1 does not answer"),
    ],
)
def test_a_transport_that_does_not_answer_is_named_and_nothing_is_left(
    postgres: PrivatePostgres,
    connection: Connection,
    table: str,
    tmp_path: Path,
    transport: str,
    endpoint: str,
    said: str,
) -> None:
    code, text = refused(
        tmp_path, *own(postgres, table), "--transport", transport, "--endpoint", endpoint
    )

    assert code == 3
    assert said in text
    assert slots(connection) == []


def test_a_name_that_the_service_cannot_have_is_refused(
    postgres: PrivatePostgres, connection: Connection, table: str, tmp_path: Path
) -> None:
    code, text = refused(tmp_path, *own(postgres, table), "--prefix", "p" * 300)

    assert code == 2
    assert "choose another prefix" in text
    assert slots(connection) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_its_own_slot_is_gone_after_a_signal(
    postgres: PrivatePostgres,
    connection: Connection,
    table: str,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    process = WalProcess(*own(postgres, table), directory=tmp_path).await_ready()
    assert slots(connection) == [table]
    execute(connection, f"INSERT INTO {table} SELECT generate_series(1, 100)")

    assert process.end(number) == 0

    assert slots(connection) == []
    assert not list((tmp_path / "journal").glob("*"))


def test_what_a_killed_reader_left_is_removed_by_the_next(
    postgres: PrivatePostgres, connection: Connection, table: str, tmp_path: Path
) -> None:
    WalProcess(*own(postgres, table), directory=tmp_path).await_ready().end(signal.SIGKILL)
    assert slots(connection) == [table]

    process = WalProcess(*own(postgres, table), directory=tmp_path).await_ready()
    execute(connection, f"INSERT INTO {table} SELECT generate_series(1, 100)")
    await_that(
        lambda: process.snapshot()["sink"]["durable_events"] == 100,
        "the second reader reads nothing",
    )
    assert process.end(signal.SIGTERM) == 0

    assert slots(connection) == []


def test_what_it_could_not_remove_itself_is_removed_by_the_next(
    postgres: PrivatePostgres, tmp_path: Path
) -> None:
    table = f"wal_{uuid.uuid4().hex[:8]}"
    with closing(psycopg2.connect(postgres.dsn)) as connection, connection:
        execute(connection, f"CREATE TABLE {table} (id int PRIMARY KEY)")
    process = WalProcess(*own(postgres, table), directory=tmp_path).await_ready()
    postgres.stop()
    process.end(signal.SIGTERM)
    postgres.start()
    with closing(psycopg2.connect(postgres.dsn)) as again:
        assert slots(again) == [table]

        WalProcess(*own(postgres, table), directory=tmp_path).await_ready().end(signal.SIGTERM)

        assert slots(again) == []


def test_what_somebody_else_made_is_never_taken_for_its_own(
    postgres: PrivatePostgres, connection: Connection, table: str, tmp_path: Path
) -> None:
    execute(connection, f"CREATE PUBLICATION {table} FOR TABLE {table}")
    code, text = refused(tmp_path, *own(postgres, table))
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_publication WHERE pubname = %s", (table,))
        left = cursor.fetchone()

    assert code == 2
    assert f"publication '{table}' exists already; leave out --create to use it" in text
    assert left == (1,)
    assert slots(connection) == []


def test_a_slot_that_somebody_reads_is_left_to_him(
    postgres: PrivatePostgres, connection: Connection, table: str, tmp_path: Path
) -> None:
    process = WalProcess(*own(postgres, table), directory=tmp_path).await_ready()
    code, text = refused(
        tmp_path / "second", "--dsn", postgres.dsn, "--slot", table, "--publication", table
    )
    ended = process.end(signal.SIGTERM)

    assert code == 3
    assert f"slot '{table}' is active for pid" in text
    assert ended == 0

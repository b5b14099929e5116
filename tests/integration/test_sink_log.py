"""The log tap on a sink of another server, and what is refused before a slot is made there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from cdc_users.measure.clock import new_anchor
from cdc_users.measure.ledger.checksum import checksum
from cdc_users.measure.ledger.probe import Operation, Probe, format_probe
from cdc_users.observe.settings import PostgresLogSettings
from cdc_users.observe.taps.postgres_log import PostgresLogTap
from infra.avro.kind import ColumnKind
from infra.postgres.database import connect_to, create_database, drop_database, of_database
from infra.postgres.publication import create_publication, drop_publication
from infra.postgres.sink_log import check_sink
from infra.postgres.slot import create_slot, drop_slot
from infra.postgres.table import TableError
from tests.private_postgres import PrivatePostgres, private_postgres

RUN = "sinklog1"
WRITER = 10_000
DEADLINE_S = 20.0
COLUMNS = (("note", ColumnKind.TEXT.value),)


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivatePostgres]:
    with private_postgres(tmp_path_factory.mktemp("sink"), {"wal_level": "logical"}) as server:
        yield server


def connect(server: PrivatePostgres) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(server.dsn, autocommit=True)


def probe(
    sequence: int, *, index: int = 0, size: int = 1, version: int = 1, kind: str = "i"
) -> str:
    key = sequence if version == 1 else 1
    return format_probe(
        Probe(
            run=RUN,
            writer=WRITER,
            sequence=sequence,
            transaction=sequence - index,
            index=index,
            size=size,
            key_version=version,
            operation=Operation(kind),
            intended_us=1,
            checksum=checksum(key, version, ["n"]),
        )
    )


def wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, "the tap has not seen it"
        time.sleep(0.01)


@contextmanager
def watched(server: PrivatePostgres, table: str) -> Iterator[PostgresLogTap]:
    """A table `id, note, probe` and a tap on its log."""
    with closing(connect(server)) as connection:
        connection.execute(
            sql.SQL("CREATE TABLE {} (id bigint PRIMARY KEY, note text, probe text)").format(
                sql.Identifier(table)
            )
        )
        create_publication(connection, table, [check_sink(connection, f"public.{table}")])
        create_slot(connection, table)
        tap = PostgresLogTap(
            PostgresLogSettings(
                name="sink",
                dsn=server.dsn,
                table=f"public.{table}",
                slot=table,
                publication=table,
                columns=COLUMNS,
                check_every=1,
            ),
            RUN,
            new_anchor(),
        )
        tap.start()
        try:
            yield tap
        finally:
            tap.stop()
            with closing(connect(server)) as cleaning:  # a test may have restarted the server
                drop_slot(cleaning, table)
                drop_publication(cleaning, table)


def test_a_row_that_is_written_twice_is_a_duplicate_at_the_sink(sink: PrivatePostgres) -> None:
    with watched(sink, "twice") as tap, closing(connect(sink)) as connection:
        write = (
            "INSERT INTO twice VALUES (1, 'n', %s)"
            " ON CONFLICT (id) DO UPDATE SET note = EXCLUDED.note, probe = EXCLUDED.probe"
        )
        for _ in range(2):
            connection.execute(write, (probe(1),))
        wait_for(lambda: tap.record.events == 2)
        step = tap.record.snapshot().steps[1]
        assert (step.delivered, step.duplicated) == (1, 1)
        assert tap.record.snapshot().written_by_others == 0


def test_latency_ends_at_the_commit_and_not_where_the_tap_came_by(sink: PrivatePostgres) -> None:
    with watched(sink, "timed") as tap, closing(connect(sink)) as connection:
        anchor = new_anchor()
        before_us = anchor.now_us()
        connection.execute("INSERT INTO timed VALUES (1, 'n', %s)", (probe(1),))
        after_us = anchor.now_us()
        wait_for(lambda: bool(tap.record.snapshot().steps))
        assert before_us <= tap.record.snapshot().steps[1].last_us <= after_us


def test_deletes_are_audited_where_the_log_has_only_their_key(sink: PrivatePostgres) -> None:
    with watched(sink, "gone") as tap, closing(connect(sink)) as connection:
        connection.execute("INSERT INTO gone VALUES (1, 'n', %s)", (probe(1),))
        with connection.transaction():
            stamp = probe(2, size=2, version=2, kind="s")
            connection.execute("UPDATE gone SET probe = %s WHERE id = 1", (stamp,))
            connection.execute("DELETE FROM gone WHERE id = 1")
        wait_for(lambda: tap.record.events == 3)
        step = tap.record.snapshot().steps[1]
        assert step.delivered == 3
        assert tap.gauges()["torn_transactions"] == 0


def test_a_transaction_in_two_commits_is_torn_and_one_in_a_larger_one_is_not(
    sink: PrivatePostgres,
) -> None:
    with watched(sink, "torn") as tap, closing(connect(sink)) as connection:
        insert = "INSERT INTO torn VALUES (%s, 'n', %s)"
        with connection.transaction():
            for number in (1, 2):
                connection.execute(insert, (number, probe(number, index=number - 1, size=2)))
            connection.execute(insert, (3, probe(3)))
        for number in (4, 5):
            connection.execute(insert, (number, probe(number, index=number - 4, size=2)))
        wait_for(lambda: tap.record.events == 5)
        assert tap.gauges()["torn_transactions"] == 1
        assert tap.gauges()["transactions"] == 3


def test_a_value_that_was_changed_on_the_way_is_corrupt(sink: PrivatePostgres) -> None:
    with watched(sink, "changed") as tap, closing(connect(sink)) as connection:
        connection.execute("INSERT INTO changed VALUES (1, 'other', %s)", (probe(1),))
        connection.execute("INSERT INTO changed VALUES (2, 'n', %s)", (probe(2),))
        wait_for(lambda: tap.record.events == 2)
        ledger = tap.record.arrivals().steps[1]
        assert (ledger.checked, ledger.corrupt) == (2, 1)


def test_a_sink_that_restarts_is_read_on_without_a_repeat(sink: PrivatePostgres) -> None:
    with watched(sink, "again") as tap:
        with closing(connect(sink)) as connection:
            connection.execute("INSERT INTO again VALUES (1, 'n', %s)", (probe(1),))
        wait_for(lambda: tap.record.events == 1)
        sink.kill()
        sink.start()
        with closing(connect(sink)) as connection:
            connection.execute("INSERT INTO again VALUES (2, 'n', %s)", (probe(2),))
            wait_for(lambda: tap.record.events == 2)
            assert tap.record.snapshot().steps[1].duplicated == 0
            wait_for(
                lambda: (
                    connection.execute(
                        "SELECT active FROM pg_replication_slots WHERE slot_name = 'again'"
                    ).fetchone()
                    == (True,)
                )
            )
            tap.stop()


def test_what_cannot_be_watched_is_refused_with_all_its_remedies(sink: PrivatePostgres) -> None:
    with closing(connect(sink)) as connection:
        connection.execute("CREATE TABLE bare (id bigint, note text)")
        with pytest.raises(TableError) as refused:
            check_sink(connection, "public.bare")
        with pytest.raises(TableError, match=r"no table public\.copi in database"):
            check_sink(connection, "public.copi")
        assert connection.execute("SELECT count(*) FROM pg_publication_tables").fetchone() == (0,)
    for part in ("neither a primary key nor a replica identity", "no column 'probe'"):
        assert part in str(refused.value)


def test_a_role_without_rights_is_told_which_it_lacks(sink: PrivatePostgres) -> None:
    with closing(connect(sink)) as connection:
        connection.execute("CREATE TABLE rights (id bigint PRIMARY KEY, probe text)")
        connection.execute("CREATE ROLE reader NOLOGIN")
        connection.execute("SET ROLE reader")
        with pytest.raises(TableError, match="may not read the log") as refused:
            check_sink(connection, "public.rights")
    assert "may not publish public.rights" in str(refused.value)
    assert "--sink-tap postgres:public.rights" in str(refused.value)


def test_a_server_without_logical_decoding_is_told_so(tmp_path: Path) -> None:
    with (
        private_postgres(tmp_path, {"wal_level": "replica"}) as server,
        closing(connect(server)) as connection,
    ):
        connection.execute("CREATE TABLE copy (id bigint PRIMARY KEY, probe text)")
        with pytest.raises(TableError, match="wal_level of the sink's server is replica"):
            check_sink(connection, "public.copy")


def test_a_database_of_a_run_is_dropped_with_its_readers_and_no_other_is(
    sink: PrivatePostgres,
) -> None:
    dsn = of_database(sink.dsn, "mine")
    with closing(connect(sink)) as connection:
        create_database(connection, "mine", RUN)
        connection.execute("CREATE DATABASE yours")
        with connect_to(dsn) as reader:
            assert reader.execute("SELECT current_database()").fetchone() == ("mine",)
            drop_database(connection, "mine")
        drop_database(connection, "mine")
        with pytest.raises(TableError, match="does not carry the harness's marker"):
            drop_database(connection, "yours")
        left = connection.execute(
            "SELECT datname FROM pg_database WHERE datname IN ('mine', 'yours')"
        ).fetchall()
    assert left == [("yours",)]

"""Transactions of the Postgres user on a real server: what a writer means is what the tables
hold.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from psycopg2.extensions import set_wait_callback

from cdc_users.measure.ledger.ledger import Outcomes
from cdc_users.measure.ledger.probe import Operation
from cdc_users.step.read_back import WrittenTables, settle_unknown
from cdc_users.users.session import FAILURES, Session, application_name, open_session, rolled_back
from cdc_users.users.statement import Statement, quoted_name, statements
from cdc_users.users.target import DatabaseTarget
from cdc_users.users.workload.keyspace import Outcome
from cdc_users.users.workload.workload import (
    InsertMethod,
    Ranges,
    Workload,
    Writer,
    WriteTransaction,
)
from infra.postgres.table import create_customers, create_schema, drop_schema, table_names
from infra.stack.endpoints import Endpoints

RUN = uuid.uuid4().hex[:8]
TABLES = table_names(2)
CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s AND state ="
    " 'active'"
)
METHODS: tuple[InsertMethod, ...] = ("single", "values", "copy")


@pytest.fixture
def connection(stack: Endpoints) -> Iterator[Any]:
    with closing(psycopg.connect(stack.postgres_dsn, autocommit=True)) as opened:
        yield opened


@pytest.fixture
def schema(connection: Any) -> Iterator[str]:
    name = f"cdc_test_{uuid.uuid4().hex[:8]}"
    create_schema(connection, name, "test")
    for table in TABLES:
        create_customers(connection, name, table)
    yield name
    drop_schema(connection, name)


def workload_of(method: InsertMethod) -> Workload:
    return Workload(mix=(60, 30, 10), live_keys=50, tables=2, insert_method=method, row_bytes=30)


def carry_out(
    session: Session, schema: str, transaction: WriteTransaction, method: InsertMethod
) -> None:
    session.ready()
    session.carry_out(
        statements(transaction.changes, [quoted_name(schema, table) for table in TABLES], method)
    )


def rows(connection: Any, schema: str) -> dict[int, tuple[Any, ...]]:
    found: dict[int, tuple[Any, ...]] = {}
    for table in TABLES:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {schema}.{table}")
            found |= {row[0]: row for row in cursor.fetchall()}
    return found


def outcomes_of(ranges: Ranges) -> Outcomes:
    return Outcomes(
        **{name: [(first, last) for first, last in runs] for name, runs in ranges.runs.items()}
    )


@pytest.mark.parametrize("method", METHODS)
def test_the_tables_hold_what_the_writer_wrote_last(
    stack: Endpoints, connection: Any, schema: str, method: InsertMethod
) -> None:
    writer, expected = Writer(RUN, 10_001, workload_of(method)), dict[int, Any]()
    session = open_session(stack.postgres_dsn, RUN, method)
    for number in range(30):
        transaction = writer.transaction(7, 1_700_000_000_000_000 + number)
        carry_out(session, schema, transaction, method)
        writer.settle(transaction, "acked")
        expected |= {change.key: change.row for change in transaction.changes}
    session.close()

    assert any(row is None for row in expected.values())
    assert rows(connection, schema) == {
        key: row for key, row in expected.items() if row is not None
    }


@pytest.mark.parametrize("method", METHODS)
def test_a_transaction_that_is_refused_leaves_nothing_behind(
    stack: Endpoints, connection: Any, schema: str, method: InsertMethod
) -> None:
    session = open_session(stack.postgres_dsn, RUN, method)
    workload = Workload(tables=2, insert_method=method)
    carry_out(session, schema, Writer(RUN, 10_001, workload).transaction(2, 0), method)
    before = rows(connection, schema)
    clashing = Writer(RUN, 10_002, workload).transaction(3, 0)
    again = Writer(RUN, 10_001, workload).transaction(2, 0)

    whole = WriteTransaction(1, 1, 5, [*clashing.changes, *again.changes])

    with pytest.raises(FAILURES) as caught:
        carry_out(session, schema, whole, method)

    assert rolled_back(caught.value)
    assert rows(connection, schema) == before
    carry_out(session, schema, clashing, method)
    assert len(rows(connection, schema)) == 5
    session.close()


def cut(dsn: str) -> None:
    """Cut the connection of the run's lane as soon as it is at work."""
    with closing(psycopg.connect(dsn, autocommit=True)) as opened:
        deadline_s = time.monotonic() + 20
        while (
            not opened.execute(CUT, (application_name(RUN),)).fetchall()
            and time.monotonic() < deadline_s
        ):
            time.sleep(0.02)


@pytest.mark.parametrize("method", ["single", "copy"])
def test_a_transaction_whose_connection_is_cut_may_have_happened(
    stack: Endpoints, method: InsertMethod
) -> None:
    session = open_session(stack.postgres_dsn, RUN, method)
    session.ready()
    cutter = threading.Thread(target=cut, args=(stack.postgres_dsn,))
    cutter.start()

    with pytest.raises(FAILURES) as caught:
        session.carry_out([Statement("SELECT pg_sleep(20)")])

    cutter.join()
    assert not rolled_back(caught.value)
    session.ready()
    session.carry_out([Statement("SELECT 1")])
    session.close()
    set_wait_callback(None)


def test_what_nobody_knows_is_settled_by_the_rows(
    stack: Endpoints, connection: Any, schema: str
) -> None:
    workload, true = workload_of("single"), Ranges()
    writer, session = Writer(RUN, 10_001, workload), open_session(stack.postgres_dsn, RUN, "single")
    doubtful: set[Operation] = set()
    for number in range(60):
        transaction = writer.transaction(2, number)
        doubtful |= {change.operation for change in transaction.changes} if number % 3 else set()
        told: Outcome = "unknown" if number % 3 else "acked"
        committed = number % 3 != 2
        if committed:
            carry_out(session, schema, transaction, "single")
        writer.settle(transaction, told)
        true.add("acked" if committed else "failed", transaction.first, transaction.last)
    session.close()
    set_wait_callback(None)

    before = {10_001: outcomes_of(writer.ranges)}
    target = DatabaseTarget(stack.postgres_dsn, schema, TABLES)
    written = WrittenTables(target, RUN, workload, 2)
    settled = settle_unknown(written, before, limit_s=10)[10_001]

    def numbers(outcomes: Outcomes, name: str) -> set[int]:
        return {
            number for first, last in getattr(outcomes, name) for number in range(first, last + 1)
        }

    assert not settled.unknown
    assert numbers(settled, "acked") == numbers(outcomes_of(true), "acked")
    assert numbers(settled, "failed") == numbers(outcomes_of(true), "failed")
    assert {Operation.INSERT, Operation.UPDATE, Operation.DELETE} <= doubtful

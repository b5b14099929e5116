"""Tables of somebody else's making on a real PostgreSQL: read, planned for, written, cleared."""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cdc_users.measure.ledger.ledger import RowCheck
from cdc_users.measure.ledger.probe import Operation
from cdc_users.observe.comparison import answer
from cdc_users.observe.message import FinalRequest
from cdc_users.observe.settings import OwnTableSettings, PostgresSideSettings
from cdc_users.observe.taps.postgres import PostgresSide
from cdc_users.pipeline.provision.ground import Ground, OwnTables
from cdc_users.pipeline.sources.table.provide import own_tables
from cdc_users.step.read_back import key_sequences
from cdc_users.users.source.looks import source_look
from cdc_users.users.table_statement import table_statements
from cdc_users.users.target import DatabaseTarget
from cdc_users.users.workload.table.plan import TablePlan
from cdc_users.users.workload.table.row import TableRows, key_texts
from cdc_users.users.workload.workload import Workload, Writer
from infra.postgres.run_rows import delete_run_rows, drop_probe_column
from infra.postgres.table import Table, TableError
from infra.stack.endpoints import Endpoints
from tests.integration.own_schema import NASTY, REFUSED


@contextmanager
def schema_of(dsn: str, statements: str) -> Iterator[tuple[psycopg.Connection[Any], str]]:
    """A schema of the test's own with these tables; `{s}` stands for its name."""
    name = f"own_{secrets.token_hex(4)}"
    with closing(psycopg.connect(dsn, autocommit=True)) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
        try:
            connection.execute(statements.replace("{s}", name).encode())
            yield connection, name
        finally:
            connection.execute(f"DROP SCHEMA {name} CASCADE")


class Prepared:
    """What a run's steward would have made ready, with its journal."""

    def __init__(self, dsn: str, schema: str, names: Sequence[str], **wish: Any) -> None:
        self.run = "".join(secrets.choice(string.ascii_lowercase) for _ in range(8))
        self.notes: list[tuple[str, str]] = []
        self._dsn = dsn
        ground = Ground(
            name=f"cdc_{self.run}",
            run=self.run,
            tables=(),
            topics=(),
            partitions=1,
            tuning="",
            transport="kafka",
            transport_endpoint="",
            connector="",
            endpoints=Endpoints("process", postgres_dsn=dsn),
            checkout=Path(),
            note=self._note,
            postgres=lambda: closing(psycopg.connect(dsn, autocommit=True)),
            sink=lambda: closing(psycopg.connect(dsn, autocommit=True)),
            service=lambda *_: "",
            server=lambda _: "",
            own=OwnTables(tables=tuple(Table(schema, name) for name in names), **wish),
        )
        self.plans: tuple[TablePlan, ...] = own_tables(ground)

    def _note(self, kind: str, name: str) -> str:
        self.notes.append((kind, name))
        return name

    def write(self, connection: psycopg.Connection[Any], transactions: int, **load: Any) -> Writer:
        """Have one writer at work; every transaction is acknowledged."""
        workload = Workload(tables=len(self.plans), **load)
        rows = TableRows(self.run, 10_001, self.plans, payload="x" * workload.row_bytes)
        writer = Writer(self.run, 10_001, workload, rows)
        for number in range(transactions):
            transaction = writer.transaction(4, 1_790_000_000_000_000 + number)
            for statement in table_statements(
                transaction.changes, self.plans, workload.insert_method
            ):
                if statement.lines is None:
                    connection.execute(statement.text.encode())
                else:
                    with connection.cursor().copy(statement.text.encode()) as copy:
                        copy.write(statement.lines)
            writer.settle(transaction, "acked")
        return writer

    def clear(self) -> None:
        """As the steward does at the end, last noted first."""
        with closing(psycopg.connect(self._dsn, autocommit=True)) as connection:
            for kind, name in reversed(self.notes):
                {"rows": delete_run_rows, "probe column": drop_probe_column}[kind](connection, name)


def side(dsn: str, plan: TablePlan, run: str) -> PostgresSide:
    own = OwnTableSettings(
        table=plan.full_name, key=plan.key, probe=plan.probe, columns=plan.compared
    )
    return PostgresSide(PostgresSideSettings(dsn=dsn, table=plan.full_name, own=(own,)), run)


def contents(connection: psycopg.Connection[Any], schema: str, table: str) -> list[Any]:
    return connection.execute(
        f"SELECT t::text FROM {schema}.{table} AS t ORDER BY 1".encode()
    ).fetchall()


@pytest.mark.parametrize("method", ["single", "values", "copy"])
def test_every_row_that_is_made_is_taken_kept_as_it_is_and_removed_again(
    stack: Endpoints, method: str
) -> None:
    dsn, tables = stack.postgres_dsn, ("orders", "items", "places")
    with schema_of(dsn, NASTY) as (connection, schema):
        before = {table: contents(connection, schema, table) for table in tables}
        changes = frozenset({"update", "delete"})
        prepared = Prepared(dsn, schema, tables, probe="note", changes=changes)
        mixed = {"mix": (60, 30, 10), "insert_method": method, "row_bytes": 20}
        fences(connection, prepared)
        writer = prepared.write(connection, 60, **mixed)

        for plan in prepared.plans:
            found = side(dsn, plan, prepared.run)
            rows = list(found._rows(None))
            mine = [row for row in rows if str(row[1])[2:10] == prepared.run]
            assert len(mine) > 10
            assert not any(found._is_damaged(row) for row in mine)
            state = found.state(range(1024), 1024)
            assert len(state) == int(found.totals(1024).count.sum())
        assert {plan.unaudited[0].split(":")[0] for plan in prepared.plans if plan.unaudited}
        target = DatabaseTarget(dsn, schema, tables, prepared.plans)
        keys = [writer.number * 10**8 + number for number in range(1, 20)]
        with source_look(target, prepared.run) as look:
            assert set(key_sequences(look, target, keys).values()) <= set(range(1, 10**4))
        prepared.clear()
        assert before == {table: contents(connection, schema, table) for table in tables}


def fences(connection: psycopg.Connection[Any], prepared: Prepared) -> None:
    """What rows of later tables may refer to."""
    from cdc_users.users.producer.fence import TableFences

    target = DatabaseTarget(prepared._dsn, prepared.plans[0].schema, (), prepared.plans)
    made = TableFences(prepared.run, target, lambda: 1, None)
    made(1)


def test_two_runs_never_share_a_key(stack: Endpoints) -> None:
    with schema_of(stack.postgres_dsn, NASTY) as (connection, schema):
        first = Prepared(stack.postgres_dsn, schema, ("orders",), probe="note", keep_rows=True)
        first.write(connection, 5)
        second = Prepared(stack.postgres_dsn, schema, ("orders",), probe="note")
        second.write(connection, 5)
        second.clear()

        (rows,) = connection.execute(f"SELECT count(*) FROM {schema}.orders".encode()).fetchone()  # type: ignore[misc]

    assert not first.notes
    assert rows == 2 + 20  # those that were there, and those of the first run


def test_a_column_for_the_probe_is_added_and_removed(stack: Endpoints) -> None:
    with schema_of(stack.postgres_dsn, "CREATE TABLE {s}.plain (id uuid PRIMARY KEY, n int)") as (
        connection,
        schema,
    ):
        with pytest.raises(TableError, match="let --add-probe yes add it"):
            Prepared(stack.postgres_dsn, schema, ("plain",))
        prepared = Prepared(stack.postgres_dsn, schema, ("plain",), add_probe=True)
        prepared.write(connection, 3)
        prepared.clear()

        cursor = connection.execute(f"SELECT * FROM {schema}.plain".encode())
        assert [column.name for column in cursor.description or ()] == ["id", "n"]
        assert not cursor.fetchall()


@pytest.mark.parametrize(("statement", "told"), REFUSED)
def test_what_cannot_be_made_is_refused_by_name(
    stack: Endpoints, statement: str, told: str
) -> None:
    with schema_of(stack.postgres_dsn, statement) as (connection, schema):
        with pytest.raises(TableError) as caught:
            Prepared(stack.postgres_dsn, schema, ("t",), changes=frozenset({"update", "delete"}))
        assert told in str(caught.value)
        assert not contents(connection, schema, "t")


def test_a_row_of_the_users_own_making_meets_what_cannot_be_guessed(stack: Endpoints) -> None:
    statement = (
        "CREATE TABLE {s}.t (id bigint PRIMARY KEY, price numeric(10,2) NOT NULL, n int NOT NULL,"
        " total numeric(12,2) NOT NULL CHECK (total = price * n), probe text)"
    )

    def row(key: int, chance: Any) -> dict[str, Any]:
        n = chance.randint(1, 9)
        return {"price": "2.50", "n": n, "total": 2.5 * n}

    with schema_of(stack.postgres_dsn, statement) as (connection, schema):
        prepared = Prepared(stack.postgres_dsn, schema, ("t",), custom=True)
        rows = TableRows(prepared.run, 10_001, prepared.plans, custom=row)
        rows.begin(1, 1, 1)
        made = rows.row(1_000_100_000_001, 1, Operation.INSERT, 1, 0)
        connection.execute(
            f"INSERT INTO {schema}.t VALUES (%s, %s, %s, %s, %s)".encode(),
            (*made.values, made.probe),
        )
        found = side(stack.postgres_dsn, prepared.plans[0], prepared.run)
        (only,) = found._rows(None)

        assert found._watched.check(only[1], only[0], only[2:]) is RowCheck.GOOD
        assert key_texts(prepared.plans[0], 1_000_100_000_001) == (made.values[0],)


def test_a_corrupt_row_at_the_sink_names_the_columns_at_fault(stack: Endpoints) -> None:
    dsn = stack.postgres_dsn
    with schema_of(dsn, NASTY) as (connection, schema):
        prepared = Prepared(dsn, schema, ("places",), probe="note")
        prepared.write(connection, 10)
        connection.execute(
            f"CREATE TABLE {schema}.copy AS SELECT * FROM {schema}.places;"
            f"UPDATE {schema}.copy SET depot = left(depot, 2) WHERE code IN"
            f" (SELECT code FROM {schema}.copy LIMIT 3)".encode()
        )
        (plan,) = prepared.plans
        own = OwnTableSettings(
            table=plan.full_name, key=plan.key, probe=plan.probe, columns=plan.compared
        )
        sides = [
            PostgresSideSettings(dsn=dsn, table=f"{schema}.{table}", own=(own,))
            for table in ("places", "copy")
        ]

        found = answer(FinalRequest(source=sides[0], sink=sides[1]), prepared.run, {})

        assert (found.compared, found.corrupt) == (40, 3)
        assert [set(one.columns) for one in found.examples] == [{"depot"}] * 3
        assert all(
            was[:2] == became for one in found.examples for was, became in one.columns.values()
        )

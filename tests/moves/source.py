"""The table `customers` on a server that may be taken apart, and writers that go on meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

import psycopg
from psycopg import Connection, sql

from cdc_users.measure.ledger.audit import Outcomes
from cdc_users.users.workload.keyspace import Outcome, RowChange
from cdc_users.users.workload.workload import Workload, Writer, writer_number
from infra.postgres.publication import create_publication
from infra.postgres.slot import create_slot
from infra.postgres.table import CUSTOMERS_COLUMNS, Table, create_customers, create_schema
from tests.moves.row import Rows, rows_of
from tests.private_postgres import PrivatePostgres

RUN = "srcmoves"
MIX = Workload(mix=(50, 35, 15), live_keys=100)
#: Between two transactions: some hundred changes a second, which any machine bears.
PACE_S = 0.02
#: Where a transaction has failed: the server may be away, or the table.
TROUBLE_S = 0.2
MOST_OPERATIONS = 6
LANES = 3
INSERT = sql.SQL("INSERT INTO {} ({}) VALUES ({})")
COLUMNS = sql.SQL(", ").join(map(sql.Identifier, CUSTOMERS_COLUMNS))
VALUES = sql.SQL(", ").join([sql.Placeholder()] * len(CUSTOMERS_COLUMNS))
SETS = sql.SQL(", ").join(
    sql.SQL("{} = %s").format(sql.Identifier(name)) for name in CUSTOMERS_COLUMNS
)


class SourceRowGoneError(Exception):
    """A row that a writer had written is not there: the table is another one."""


class MovedSource:
    """The table with schema, publication and slots, all of one name; the schema's and the table's
    names may change.
    """

    def __init__(self, postgres: PrivatePostgres, name: str) -> None:
        self.postgres = postgres
        self.name = name
        self.slots = (name, f"{name}_reader")
        with self.connected() as connection:
            create_schema(connection, name, RUN)
            self.make_table(connection)
            self.publish(connection)
        self.make_slots()

    @contextmanager
    def connected(self) -> Iterator[Connection[Any]]:
        """A connection whose statements are transactions of their own."""
        with closing(psycopg.connect(self.postgres.dsn, autocommit=True)) as connection:
            yield connection

    def execute(self, *statements: str) -> None:
        """Run statements in one transaction; {table} in them stands for the table, {name} for
        schema and publication.
        """
        with self.connected() as connection, connection.transaction():
            for statement in statements:
                connection.execute(
                    sql.SQL(statement).format(
                        table=self.table.identifier, name=sql.Identifier(self.name)
                    )
                )

    def alter(self, *statements: str) -> None:
        """`execute`, for what a copy of the table has to have too."""
        self.execute(*statements)
        self._alterations += [(self.table, statement) for statement in statements]

    def make_table(self, connection: Connection[Any]) -> None:
        """Create the table as it is at first; rows of several tenants may have one id."""
        self._alterations: list[tuple[Table, str]] = []
        self.table = create_customers(connection, self.name)
        connection.execute(
            sql.SQL("ALTER TABLE {} ADD COLUMN tenant integer NOT NULL DEFAULT 1").format(
                self.table.identifier
            )
        )

    def move(self, into_another: Callable[[], None]) -> None:
        """Take schema, table and rows over to another cluster, which the argument puts in this
        one's place; publication and slots are made there anew.
        """
        table, alterations = self.table, self._alterations
        with self.connected() as connection, connection.cursor() as cursor:
            whole = sql.SQL("COPY {} TO STDOUT").format(table.identifier)
            with cursor.copy(whole) as rows:
                kept = b"".join(bytes(part) for part in rows)
        into_another()
        with self.connected() as connection:
            create_schema(connection, self.name, RUN)
            self.make_table(connection)
            for self.table, statement in alterations:
                self.execute(statement)
            self.table, self._alterations = table, alterations
            whole = sql.SQL("COPY {} FROM STDIN").format(table.identifier)
            with connection.cursor() as cursor, cursor.copy(whole) as rows:
                rows.write(kept)
            self.publish(connection)
        self.make_slots()

    def publish(self, connection: Connection[Any]) -> None:
        """Create the publication."""
        create_publication(connection, self.name, [self.table])

    def make_slots(self) -> None:
        """Create the slots, that of Debezium and that of the direct reader.

        Debezium makes its own where it finds none.
        """
        with self.connected() as connection:
            for slot in self.slots:
                with suppress(psycopg.errors.DuplicateObject):
                    create_slot(connection, slot)

    def rows(self) -> Rows:
        """The table's rows; none where there is no table."""
        with self.connected() as connection:
            return rows_of(connection, self.table.identifier)


class MovesLoad:
    """Writers in a thread: inserts, updates and deletes, a transaction at a time.

    They go on through whatever befalls the server, and know of each sequence how it ended. Where
    rows of theirs are gone, new writers take over.
    """

    def __init__(self, source: MovedSource) -> None:
        self.source = source
        self.acked = 0
        self._turn = threading.Lock()
        self._stop = threading.Event()
        self._writers: list[Writer] = []
        self._lanes = 0
        self._number = 0
        self._renew()
        self._connection: Connection[Any] | None = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()

    def _renew(self) -> None:
        for _ in range(LANES):
            self._lanes += 1
            self._writers.append(Writer(RUN, writer_number(1, self._lanes), MIX))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is written meanwhile; what was under way is settled before."""
        with self._turn:
            yield

    def stop(self) -> None:
        """Write nothing more."""
        self._stop.set()
        self._thread.join()
        self._disconnect()

    def outcomes(self) -> dict[int, Outcomes]:
        """How every sequence of every writer ended."""
        return {
            writer.number: Outcomes(
                *(
                    [(first, last) for first, last in writer.ranges.runs.get(outcome, [])]
                    for outcome in ("acked", "failed", "unknown")
                )
            )
            for writer in self._writers
        }

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._turn:
                goes_on = self._transaction()
            self._stop.wait(PACE_S if goes_on else TROUBLE_S)

    def _transaction(self) -> bool:
        """One transaction; whether it was committed."""
        writer = self._writers[-1 - self._number % LANES]
        self._number += 1
        made = writer.transaction(1 + self._number % MOST_OPERATIONS, time.time_ns() // 1000)
        outcome: Outcome = "failed"
        try:
            connection = self._connected()
            self._apply(connection, made.changes)
            outcome = "unknown"
            connection.commit()
            outcome = "acked"
        except SourceRowGoneError:
            self._disconnect()
            self._renew()
        except psycopg.Error:
            self._disconnect()
        writer.settle(made, outcome)
        if outcome == "acked":
            self.acked += len(made.changes)
        return outcome == "acked"

    def _connected(self) -> Connection[Any]:
        if self._connection is None:
            self._connection = psycopg.connect(
                self.source.postgres.dsn, connect_timeout=5, options="-c statement_timeout=10s"
            )
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _apply(self, connection: Connection[Any], changes: Sequence[RowChange]) -> None:
        table = self.source.table.identifier
        own = sql.SQL("id = %s AND tenant = 1")
        with connection.cursor() as cursor:
            for change in changes:
                if change.row is None:
                    cursor.execute(
                        sql.SQL("DELETE FROM {} WHERE {}").format(table, own), (change.key,)
                    )
                elif change.before is None:
                    cursor.execute(INSERT.format(table, COLUMNS, VALUES), change.row)
                else:
                    cursor.execute(
                        sql.SQL("UPDATE {} SET {} WHERE {}").format(table, SETS, own),
                        (*change.row, change.key),
                    )
                if cursor.rowcount != 1:
                    raise SourceRowGoneError(str(change.key))

"""The Postgres user: one connection, one writer, one transaction per arrival."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import psycopg
import psycopg2
from gevent import GreenletExit
from psycogreen.gevent import patch_psycopg
from psycopg import sql as psycopg_sql
from psycopg2 import sql
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from psycopg2.extras import execute_values

from cdc_users.options import KeySkew, Mix
from cdc_users.users.lane import Arrival, LaneUser, Share
from cdc_users.workload import Change, Outcome, Writer, writer_number
from infra.postgres.table import CUSTOMERS_COLUMNS

RECONNECT_PAUSE_S = 0.2
KEY_COLUMN = "id"
PROBE_COLUMN = "probe"


class PostgresUser(LaneUser):
    """Writes customers into Postgres. Reports each transaction's response time, from its intended time, to Locust.

    Declare a subclass in a locustfile; what it writes (rows a transaction, mix, method) comes from the options.
    """

    abstract = True

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        # Without this every statement would freeze all lanes of the process; it is idempotent.
        patch_psycopg()
        self._session: Session | None = None
        self._writer: Writer | None = None
        self._table = ""

    def begin(self, share: Share, lane: int) -> None:
        """Connect, and start a writer of this step."""
        target = share.assignment.target
        number = writer_number(share.assignment.step, lane)
        self._writer = Writer(
            share.assignment.run,
            number,
            Mix(**target["mix"]),
            KeySkew(target["skew"]),
            target["seed"],
            target["row_bytes"],
        )
        share.ranges[number] = self._writer.ranges
        self._table = target["tables"][lane % len(target["tables"])]
        if self._session is None:
            self._session = Session(target["dsn"], target["schema"], target["method"])
        self._session.ready()

    def work(self, share: Share, arrival: Arrival) -> None:
        """One transaction; its outcome is acked, failed, or unknown where the connection broke or we were killed."""
        assert self._writer is not None
        assert self._session is not None
        changes = self._writer.transaction(share.assignment.rows_per_arrival, arrival.intended_us)
        started_ns = time.monotonic_ns()
        outcome: Outcome = "unknown"
        error: Exception | None = None
        try:
            self._session.write(self._table, changes)
            outcome = "acked"
        except (psycopg2.Error, psycopg.Error) as failure:
            error = failure
            outcome = "failed" if self._session.rolled_back(failure) else "unknown"
        except GreenletExit:
            # The statement may still commit on the server: the outcome stays unknown and is read back.
            self._account(share, changes, outcome)
            raise
        done_ns = time.monotonic_ns()
        self._account(share, changes, outcome)
        self._report(share, arrival, started_ns, done_ns, changes, error)

    def _account(self, share: Share, changes: Sequence[Change], outcome: Outcome) -> None:
        assert self._writer is not None
        self._writer.settle(outcome)
        if outcome == "acked":
            share.tally.completed += 1
            share.tally.rows += len(changes)
        else:
            share.tally.failed += 1

    def _report(
        self,
        share: Share,
        arrival: Arrival,
        started_ns: int,
        done_ns: int,
        changes: Sequence[Change],
        error: Exception | None,
    ) -> None:
        operation = changes[0].operation if len(changes) == 1 else "transaction"
        if error is None:
            share.record(operation, arrival.intended_ns, started_ns, done_ns)
        else:
            text = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
            share.tally.errors[text] = share.tally.errors.get(text, 0) + 1
        self.environment.events.request.fire(
            request_type="POSTGRES",
            name=f"{operation} (response)",
            response_time=(done_ns - arrival.intended_ns) / 1e6,
            response_length=len(changes),
            exception=error,
            context={},
        )

    def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            self._session.close()
            self._session = None


class Session:
    """A connection that writes changes as one transaction each, and reconnects after it broke."""

    def __init__(self, dsn: str, schema: str, method: str) -> None:
        self._dsn = dsn
        self._schema = schema
        self._method = method
        self._connection: Any = None
        self._copying: psycopg.Connection[Any] | None = None
        self._statements: dict[str, tuple[str, str, str, str]] = {}

    def ready(self) -> None:
        """Connect if there is no usable connection."""
        if self._connection is None or self._connection.closed:
            self._connection = psycopg2.connect(self._dsn, connect_timeout=10, application_name="locust-cdc lane")
            self._connection.autocommit = True
        if self._method == "copy" and (self._copying is None or self._copying.closed):
            # COPY under gevent needs psycopg 3, which waits cooperatively by itself.
            self._copying = psycopg.connect(self._dsn, autocommit=True, connect_timeout=10)

    def rolled_back(self, failure: Exception) -> bool:
        """Whether the transaction that failed certainly left nothing behind.

        The server's refusal means that; a connection that broke means nothing, since COMMIT may have been sent.
        """
        code = getattr(failure, "pgcode", None) or getattr(failure, "sqlstate", None)
        return bool(code) and not str(code).startswith(("08", "57"))

    def write(self, table: str, changes: Sequence[Change]) -> None:
        """Write the changes as one transaction; raises the driver's error."""
        self.ready()
        if all(change.operation == "insert" for change in changes):
            self._insert(table, changes)
        else:
            self._mixed(table, changes)

    def _insert(self, table: str, changes: Sequence[Change]) -> None:
        rows = [change.row for change in changes]
        if self._method == "copy":
            self._copy(table, rows)
            return
        with self._connection.cursor() as cursor:
            if len(rows) == 1:
                cursor.execute(self._sql(table)[0], rows[0])
            else:
                execute_values(cursor, self._sql(table)[1], rows, page_size=len(rows))

    def _copy(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        assert self._copying is not None
        command = psycopg_sql.SQL("COPY {} FROM STDIN").format(psycopg_sql.Identifier(self._schema, table))
        with self._copying.cursor() as cursor, cursor.copy(command) as copy:
            for row in rows:
                copy.write_row(row)

    def _mixed(self, table: str, changes: Sequence[Change]) -> None:
        insert, _, update, delete = self._sql(table)
        with self._connection.cursor() as cursor:
            cursor.execute("BEGIN")
            try:
                for change in changes:
                    if change.operation == "insert":
                        cursor.execute(insert, change.row)
                    else:
                        cursor.execute(update, (*change.row[1:], change.key))
                    if change.operation == "delete":
                        cursor.execute(delete, (change.key,))
                cursor.execute("COMMIT")
            except psycopg2.Error:
                if not self._connection.closed and self._connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
                    cursor.execute("ROLLBACK")
                raise

    def _sql(self, table: str) -> tuple[str, str, str, str]:
        """Insert (one row), insert (VALUES), update and delete for a table, as text; made once."""
        if table not in self._statements:
            name = sql.Identifier(self._schema, table)
            places = sql.SQL(", ").join([sql.Placeholder()] * len(CUSTOMERS_COLUMNS))
            pairs = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(c)) for c in CUSTOMERS_COLUMNS[1:])
            key = sql.Identifier(KEY_COLUMN)
            texts = (
                sql.SQL("INSERT INTO {} VALUES ({})").format(name, places),
                sql.SQL("INSERT INTO {} VALUES %s").format(name),
                sql.SQL("UPDATE {} SET {} WHERE {} = %s").format(name, pairs, key),
                sql.SQL("DELETE FROM {} WHERE {} = %s").format(name, key),
            )
            one, many, update, delete = (text.as_string(self._connection) for text in texts)
            self._statements[table] = (one, many, update, delete)
        return self._statements[table]

    def close(self) -> None:
        """Close what is open."""
        for connection in (self._connection, self._copying):
            if connection is not None and not connection.closed:
                connection.close()


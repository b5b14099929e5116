"""The Postgres user: one connection, one writer, one transaction per arrival."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

import psycopg2
from gevent import GreenletExit
from psycogreen.gevent import patch_psycopg
from psycopg2 import sql
from psycopg2.extras import execute_values

from cdc_users.customer import Row
from cdc_users.keyspace import Outcome
from cdc_users.users.lane import Arrival, LaneUser, Share
from cdc_users.workload import Workload, Writer, writer_number
from infra.postgres.table import CUSTOMERS_COLUMNS

APPLICATION_NAME = "locust-cdc lane"


class PostgresUser(LaneUser):
    """Inserts customers. Reports each transaction's response time, from its intended time, to Locust.

    Declare a subclass in a locustfile; rows a transaction, payload and method come from the options.
    """

    abstract = True

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        # Without this every statement would freeze all lanes of the process; doing it again changes nothing.
        patch_psycopg()
        self._session: Session | None = None
        self._writer = Writer("", 0)

    def begin(self, share: Share, lane: int) -> None:
        """Connect, and start a writer of this step."""
        target = share.assignment.target
        number = writer_number(share.assignment.step, lane)
        self._writer = Writer(share.assignment.run, number, Workload.from_json(share.assignment.workload))
        share.ranges[number] = self._writer.ranges
        if self._session is None:
            self._session = Session(target["dsn"], target["schema"], target["table"])
        with contextlib.suppress(psycopg2.Error):
            self._session.ready()  # if it cannot, each arrival tries again and reports it

    def work(self, share: Share, arrival: Arrival) -> None:
        """One transaction; its outcome is acked, failed, or unknown where the connection broke or we were killed."""
        assert self._session is not None
        transaction = self._writer.transaction(share.assignment.rows_per_arrival, arrival.intended_us)
        rows = [change.row for change in transaction.changes if change.row is not None]
        started_ns = time.monotonic_ns()
        # Until proven otherwise: a killed greenlet's statement may still commit on the server.
        outcome: Outcome = "unknown"
        error: psycopg2.Error | None = None
        sent = False
        try:
            self._session.ready()
            sent = True
            self._session.insert(rows)
            outcome = "acked"
        except psycopg2.Error as failure:
            error = failure
            outcome = "unknown" if sent and not rolled_back(failure) else "failed"
        except GreenletExit:
            self._writer.settle(transaction, outcome)
            share.tally.failed += 1
            raise
        done_ns = time.monotonic_ns()
        self._writer.settle(transaction, outcome)
        self._report(share, arrival, started_ns, done_ns, len(rows), error)

    def _report(
        self,
        share: Share,
        arrival: Arrival,
        started_ns: int,
        done_ns: int,
        rows: int,
        error: psycopg2.Error | None,
    ) -> None:
        if error is None:
            share.tally.completed += 1
            share.tally.rows += rows
            share.record(arrival.intended_ns, started_ns, done_ns)
        else:
            share.tally.failed += 1
            text = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
            share.tally.errors[text] = share.tally.errors.get(text, 0) + 1
        self.environment.events.request.fire(
            request_type="POSTGRES",
            name="insert (response)",
            response_time=(done_ns - arrival.intended_ns) / 1e6,
            response_length=rows,
            exception=error,
            context={},
        )

    def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            self._session.close()
            self._session = None


def rolled_back(failure: psycopg2.Error) -> bool:
    """Whether the transaction that failed certainly left nothing behind.

    The server's own refusal means that. A connection that broke (SQLSTATE class 08, 57, or none) means nothing,
    since COMMIT may have been sent.
    """
    return bool(failure.pgcode) and not str(failure.pgcode).startswith(("08", "57"))


class Session:
    """An autocommit connection that inserts rows into one table, and reconnects after it broke."""

    def __init__(self, dsn: str, schema: str, table: str) -> None:
        self._dsn = dsn
        self._table = sql.Identifier(schema, table)
        self._connection: Any = None
        self._one = self._many = ""

    def ready(self) -> None:
        """Connect if there is no usable connection."""
        if self._connection is not None and not self._connection.closed:
            return
        self._connection = psycopg2.connect(self._dsn, connect_timeout=10, application_name=APPLICATION_NAME)
        self._connection.autocommit = True
        places = sql.SQL(", ").join([sql.Placeholder()] * len(CUSTOMERS_COLUMNS))
        self._one = sql.SQL("INSERT INTO {} VALUES ({})").format(self._table, places).as_string(self._connection)
        self._many = sql.SQL("INSERT INTO {} VALUES %s").format(self._table).as_string(self._connection)

    def insert(self, rows: Sequence[Row]) -> None:
        """Insert the rows as one transaction, one statement; raises the driver's error."""
        with self._connection.cursor() as cursor:
            if len(rows) == 1:
                cursor.execute(self._one, rows[0])
            else:
                execute_values(cursor, self._many, rows, page_size=len(rows))

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None and not self._connection.closed:
            self._connection.close()

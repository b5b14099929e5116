"""The user of a source database: one connection, one writer, one transaction per arrival."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Any, ClassVar

from gevent import GreenletExit

from cdc_users.users.lane import Arrival, LaneUser, Share
from cdc_users.users.source.session import NullSession, Session
from cdc_users.users.source.sessions import open_session
from cdc_users.users.statement import POSTGRES, Statement, form_of, operation_name, statements
from cdc_users.users.table_statement import table_statements
from cdc_users.users.target import DatabaseTarget, NullTarget
from cdc_users.users.workload.keyspace import Outcome
from cdc_users.users.workload.table.plan import TablePlan
from cdc_users.users.workload.table.row import RowError, TableRows
from cdc_users.users.workload.workload import (
    OperationName,
    RowMaker,
    Writer,
    WriteTransaction,
    payload_of,
    writer_number,
)
from infra.client.sql import quoted_name

_NOTHING = WriteTransaction(0, 0, 0, ())


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A transaction that was tried: its times, and its error if it failed."""

    transaction: WriteTransaction
    started_ns: int
    done_ns: int
    error: Exception | None


class PostgresUser(LaneUser):
    """Inserts, updates and deletes customers: in PostgreSQL, or in MariaDB (`--source mariadb`).

    Reports each transaction's response time, from its intended time, to Locust.

    Declare a subclass in a locustfile; mix, keys, rows a transaction, payload and method come from
    the options. One that writes a table of your own has its name as `table` (or --table names it),
    and may say itself how a row is made: a method `row(self, key, random)` that returns values by
    column, without those of the key. The same key and chance must give the same row.
    """

    abstract = True
    table: ClassVar[str] = ""
    row: ClassVar[Any] = None

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._session: Session | None = None
        self._dsn = ""
        self._writer = Writer("", 0)
        self._tables: tuple[str, ...] = ()
        self._plans: tuple[TablePlan, ...] = ()
        self._form, self._request_type = POSTGRES, "POSTGRES"

    def begin(self, share: Share, lane: int) -> None:
        """Connect, and start a writer of this step."""
        target, workload = share.assignment.target, share.assignment.workload
        number = writer_number(share.assignment.step, lane)
        self._plans = target.plans if isinstance(target, DatabaseTarget) else ()
        rows = self._own_rows(share, number) if self._plans else None
        self._writer = Writer(share.assignment.run, number, workload, rows)
        share.ranges[number] = self._writer.ranges
        if isinstance(target, NullTarget):
            self._session, self._tables, self._dsn = NullSession(), target.tables, ""
            return
        assert isinstance(target, DatabaseTarget)
        self._form, self._request_type = form_of(target.kind), target.kind.upper()
        self._tables = tuple(quoted_name(target.schema, table) for table in target.tables)
        if self._dsn != target.dsn:  # of the null step, or of another pipeline's database
            self.close()
        if self._session is None:
            self._dsn = target.dsn
            self._session = open_session(target, share.assignment.run, workload.insert_method)
        if self._session.ended():  # a server was started again between two steps
            self._session.close()
        with contextlib.suppress(*self._session.failures):
            self._session.ready()  # if this fails, each arrival tries again and reports the error

    def _own_rows(self, share: Share, number: int) -> RowMaker:
        workload = share.assignment.workload
        return TableRows(
            share.assignment.run,
            number,
            self._plans,
            payload=payload_of(workload, number),
            custom=self.row,
        )

    def _statements(self, transaction: WriteTransaction) -> list[Statement]:
        method = self._writer.workload.insert_method
        if self._plans:
            return table_statements(transaction.changes, self._plans, method)
        return statements(transaction.changes, self._tables, method, self._form)

    def work(self, share: Share, arrival: Arrival) -> None:
        """Carry out one transaction; it is acked or failed, or unknown if the connection broke or
        the lane was killed.
        """
        try:
            transaction = self._writer.transaction(
                share.assignment.rows_per_arrival, arrival.intended_us
            )
        except RowError as failure:  # its sequences stay unused
            now_ns = time.monotonic_ns()
            self._report(share, arrival, _Attempt(_NOTHING, now_ns, now_ns, failure))
            return
        started_ns = time.monotonic_ns()
        # Unknown until the answer comes: a killed greenlet's statement may still commit on the
        # server.
        outcome: Outcome = "unknown"
        error: Exception | None = None
        try:
            outcome, error = self._carry_out(transaction)
        except GreenletExit:
            self._writer.settle(transaction, "unknown")
            share.tally.failed += 1
            share.record(arrival.intended_ns, started_ns, time.monotonic_ns(), failed=True)
            raise
        done_ns = time.monotonic_ns()
        self._writer.settle(transaction, outcome)
        self._report(share, arrival, _Attempt(transaction, started_ns, done_ns, error))

    def _carry_out(self, transaction: WriteTransaction) -> tuple[Outcome, Exception | None]:
        session, sent = self._session, False
        assert session is not None
        try:
            session.ready()
            texts = self._statements(transaction)
            sent = True
            session.carry_out(texts)
        except session.failures as failure:
            return ("unknown" if sent and not session.rolled_back(failure) else "failed"), failure
        return "acked", None

    def _report(self, share: Share, arrival: Arrival, attempt: _Attempt) -> None:
        alone, changes, error = (
            self._writer.workload.only_inserts,
            attempt.transaction.changes,
            attempt.error,
        )
        name: OperationName = "insert" if alone else operation_name(changes)
        if error is None:
            share.tally.completed += 1
            share.tally.rows += len(changes)
        else:
            share.tally.failed += 1
            share.note_error(f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}")
        share.record(
            arrival.intended_ns,
            attempt.started_ns,
            attempt.done_ns,
            "" if alone else name,
            failed=error is not None,
        )
        self.environment.events.request.fire(
            request_type=self._request_type,
            name=f"{name} (response)",
            response_time=(attempt.done_ns - arrival.intended_ns) / 1e6,
            response_length=len(changes),
            exception=error,
            context={},
        )

    def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            self._session.close()
            self._session = None

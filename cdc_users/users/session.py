"""Connections to the source database, one a lane: they carry out a transaction's statements as one
commit.

psycopg 2 waits through gevent once psycogreen has patched it, and is the faster driver; its COPY
cannot wait that way, so lanes that copy use psycopg 3, which finds gevent by itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Protocol

import gevent
import psycopg
import psycopg2
from psycogreen.gevent import patch_psycopg
from typing_extensions import override

from cdc_users.users.statement import Statement
from cdc_users.users.workload.workload import InsertMethod

#: What the lanes' backends are called on the server, with the run: so it is seen when none is at
#: work any more.
APPLICATION_NAME = "locust-cdc lane"
CONNECT_S = 10
#: Whatever either driver raises.
FAILURES = (psycopg2.Error, psycopg.Error)


class Session(Protocol):
    """An autocommit connection that is made when it is needed and again after it broke.

    For one greenlet.
    """

    def ready(self) -> None:
        """Connect if there is no usable connection; raises the driver's error."""

    def carry_out(self, statements: Sequence[Statement]) -> None:
        """Carry out a transaction; raises the driver's error (`rolled_back` says what that
        means).
        """

    def close(self) -> None:
        """Close the connection."""


def application_name(run: str) -> str:
    """What a run's backends are called on the server."""
    return f"{APPLICATION_NAME} {run}"


def open_session(dsn: str, run: str, method: InsertMethod) -> Session:
    """A session for lanes that write by this method; it does not connect yet."""
    return CopySession(dsn, run) if method == "copy" else PlainSession(dsn, run)


class PlainSession(Session):
    """psycopg 2: the statements of a transaction go to the server together, and are one
    transaction there.
    """

    def __init__(self, dsn: str, run: str) -> None:
        # Without this every statement would freeze all lanes of the process; doing it again
        # changes nothing.
        patch_psycopg()
        self._dsn = dsn
        self._name = application_name(run)
        self._connection: Any = None
        self._cursor: Any = None

    @override
    def ready(self) -> None:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg2.connect(
                self._dsn, connect_timeout=CONNECT_S, application_name=self._name
            )
            self._connection.autocommit = True
            self._cursor = self._connection.cursor()

    @override
    def carry_out(self, statements: Sequence[Statement]) -> None:
        # Several statements in one message are one transaction (PostgreSQL documentation,
        # "Multiple Statements in a Simple Query").
        self._cursor.execute(";".join([statement.text for statement in statements]))

    @override
    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class NullSession(Session):
    """Carries out nothing: what is left is what the harness itself does for a transaction."""

    @override
    def ready(self) -> None:
        pass

    @override
    def carry_out(self, statements: Sequence[Statement]) -> None:
        gevent.sleep(0)  # as a driver that waits for its answer, so that all lanes have their turn

    @override
    def close(self) -> None:
        pass


class CopySession(Session):
    """psycopg 3: can COPY."""

    def __init__(self, dsn: str, run: str) -> None:
        self._dsn = dsn
        self._name = application_name(run)
        self._connection: Any = None

    @override
    def ready(self) -> None:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._dsn, autocommit=True, connect_timeout=CONNECT_S, application_name=self._name
            )

    @override
    def carry_out(self, statements: Sequence[Statement]) -> None:
        if len(statements) == 1:
            self._one(statements[0])
            return
        try:
            self._connection.execute("BEGIN")
            for statement in statements:
                self._one(statement)
            self._connection.execute("COMMIT")
        except psycopg.Error:
            # If even this fails the connection is broken, and the server has rolled back or will.
            with contextlib.suppress(psycopg.Error):
                self._connection.execute("ROLLBACK")
            raise

    def _one(self, statement: Statement) -> None:
        with self._connection.cursor() as cursor:
            if statement.lines is None:
                cursor.execute(statement.text)
                return
            with cursor.copy(statement.text) as copy:
                copy.write(statement.lines)

    @override
    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def rolled_back(failure: Exception) -> bool:
    """Whether the transaction that failed certainly left nothing behind.

    The server's own refusal means that. A connection that broke (SQLSTATE class 08, 57, or none)
    means nothing, since COMMIT may have been sent.
    """
    state = getattr(failure, "pgcode", None) or getattr(failure, "sqlstate", None)
    return bool(state) and not str(state).startswith(("08", "57"))

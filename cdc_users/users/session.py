"""Connections to the source database, one for each lane; each carries out a transaction's
statements as one commit.

psycopg 2 waits through gevent once psycogreen has patched it, and is the faster driver. Its COPY
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

#: The start of the application_name of lanes' backends, followed by the run; by this name the
#: harness sees when none is active any more.
APPLICATION_NAME = "locust-cdc lane"
CONNECT_S = 10
#: The errors of either driver.
FAILURES = (psycopg2.Error, psycopg.Error)


class Session(Protocol):
    """An autocommit connection, opened when needed and opened again after it broke.

    For one greenlet.
    """

    def ready(self) -> None:
        """Connect if there is no usable connection; raises the driver's error."""

    def carry_out(self, statements: Sequence[Statement]) -> None:
        """Carry out a transaction; raises the driver's error (`rolled_back` interprets it)."""

    def close(self) -> None:
        """Close the connection."""


def application_name(run: str) -> str:
    """The application_name of a run's backends."""
    return f"{APPLICATION_NAME} {run}"


def open_session(dsn: str, run: str, method: InsertMethod) -> Session:
    """A session for lanes that write by this method; it does not connect yet."""
    return CopySession(dsn, run) if method == "copy" else PlainSession(dsn, run)


class PlainSession(Session):
    """psycopg 2: a transaction's statements go to the server in one message, and are one
    transaction there.
    """

    def __init__(self, dsn: str, run: str) -> None:
        # Without this every statement would block all lanes of the process; patching twice does no
        # harm.
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
    """Carries out nothing, which leaves only the harness's own work for a transaction."""

    @override
    def ready(self) -> None:
        pass

    @override
    def carry_out(self, statements: Sequence[Statement]) -> None:
        gevent.sleep(0)  # a driver that waits for its answer also lets all lanes have their turn

    @override
    def close(self) -> None:
        pass


class CopySession(Session):
    """psycopg 3, which can COPY under gevent."""

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
            # If even this fails, the connection is broken: the server has rolled back, or it will.
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
    """Whether a failed transaction certainly left nothing behind.

    The server's own refusal means that. An error of the connection (SQLSTATE class 08, 57, or none)
    does not, because COMMIT may have been sent.
    """
    state = getattr(failure, "pgcode", None) or getattr(failure, "sqlstate", None)
    return bool(state) and not str(state).startswith(("08", "57"))

"""Lanes' connections to PostgreSQL; each carries out a transaction's statements as one commit.

psycopg 2 waits through gevent once psycogreen has patched it, and is the faster driver. Its COPY
cannot wait that way, so lanes that copy use psycopg 3, which finds gevent by itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import psycopg
import psycopg2
from gevent.select import select
from psycogreen.gevent import patch_psycopg
from typing_extensions import override

from cdc_users.users.source.connection import CONNECT_S, application_name
from cdc_users.users.source.session import Session
from cdc_users.users.statement import Statement


class _PostgresSession(Session):
    """What the sessions of both drivers share."""

    def __init__(self, dsn: str, run: str) -> None:
        self._dsn = dsn
        self._name = application_name(run)
        self._connection: Any = None

    @override
    def rolled_back(self, failure: Exception) -> bool:
        # The server's own refusal means that. An error of the connection (SQLSTATE class 08, 57, or
        # none) does not, because COMMIT may have been sent.
        state = getattr(failure, "pgcode", None) or getattr(failure, "sqlstate", None)
        return bool(state) and not str(state).startswith(("08", "57"))

    @override
    def ended(self) -> bool:
        # After its end there is something to read from an idle connection.
        if self._connection is None or self._connection.closed:
            return False
        readable, _, _ = select([self._connection], [], [], 0)
        return bool(readable)

    @override
    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class PlainSession(_PostgresSession):
    """psycopg 2: a transaction's statements go to the server in one message, and are one
    transaction there.
    """

    failures = (psycopg2.Error,)

    def __init__(self, dsn: str, run: str) -> None:
        # Without this every statement would block all lanes of the process; patching twice does no
        # harm.
        patch_psycopg()
        super().__init__(dsn, run)
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


class CopySession(_PostgresSession):
    """psycopg 3, which can COPY under gevent."""

    failures = (psycopg.Error,)

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

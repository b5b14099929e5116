"""Asks PostgreSQL."""

from __future__ import annotations

from typing import Any

import psycopg
from typing_extensions import override

from cdc_users.users.source.connection import CONNECT_S, application_name
from cdc_users.users.source.look import LogPosition, SourceLook
from cdc_users.users.target import DatabaseTarget

_BUSY = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND state <> 'idle'"
_POSITION = "SELECT lsn::text, pg_wal_lsn_diff(lsn, '0/0')::bigint FROM pg_current_wal_lsn() AS lsn"


class PostgresLook(SourceLook):
    """psycopg 3; other lanes go on while it waits, because it sees that Locust has patched
    `select`, and then does not wait in C.
    """

    failures = (psycopg.Error,)

    def __init__(self, target: DatabaseTarget, run: str) -> None:
        self._lanes = application_name(run)
        self._connection = psycopg.connect(target.dsn, autocommit=True, connect_timeout=CONNECT_S)

    @staticmethod
    @override
    def silent(failure: Exception) -> bool:
        return isinstance(failure, psycopg.OperationalError)

    @override
    def execute(self, statement: str) -> None:
        self._connection.execute(statement.encode())

    @override
    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query.encode()).fetchall()

    @override
    def lanes_idle(self) -> bool:
        row = self._connection.execute(_BUSY, (self._lanes,)).fetchone()
        return row is not None and row[0] == 0

    @override
    def position(self) -> LogPosition | None:
        try:
            ((lsn, count),) = self._connection.execute(_POSITION).fetchall()
        except psycopg.errors.InsufficientPrivilege:  # some services allow nobody to read this
            return None
        return LogPosition(str(lsn), int(count))

    @override
    def close(self) -> None:
        self._connection.close()

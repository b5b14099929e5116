"""Asks MariaDB."""

from __future__ import annotations

import contextlib
from typing import Any

import pymysql
from pymysql.constants import ER
from typing_extensions import override

from cdc_users.users.source.look import LogPosition, SourceLook
from cdc_users.users.target import DatabaseTarget
from infra.mariadb.address import FAILURES, connect_to, refused

#: Lanes connect to the run's own database, and whoever reads the log to none.
_BUSY = """
SELECT count(*) FROM information_schema.processlist
WHERE db = %s AND command <> 'Sleep' AND id <> connection_id()
"""
_WRITTEN = "SHOW GLOBAL STATUS LIKE 'Binlog_bytes_written'"


class MariadbLook(SourceLook):
    """PyMySQL; other lanes go on while it waits."""

    failures = FAILURES

    def __init__(self, target: DatabaseTarget, run: str) -> None:
        del run  # its lanes are known by their database, which no other run has
        self._database = target.schema
        self._connection = connect_to(target.dsn)

    @staticmethod
    @override
    def silent(failure: Exception) -> bool:
        # PyMySQL calls more of the server's refusals operational than belong there.
        return not refused(failure)

    @override
    def execute(self, statement: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)

    @override
    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    @override
    def lanes_idle(self) -> bool:
        with self._connection.cursor() as cursor:
            cursor.execute(_BUSY, (self._database,))
            ((count,),) = cursor.fetchall()
        return bool(count == 0)

    @override
    def position(self) -> LogPosition | None:
        try:
            status = self.fetch("SHOW MASTER STATUS")
        except pymysql.OperationalError as error:
            if error.args[0] == ER.SPECIFIC_ACCESS_DENIED_ERROR:
                return None
            raise
        if not status:
            return None  # there is no binary log
        name, offset, *_ = status[0]
        ((_, written),) = self.fetch(_WRITTEN)
        return LogPosition(f"{name}:{offset}", int(written))

    @override
    def close(self) -> None:
        with contextlib.suppress(pymysql.Error):
            self._connection.close()

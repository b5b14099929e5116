"""A lane's connection to MariaDB.

PyMySQL is pure Python, so it waits through gevent once Locust has patched the standard library.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import pymysql
from typing_extensions import override

from cdc_users.users.source.session import Session
from cdc_users.users.statement import Statement
from infra.client.access import AccessError
from infra.mariadb.address import FAILURES, connect_to, refused


def _block(texts: Sequence[str]) -> str:
    """One statement that is a whole transaction (MariaDB documentation, "BEGIN NOT ATOMIC").

    Several statements in one message would be as fast, but after an error in one of them PyMySQL
    waits for answers of the others, which do not come.
    """
    return (
        "BEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;"
        f" START TRANSACTION; {';'.join(texts)}; COMMIT; END"
    )


class MariadbSession(Session):
    """PyMySQL: a transaction goes to the server as one statement."""

    failures = FAILURES

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Any = None

    @override
    def ready(self) -> None:
        if self._connection is None or not self._connection.open:
            self._connection = connect_to(self._url)

    @override
    def carry_out(self, statements: Sequence[Statement]) -> None:
        texts = [statement.text for statement in statements]
        with self._connection.cursor() as cursor:  # its end takes all answers
            cursor.execute(texts[0] if len(texts) == 1 else _block(texts))

    @override
    def rolled_back(self, failure: Exception) -> bool:
        # Without a password nothing was sent.
        return isinstance(failure, AccessError) or refused(failure)

    @override
    def close(self) -> None:
        # A connection that broke, or whose greenlet was killed, is closed already.
        if self._connection is not None and self._connection.open:
            with contextlib.suppress(pymysql.Error):
                self._connection.close()

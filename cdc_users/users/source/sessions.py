"""A lane's session for each kind of source."""

from __future__ import annotations

from cdc_users.users.source.mariadb.session import MariadbSession
from cdc_users.users.source.postgres.session import CopySession, PlainSession
from cdc_users.users.source.session import Session
from cdc_users.users.target import DatabaseTarget
from cdc_users.users.workload.workload import InsertMethod


def open_session(target: DatabaseTarget, run: str, method: InsertMethod) -> Session:
    """A session for lanes that write by this method; it does not connect yet."""
    if target.kind == "mariadb":
        return MariadbSession(target.dsn)
    return CopySession(target.dsn, run) if method == "copy" else PlainSession(target.dsn, run)

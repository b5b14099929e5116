"""The consequence of a PostgreSQL error for a batch: one table, from SQLSTATE to the reaction.

PostgreSQL's documentation, appendix "Error Codes". The longest entry that begins a code counts.

| reaction | to |
|---|---|
| retry | temporary causes: locks, shutdown, failover, disk, memory, connections, no answer |
| refuse the event | a row's values: constraints, triggers, casts, sizes of index entries |
| refuse the table | every event would fail: no such table or column, no right, wrong types |
| end | every table would fail: login, database, corruption |
"""

from __future__ import annotations

import psycopg

from infra.platform.process.error import (
    RAISED_AS,
    ConfigError,
    PlatformError,
    Remedy,
    RetryableError,
)

_EVENT, _TABLE, _RETRY, _END = (
    Remedy.REFUSE_EVENT,
    Remedy.REFUSE_TABLE,
    Remedy.RETRY,
    Remedy.END,
)
REMEDIES: dict[str, Remedy] = {
    "03": _RETRY,  # statement not complete
    "08": _RETRY,  # connection
    "0A": _TABLE,  # not supported: a rule, a view, a foreign table
    "0B": _RETRY,
    "20": _EVENT,
    "21": _EVENT,  # two keys of a batch are equal in the target; written one by one they are not
    "22": _EVENT,  # a value: too long, out of range, not of the type
    "23": _EVENT,  # a constraint
    "25": _RETRY,  # read only while another server takes over; a transaction's state
    "26": _RETRY,  # a prepared statement that does not exist, as behind a pooler
    "27": _EVENT,  # a trigger has changed the same row
    "28": _END,  # login
    "2B": _TABLE,
    "2D": _TABLE,
    "2F": _EVENT,  # within a function: a trigger's, as the statement calls none
    "34": _RETRY,
    "38": _EVENT,
    "39": _EVENT,
    "3B": _RETRY,
    "3D": _END,  # no such database
    "3F": _TABLE,  # no such schema
    "40": _RETRY,  # deadlock, serialization
    "40002": _EVENT,  # a constraint that is checked at the end
    "42": _TABLE,  # no such column, table or type; no right
    "44": _EVENT,  # a view's check option
    "53": _RETRY,  # disk, memory, connections
    "54": _EVENT,  # index entries of 8 kB, values nested too deeply
    "54011": _TABLE,  # too many columns
    "55": _TABLE,
    "55006": _RETRY,  # in use
    "55P03": _RETRY,  # a lock was not granted in time
    "57": _RETRY,  # time limit, shutdown, failover
    "57P04": _END,  # the database was dropped
    "58": _RETRY,  # the server's own files
    "72": _RETRY,
    "F0": _END,
    "HV": _TABLE,
    "P0": _EVENT,  # a trigger that raises
    "XX": _RETRY,
    "XX001": _END,  # corrupt data
    "XX002": _END,
}
#: Server functions that raise errors about a row, whatever code they use: PL/pgSQL's RAISE, and a
#: policy that a row violates. Unlike messages, function names are not translated.
_OF_ROWS = frozenset({"exec_stmt_raise", "exec_stmt_assert", "ExecWithCheckOptions"})
#: Signs of a failed login: libpq gives no SQLSTATE before there is a session.
_NO_LOGIN = (
    "password authentication failed",
    "authentication failed for user",
    "no pg_hba.conf entry",
    "no password supplied",
    "is not permitted to log in",
)
_NOT_THERE = 'FATAL:  role "', 'FATAL:  database "'


def remedy(sqlstate: str, source_function: str | None = None) -> Remedy:
    """The reaction to an error of the server.

    A code that is in no table comes from a function of the target's own, so from a trigger.
    """
    found = next(
        (REMEDIES[sqlstate[:length]] for length in (5, 4, 3, 2) if sqlstate[:length] in REMEDIES),
        Remedy.REFUSE_EVENT,
    )
    if source_function in _OF_ROWS and found is not Remedy.RETRY:
        return Remedy.REFUSE_EVENT
    return found


def translated(error: psycopg.Error, where: str) -> PlatformError:
    """The error class that says what the failure means for the batch."""
    text = f"Postgres at {where}: {_name(error)}: {str(error).strip()}"
    if error.sqlstate is None:
        return ConfigError(text) if _is_login(error) else RetryableError(text)
    return RAISED_AS[remedy(error.sqlstate, error.diag.source_function)](text)


def _name(error: psycopg.Error) -> str:
    code = "" if error.sqlstate is None else f" ({error.sqlstate})"
    return f"{type(error).__name__}{code}"


def _is_login(error: psycopg.Error) -> bool:
    """Whether the server does not let this user in, or has no such user or database."""
    text = str(error)
    if error.pgconn is not None and error.pgconn.needs_password:
        return True
    missing = any(begin in text for begin in _NOT_THERE) and "does not exist" in text
    return missing or any(part in text for part in _NO_LOGIN)

"""A transaction's changes as SQL statements. Pure.

Values stand in the text as literals, which is several times faster than a driver's adaptation of
each value. All of them are made by cdc_users/users/workload/customer.py; texts are quoted for
standard_conforming_strings = on.
"""

# ruff: noqa: S608 - statements are what this module is for; every value in them is the harness's own and quoted

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from cdc_users.measure.ledger.probe import Operation
from cdc_users.users.target import DatabaseKind
from cdc_users.users.workload.customer import CustomerRow
from cdc_users.users.workload.keyspace import RowChange
from cdc_users.users.workload.workload import InsertMethod, OperationName
from infra.postgres.table import CUSTOMERS_COLUMNS

_COLUMNS = ", ".join(CUSTOMERS_COLUMNS)
_CHANGED = ", ".join(CUSTOMERS_COLUMNS[1:])
# Characters with a special meaning in COPY's text format (PostgreSQL documentation, COPY, "Text
# Format").
COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement; with `lines` it is a COPY of these lines."""

    text: str
    lines: str | None = None


def literals(row: CustomerRow, created_at: str, first: int = 0) -> str:
    """A row's values from column `first` on, in brackets; `created_at` is that value's text."""
    key, first_name, last_name, email, phone, balance, _, notes, probe = row
    texts = (
        f"'{_quoted(first_name)}','{_quoted(last_name)}','{email}',{literal(phone)},"
        f"{'NULL' if balance is None else balance},'{created_at}',{literal(notes)},'{probe}'"
    )
    return f"({texts})" if first else f"({key},{texts})"


def _assignments(row: CustomerRow, created_at: str) -> str:
    """A row's values but the key's, each with its column's name."""
    _, first_name, last_name, email, phone, balance, _, notes, probe = row
    return (
        f"first_name = '{_quoted(first_name)}', last_name = '{_quoted(last_name)}',"
        f" email = '{email}', phone = {literal(phone)},"
        f" balance = {'NULL' if balance is None else balance}, created_at = '{created_at}',"
        f" notes = {literal(notes)}, probe = '{probe}'"
    )


def _quoted(text: str) -> str:
    return text.replace("'", "''") if "'" in text else text


def literal(text: str | None) -> str:
    """A text as a literal in a statement."""
    return "NULL" if text is None else f"'{_quoted(text)}'"


@dataclass(frozen=True, slots=True)
class SqlForm:
    """What databases write differently: the text of a time, and the SET of an UPDATE of all
    columns.
    """

    time: Callable[[datetime], str]
    assigned: Callable[[CustomerRow, str], str]


def _as_row(row: CustomerRow, written_at: str) -> str:
    return f"({_CHANGED}) = {literals(row, written_at, first=1)}"


#: PostgreSQL takes a time with its zone; a session of ours with MariaDB is in UTC.
_FORMS: Mapping[DatabaseKind, SqlForm] = {
    "postgres": SqlForm(str, _as_row),
    "mariadb": SqlForm(lambda time: str(time.replace(tzinfo=None)), _assignments),
}
POSTGRES = _FORMS["postgres"]


def form_of(kind: DatabaseKind) -> SqlForm:
    """How statements for a kind of database are written."""
    return _FORMS[kind]


def statements(
    changes: Sequence[RowChange],
    tables: Sequence[str],
    method: InsertMethod,
    form: SqlForm = POSTGRES,
) -> list[Statement]:
    """A transaction's statements in order. `tables` are quoted names.

    Consecutive inserts are gathered by table, if the method takes many at once.
    """
    made: list[Statement] = []
    for inserts, run in groupby(changes, key=_is_insert):
        if inserts and method != "single":
            made += _gathered(list(run), tables, method, form)
        else:
            made += [Statement(statement(change, tables[change.table], form)) for change in run]
    return made


def _is_insert(change: RowChange) -> bool:
    return change.operation is Operation.INSERT


def operation_name(changes: Sequence[RowChange]) -> OperationName:
    """A transaction's name in reports: insert, update or delete if it has only that operation, else
    transaction.
    """
    kinds = {_NAMES[change.operation] for change in changes}
    return kinds.pop() if len(kinds) == 1 else "transaction"


_NAMES: dict[Operation, OperationName] = {
    Operation.INSERT: "insert",
    Operation.UPDATE: "update",
    Operation.STAMP: "delete",
    Operation.DELETE: "delete",
}


def _gathered(
    changes: Sequence[RowChange], tables: Sequence[str], method: InsertMethod, form: SqlForm
) -> Iterator[Statement]:
    for number in sorted({change.table for change in changes}):
        rows = [
            change.row for change in changes if change.table == number and change.row is not None
        ]
        # The rows of a transaction share one time, which takes long to format, so it is done once.
        written_at = form.time(rows[0][6])
        if method == "copy":
            lines = "".join([copy_line(row, written_at) for row in rows])
            yield Statement(f"COPY {tables[number]} ({_COLUMNS}) FROM STDIN", lines)
        else:
            several = ",".join([literals(row, written_at) for row in rows])
            yield Statement(f"INSERT INTO {tables[number]} ({_COLUMNS}) VALUES {several}")


_INSERTED = (Operation.INSERT, Operation.FENCE)


def statement(change: RowChange, table: str, form: SqlForm = POSTGRES) -> str:
    """The statement for a single change; `table` is a quoted name."""
    row = change.row
    if row is None:
        return f"DELETE FROM {table} WHERE id = {change.key}"
    if change.operation in _INSERTED:
        return f"INSERT INTO {table} ({_COLUMNS}) VALUES {literals(row, form.time(row[6]))}"
    if change.operation is Operation.STAMP:
        return f"UPDATE {table} SET probe = '{row[-1]}' WHERE id = {change.key}"
    return f"UPDATE {table} SET {form.assigned(row, form.time(row[6]))} WHERE id = {change.key}"


def copy_line(row: CustomerRow, created_at: str) -> str:
    """A row as a line of COPY's text format; `created_at` is that value's text."""
    key, first_name, last_name, email, phone, balance, _, notes, probe = row
    rest = r"\N" if notes is None else notes.translate(COPY_ESCAPES)
    phone_text, balance_text = (
        r"\N" if phone is None else phone,
        r"\N" if balance is None else balance,
    )
    return (
        f"{key}\t{first_name}\t{last_name}\t{email}\t{phone_text}\t{balance_text}\t"
        f"{created_at}\t{rest}\t{probe}\n"
    )

"""A transaction's changes of the user's own tables as SQL statements. Pure.

Values stand in the text as literals without a type, so PostgreSQL reads them as the column's type;
texts are quoted for standard_conforming_strings = on.
"""

# ruff: noqa: S608 - statements are what this module is for; every value in them is quoted

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from cdc_users.measure.ledger.probe import Operation
from cdc_users.users.statement import COPY_ESCAPES, Statement, literal
from cdc_users.users.workload.keyspace import RowChange
from cdc_users.users.workload.table.plan import TablePlan
from cdc_users.users.workload.table.row import TableRow
from cdc_users.users.workload.workload import InsertMethod
from infra.client.sql import quoted, quoted_name


def table_statements(
    changes: Sequence[RowChange], plans: Sequence[TablePlan], method: InsertMethod
) -> list[Statement]:
    """A transaction's statements in order; `plans` has the tables in the order in which changes
    count them.

    Consecutive inserts are gathered by table, if the method takes many at once.
    """
    made: list[Statement] = []
    for inserts, run in groupby(changes, key=lambda change: change.operation is Operation.INSERT):
        if inserts and method != "single":
            made += _gathered(list(run), plans, method)
        else:
            made += [Statement(statement(change, plans[change.table])) for change in run]
    return made


def _gathered(
    changes: Sequence[RowChange], plans: Sequence[TablePlan], method: InsertMethod
) -> Iterator[Statement]:
    for number in sorted({change.table for change in changes}):
        plan = plans[number]
        rows: list[TableRow] = [change.row for change in changes if change.table == number]  # type: ignore[misc]
        if method == "copy":
            lines = "".join([copy_line(row) for row in rows])
            yield Statement(f"COPY {_name(plan)} ({_columns(plan)}) FROM STDIN", lines)
        else:
            yield Statement(insert(plan, rows))


def insert(plan: TablePlan, rows: Sequence[TableRow]) -> str:
    """One INSERT of some rows."""
    override = " OVERRIDING SYSTEM VALUE" if plan.overriding else ""
    values = ",".join([f"({_literals(row)})" for row in rows])
    return f"INSERT INTO {_name(plan)} ({_columns(plan)}){override} VALUES {values}"


def statement(change: RowChange, plan: TablePlan) -> str:
    """The statement for a single change."""
    row: TableRow = change.row or change.before  # type: ignore[assignment]
    if change.operation in (Operation.INSERT, Operation.FENCE):
        return insert(plan, [row])
    where = _where(plan, row)
    if change.operation is Operation.DELETE:
        return f"DELETE FROM {_name(plan)} WHERE {where}"
    changed = [f"{quoted(plan.probe)} = {literal(row.probe)}"]
    if change.operation is Operation.UPDATE:
        changed += [
            f"{quoted(column.name)} = {literal(value)}"
            for column, value in zip(plan.columns, row.values, strict=True)
            if not column.fixed
        ]
    return f"UPDATE {_name(plan)} SET {', '.join(changed)} WHERE {where}"


def keys_condition(plan: TablePlan, keys: Sequence[Sequence[str]]) -> str:
    """The SQL condition that a row has one of these keys."""
    columns = ", ".join(map(quoted, plan.key))
    values = ", ".join("(" + ", ".join(map(literal, key)) + ")" for key in keys)
    return f"({columns}) IN ({values})"


def _where(plan: TablePlan, row: TableRow) -> str:
    by_name = dict(zip((column.name for column in plan.columns), row.values, strict=True))
    return " AND ".join(f"{quoted(name)} = {literal(by_name[name])}" for name in plan.key)


def _literals(row: TableRow) -> str:
    return ",".join([*map(literal, row.values), literal(row.probe)])


def copy_line(row: TableRow) -> str:
    """A row as a line of COPY's text format."""
    texts = (*row.values, row.probe)
    return (
        "\t".join([r"\N" if text is None else text.translate(COPY_ESCAPES) for text in texts])
        + "\n"
    )


def _name(plan: TablePlan) -> str:
    return quoted_name(plan.schema, plan.name)


def _columns(plan: TablePlan) -> str:
    return ", ".join([*(quoted(column.name) for column in plan.columns), quoted(plan.probe)])

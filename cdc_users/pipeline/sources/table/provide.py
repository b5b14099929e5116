"""Prepares the user's own tables for a run: reads their catalogs, plans their rows, and tries some
rows in a transaction that is rolled back.

Nothing is changed before all of this succeeds. Each change (a column for the probe, rows) is
written down first, so that it is undone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import Connection, sql

from cdc_users.measure.ledger.probe import Operation
from cdc_users.pipeline.provision.ground import Ground
from cdc_users.users.producer.fence import WRITER, fence_key
from cdc_users.users.table_statement import insert
from cdc_users.users.workload.table.plan import KEY_SPAN, ColumnPlan, TablePlan
from cdc_users.users.workload.table.planning import REMEDY, TableWish, plan_table
from cdc_users.users.workload.table.row import TableRows, fixed_values
from cdc_users.users.workload.table.value import distinct
from infra.postgres.catalog import (
    CatalogColumn,
    CatalogReference,
    CatalogTable,
    CatalogType,
    read_table,
)
from infra.postgres.run_rows import ProbeColumn, RunRows, add_probe_column
from infra.postgres.table import Table, TableError

#: How many rows are tried, and how many existing rows are read for references.
TRIED = 20
REFERRED = 200


def own_tables(ground: Ground) -> tuple[TablePlan, ...]:
    """The plans of the tables that the user names, which are then ready for the load; raises
    TableError with everything that prevents this.
    """
    with ground.postgres() as connection:
        found = [_with_probe(ground, read_table(connection, table)) for table in ground.own.tables]
        base = _free_base(connection, ground, found)
        plans = _plans(connection, ground, found, base)
        for table, plan in zip(found, plans, strict=True):
            if not any(c.name == plan.probe for c in read_table(connection, table.table).columns):
                column = ProbeColumn(schema=plan.schema, table=plan.name, column=plan.probe)
                ground.note("probe column", column.encode())
                add_probe_column(connection, column)
        if not ground.own.custom:
            _try(connection, ground, plans)
        for plan in plans:
            if not ground.own.keep_rows:
                ground.note("rows", _run_rows(plan, ground.run).encode())
    return plans


def _with_probe(ground: Ground, found: CatalogTable) -> CatalogTable:
    """The table with a column for the probe, if the user wants that added."""
    name = ground.own.probe
    if not ground.own.add_probe or any(column.name == name for column in found.columns):
        return found
    column = CatalogColumn(name, CatalogType("text"), "text", required=False)
    return replace(found, columns=(*found.columns, column))


def _free_base(connection: Connection[Any], ground: Ground, found: Sequence[CatalogTable]) -> int:
    """The first of the run's numeric keys: the start of a span in which no table has a row. The
    run's name selects the span, so that simultaneous runs, and rows that earlier runs left, are in
    other spans.
    """
    spans = 2**63 // KEY_SPAN - 1
    first = int.from_bytes(ground.run.encode(), "big") % spans
    columns = [
        (table.table, name)
        for table in found
        for name in {*table.key, *(name for names in table.uniques for name in names)}
        if _is_bigint(table, name)
    ]
    for number in range(spans):
        base = (1 + (first + number) % spans) * KEY_SPAN
        if not any(_taken(connection, table, name, base) for table, name in columns):
            return base
    raise TableError("every span of keys has rows; remove the rows that earlier runs have left")


def _is_bigint(table: CatalogTable, name: str) -> bool:
    return any(c.name == name and c.type.name in ("bigint", "numeric") for c in table.columns)


def _taken(connection: Connection[Any], table: Table, name: str, base: int) -> bool:
    statement = sql.SQL("SELECT EXISTS (SELECT 1 FROM {} WHERE {} >= {} AND {} < {})").format(
        table.identifier,
        sql.Identifier(name),
        sql.Literal(base),
        sql.Identifier(name),
        sql.Literal(base + KEY_SPAN),
    )
    row = connection.execute(statement).fetchone()
    return bool(row and row[0])


def _plans(
    connection: Connection[Any], ground: Ground, found: Sequence[CatalogTable], base: int
) -> tuple[TablePlan, ...]:
    plans: list[TablePlan] = []
    mistakes: list[str] = []
    for table in found:
        rows = {
            reference.name: _referred(connection, reference, plans)
            for reference in table.references
            if reference.table != table.table
        }
        wish = TableWish(
            probe=ground.own.probe,
            head=ground.run,
            key_base=base,
            rows=rows,
            custom=ground.own.custom,
            changes=ground.own.changes,
            seed=ground.own.seed,
            by_debezium=ground.own.by_debezium,
        )
        planned = plan_table(table, wish)
        plans.append(planned.plan)
        mistakes += planned.mistakes
    if mistakes:
        raise TableError("\n".join(mistakes))
    return tuple(plans)


def _referred(
    connection: Connection[Any], reference: CatalogReference, before: Sequence[TablePlan]
) -> Sequence[tuple[str, ...]]:
    """Rows that can be referred to: existing ones, or the first fence of a table that is written
    before this one.
    """
    columns = [sql.Identifier(name) for name in reference.referred]
    statement = sql.SQL("SELECT {} FROM {} WHERE {} LIMIT {}").format(
        sql.SQL(", ").join(sql.SQL("{}::text").format(column) for column in columns),
        reference.table.identifier,
        sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(column) for column in columns),
        sql.Literal(REFERRED),
    )
    if rows := connection.execute(statement).fetchall():
        return [tuple(row) for row in rows]
    for number, plan in enumerate(before, start=1):
        if (plan.schema, plan.name) == (reference.table.schema, reference.table.name):
            # A table's first fence is written before all other rows, and has its table's number.
            values = fixed_values(plan, fence_key(number))
            if values.keys() >= set(reference.referred):
                return [tuple(str(values[name][0]) for name in reference.referred)]
    return []


def _try(connection: Connection[Any], ground: Ground, plans: Sequence[TablePlan]) -> None:
    """Write some rows to each table and roll them back; raises TableError with PostgreSQL's
    error.
    """
    try:
        with connection.transaction(force_rollback=True):
            for number, plan in enumerate(plans, start=1):
                rows = TableRows(ground.run, WRITER, [plan])
                rows.begin(1, 1, 0)
                keys = [fence_key(number), *range(1, TRIED + 1)]
                made = [rows.row(key, 1, Operation.FENCE, 1, 0) for key in keys]
                connection.execute(insert(plan, made).encode())
    except psycopg.Error as error:
        said = str(error).strip().replace("\n", "; ")
        raise TableError(
            f"table {plan.full_name}: PostgreSQL refuses rows that are made for it ({said});"
            f" {REMEDY}"
        ) from error


def _run_rows(plan: TablePlan, run: str) -> RunRows:
    """The condition for the run's rows: those with its probe, and with a key of its own."""
    column = next(c for c in plan.columns if c.distinct and c.name in plan.key)
    low, high = (_edge(plan, column, key) for key in (0, KEY_SPAN - 1))
    return RunRows(
        schema=plan.schema,
        table=plan.name,
        key=plan.key,
        probe=plan.probe,
        head=f"P1{run:8}",
        column=column.name if column.value.maker != "text" else "",
        low=low,
        high=high,
    )


def _edge(plan: TablePlan, column: ColumnPlan, key: int) -> str:
    return distinct(column.value, plan.head, plan.key_base, key)

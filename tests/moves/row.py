"""What is compared of a table: the rows by their key, in one form for every place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

import psycopg
from psycopg import Connection, sql
from psycopg.rows import dict_row


@dataclass(frozen=True, slots=True)
class SeenRow:
    """The probe tells which change a row is of; a number and a text, that its values are whole."""

    probe: str | None
    balance: Decimal | None
    notes: str | None


RowKey: TypeAlias = tuple[int, int]
#: Rows by (id, tenant).
Rows: TypeAlias = dict[RowKey, SeenRow]
COMPARED = ("id", "tenant", "probe", "balance", "notes")


def add(rows: Rows, row: Mapping[str, Any]) -> None:
    """Take a row in, in the form in which a place gives it."""
    balance = row["balance"]
    rows[key_of(row)] = SeenRow(
        row["probe"], None if balance is None else Decimal(str(balance)), row["notes"]
    )


def rows_of(connection: Connection[Any], table: sql.Identifier) -> Rows:
    """The rows of a table of PostgreSQL; none where there is no such table."""
    found: Rows = {}
    columns = sql.SQL(", ").join(map(sql.Identifier, COMPARED))
    with connection.cursor(row_factory=dict_row) as cursor:
        try:
            cursor.execute(sql.SQL("SELECT {} FROM {}").format(columns, table))
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return found
        for row in cursor:
            add(found, row)
    return found


def key_of(row: Mapping[str, Any]) -> RowKey:
    """A row's key."""
    return int(row["id"]), int(row["tenant"])


def replay(
    rows: Rows, op: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> None:
    """What a change makes of the rows; each row before is whole (REPLICA IDENTITY FULL)."""
    if op == "d":
        assert before is not None
        rows.pop(key_of(before), None)
    else:
        assert after is not None
        add(rows, after)


def difference(source: Rows, seen: Rows) -> str:
    """How two states differ, in a few words; empty where they do not."""
    missing, extra = source.keys() - seen.keys(), seen.keys() - source.keys()
    other = [key for key in source.keys() & seen.keys() if source[key] != seen[key]]
    if not missing and not extra and not other:
        return ""
    example = f", e.g. {other[0]}: {source[other[0]]} is {seen[other[0]]}" if other else ""
    return (
        f"{len(source)} rows at the source; {len(missing)} missing, {len(extra)} too many,"
        f" {len(other)} different{example}"
    )

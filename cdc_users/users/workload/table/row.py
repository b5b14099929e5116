"""Rows of the user's own tables, the same for the same key, version and seed. Pure.

A row's checksum covers all compared columns, including those of the key, so it needs no number for
the key (docs/probe.md).
"""

from __future__ import annotations

import json
import random
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from cdc_users.measure.ledger.checksum import canonical
from cdc_users.observe.events.value import value_of
from cdc_users.users.workload.probe_maker import ProbeMaker
from cdc_users.users.workload.table.plan import ColumnPlan, TablePlan
from cdc_users.users.workload.table.value import array_text, distinct, made
from infra.avro.kind import ColumnKind

#: The user's own code: values by column, from the row's key and a source of random numbers.
CustomRow = Callable[[Any, random.Random], Mapping[str, object]]
#: One in this many values is NULL, if the column allows it.
NULL_EVERY = 10
#: NUL, and half a surrogate pair, which is no character of UTF-8.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class RowError(ValueError):
    """The user's own code made a row that cannot be written; the message has the reason."""


class TableRow(NamedTuple):
    """A row: its values as texts in the plan's order, the text that the checksum covers, and its
    probe.
    """

    values: tuple[str | None, ...]
    canonical: bytes
    probe: str


class TableRows(ProbeMaker):
    """Makes the rows of one writer for its tables; key k belongs to table k modulo their number."""

    def __init__(
        self,
        run: str,
        writer: int,
        plans: Sequence[TablePlan],
        *,
        payload: str = "",
        custom: CustomRow | None = None,
    ) -> None:
        super().__init__(run, writer)
        self._plans = plans
        self._custom = custom
        self._payload = payload
        self._payload_columns = [_payload_column(plan) if payload else "" for plan in plans]

    def row(
        self, key: int, key_version: int, operation: str, sequence: int, index: int
    ) -> TableRow:
        """An inserted or updated row."""
        number = key % len(self._plans)
        plan = self._plans[number]
        found = fixed_values(plan, key)
        chance = random.Random(f"{plan.seed}/{key}/{key_version}")  # noqa: S311 - load must be repeatable, not secret
        for column in plan.columns:
            if column.name not in found:
                found[column.name] = _value(column, chance)
        if column_name := self._payload_columns[number]:
            found[column_name] = (self._payload, self._payload)
        if self._custom is not None:
            found |= self._own(plan, key_of(plan, found), chance)
        text = b"".join(
            _canonical(plan, column, found[column.name][1])
            for column in plan.columns
            if column.value.kind
        )
        values = tuple(found[column.name][0] for column in plan.columns)
        code = _checksum(key_version, text)
        return TableRow(values, text, self._probe(key_version, operation, sequence, index, code))

    def stamp(
        self, before: TableRow, key_version: int, operation: str, sequence: int, index: int
    ) -> TableRow:
        """The row as it was, with a new probe; it is written just before a delete."""
        code = _checksum(key_version, before.canonical)
        probe = self._probe(key_version, operation, sequence, index, code)
        return TableRow(before.values, before.canonical, probe)

    def _own(
        self, plan: TablePlan, key: Any, chance: random.Random
    ) -> dict[str, tuple[str | None, Any]]:
        """The values from the user's own code, without those of the key; raises RowError."""
        assert self._custom is not None
        try:
            given = dict(self._custom(key, chance))
        except Exception as error:
            raise RowError(
                f"row() of {plan.full_name} failed for the key {key!r}:"
                f" {type(error).__name__}: {error}"
            ) from error
        known = {column.name for column in plan.columns}
        if others := sorted(given.keys() - known):
            raise RowError(
                f"row() gives {', '.join(others)}, which {plan.full_name} does not let be written;"
                f" it has {', '.join(sorted(known))}"
            )
        return {
            name: (_storable(plan, name, postgres_text(value)), value)
            for name, value in given.items()
            if name not in plan.key
        }


def _canonical(plan: TablePlan, column: ColumnPlan, raw: Any) -> bytes:
    """A value as the checksum has it; raises RowError for one that is not of the column's type."""
    try:
        return canonical(value_of(ColumnKind(column.value.kind), raw))
    except (ValueError, TypeError, ArithmeticError, AttributeError) as error:
        raise RowError(
            f"row() gives {column.name} of {plan.full_name} the {type(raw).__name__} {raw!r:.60},"
            f" which is no {column.value.kind}; give a value of the column's type"
        ) from error


def _storable(plan: TablePlan, column: str, text: str | None) -> str | None:
    """The text, if PostgreSQL can store it; raises RowError."""
    if text is not None and (found := _UNSTORABLE.search(text)):
        raise RowError(
            f"row() gives {column} of {plan.full_name} a text with {found[0]!r}, which PostgreSQL"
            " cannot store; leave that character out"
        )
    return text


def _checksum(key_version: int, text: bytes) -> int:
    return zlib.crc32(b"0;%d;" % key_version + text)


def fixed_values(plan: TablePlan, key: int) -> dict[str, tuple[str | None, Any]]:
    """The values that depend on the key alone: the key, unique columns and references."""
    chance = random.Random(f"{plan.seed}/{key}")  # noqa: S311 - load must be repeatable, not secret
    found: dict[str, tuple[str | None, Any]] = {}
    for reference in plan.references:
        chosen = _referred(reference.columns, reference.rows, found, chance)
        found |= {name: (text, text) for name, text in zip(reference.columns, chosen, strict=True)}
    for column in plan.columns:
        if column.name in found:
            continue
        if column.distinct:
            text = distinct(column.value, plan.head, plan.key_base, key)
            found[column.name] = (text, text)
        elif column.fixed:
            found[column.name] = made(column.value, chance)
    return found


def key_texts(plan: TablePlan, key: int) -> tuple[str, ...]:
    """The key's columns as texts."""
    values = fixed_values(plan, key)
    return tuple(str(values[name][0]) for name in plan.key)


def _referred(
    columns: Sequence[str],
    rows: Sequence[tuple[str, ...]],
    found: Mapping[str, tuple[str | None, Any]],
    chance: random.Random,
) -> tuple[str, ...]:
    """A row to refer to that agrees with other references to the same columns."""
    told = {name: found[name][0] for name in columns if name in found}
    fitting = [
        row
        for row in rows
        if all(told.get(name, text) == text for name, text in zip(columns, row, strict=True))
    ]
    return chance.choice(fitting or rows)


def _value(column: ColumnPlan, chance: random.Random) -> tuple[str | None, Any]:
    if column.nullable and chance.randrange(NULL_EVERY) == 0:
        return None, None
    return made(column.value, chance)


def _payload_column(plan: TablePlan) -> str:
    """The column for the payload: a text without a limit that updates may change."""
    return next(
        (
            column.name
            for column in plan.columns
            if column.value.maker == "text"
            and not (column.fixed or column.value.labels)
            and column.value.high is None
        ),
        "",
    )


def key_of(plan: TablePlan, found: Mapping[str, tuple[str | None, Any]]) -> Any:
    """The key as the user's code gets it: an int or a text; a tuple for several columns."""
    texts = [found[name][0] or "" for name in plan.key]
    values = tuple(int(text) if text.lstrip("-").isdecimal() else text for text in texts)
    return values[0] if len(values) == 1 else values


def postgres_text(value: Any) -> str | None:
    """A Python value as text for PostgreSQL."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, timedelta):
        return f"{value.total_seconds():f} seconds"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, list | tuple):
        return _array(value)
    return str(value)


def _array(items: Sequence[Any]) -> str:
    """An array; one of arrays has them without quotes (PostgreSQL's documentation, "Arrays")."""
    if items and all(isinstance(item, list | tuple) for item in items):
        return "{" + ",".join(map(_array, items)) + "}"
    return array_text([postgres_text(item) for item in items])

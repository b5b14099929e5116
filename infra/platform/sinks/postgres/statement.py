"""The one statement that a batch is to PostgreSQL: the partition's position, deletes and upserts,
or nothing of it.
"""

from __future__ import annotations

from typing import Any

from psycopg import sql

from infra.avro.kind import Column, ColumnKind
from infra.platform.sinks.batch import Batch
from infra.platform.sinks.postgres.array import array, array_type, parameter_kind
from infra.platform.sinks.postgres.catalogue import SinkTable
from infra.platform.sinks.postgres.conversion import SOURCE
from infra.platform.sinks.postgres.merge import Deletes, Effect, Upserts
from infra.platform.sinks.postgres.offsets import Bookmark
from infra.platform.sinks.postgres.plan import VERSION, WritePlan

#: Begins a parameter. Names of columns and types may have a "%", which psycopg would take for one.
_PARAMETER = "\1"
#: The key version's digits in a probe (docs/probe.md), and its run's; counted from 1 as SQL does.
_PROBE_VERSION = sql.SQL('substr({}, 48, 8) COLLATE "C"')
_PROBE_RUN = sql.SQL("substr({}, 3, 8)")
#: Moves the partition's position only if it is where this instance believes it to be; all else
#: depends on it.
_MOVED = (
    "moved AS (INSERT INTO {offsets} AS o (topic, partition, next_offset, topic_id, source, life,"
    " log_position) VALUES (?s, ?s, ?s, ?s, ?s, ?s, ?s) ON CONFLICT (topic, partition) DO UPDATE"
    " SET next_offset = excluded.next_offset, topic_id = excluded.topic_id, source ="
    " excluded.source, life = excluded.life, log_position = excluded.log_position WHERE"
    " o.next_offset = ?s::bigint RETURNING 1)"
).replace("?", _PARAMETER)
#: How much of a value an error shows.
_SHOWN = 60
#: Behind a value that the target would not hold as it was sent.
UNPROVED = " is not held exactly by "


def statement(
    table: sql.Identifier,
    offsets: sql.Identifier,
    target: SinkTable,
    plan: WritePlan,
    whole: Effect,
) -> bytes:
    """The statement; it answers with 1, or with 0 where the position was another and so nothing
    was done.
    """
    made = _Statement(table, target, plan)
    parts = [sql.SQL(_MOVED).format(offsets=offsets)]
    if len(whole.deletes):
        parts.append(made.delete())
    parts += [made.upsert(group, number) for number, group in enumerate(whole.upserts)]
    text = sql.SQL("WITH {} SELECT count(*) FROM moved").format(sql.SQL(", ").join(parts))
    return text.as_bytes(None).replace(b"%", b"%%").replace(_PARAMETER.encode(), b"%")


def parameters(
    batch: Batch, before: Bookmark, after: Bookmark, plan: WritePlan, whole: Effect
) -> list[Any]:
    """The statement's parameters, in its order."""
    found: list[Any] = [
        batch.topic,
        batch.partition,
        after.next_offset,
        after.topic_id,
        after.source,
        after.life,
        after.log_position,
        before.next_offset,
    ]
    if len(whole.deletes):
        found += _delete_parameters(whole.deletes, plan)
    for group in whole.upserts:
        found += group.arrays
    return found


def _delete_parameters(deletes: Deletes, plan: WritePlan) -> list[Any]:
    arrays = [
        array(values, parameter_kind(column, plan.conversions[column.name].make))
        for column, values in zip(plan.key, deletes.keys, strict=True)
    ]
    return [*arrays, array(deletes.versions, ColumnKind.TEXT)]


class _Statement:
    """Makes the parts of a statement for one target and plan."""

    def __init__(self, table: sql.Identifier, target: SinkTable, plan: WritePlan) -> None:
        self._table = table
        self._target = target
        self._plan = plan

    def delete(self) -> sql.Composed:
        plan = self._plan
        names = [sql.Identifier(f"k{number}") for number in range(len(plan.key))]
        same = [
            sql.SQL("t.{} = {}").format(
                sql.Identifier(column.name), self._value(column, sql.SQL("g.{}").format(name))
            )
            for column, name in zip(plan.key, names, strict=True)
        ]
        kinds = [*(self._array_type(column) for column in plan.key), "text[]"]
        return sql.SQL(
            "gone AS (DELETE FROM {table} t USING unnest({arrays}) AS g({names}, version) "
            "WHERE {same} AND {guard} AND EXISTS (SELECT FROM moved))"
        ).format(
            table=self._table,
            arrays=sql.SQL(", ").join([sql.SQL(f"{_PARAMETER}b::{kind}") for kind in kinds]),
            names=sql.SQL(", ").join(names),
            same=sql.SQL(" AND ").join(same),
            guard=self._guard(sql.SQL("g.version")),
        )

    def upsert(self, group: Upserts, number: int) -> sql.Composed:
        if group.partial:
            return self._partial(group, number)
        return self._insert(group, number, self._rows(group))

    def _partial(self, group: Upserts, number: int) -> sql.Composed:
        """Rows that lack columns change what is there; only those that are not there are inserted.

        PostgreSQL checks an INSERT's NOT NULL before it looks for a conflict, so ON CONFLICT alone
        would refuse them all.
        """
        new = sql.Identifier(f"new{number}")
        names = [column.name for column in group.columns]
        same = sql.SQL(" AND ").join(
            sql.SQL("t.{0} = n.{0}").format(sql.Identifier(name)) for name in self._target.key
        )
        changes = [
            sql.SQL("{0} = n.{0}").format(sql.Identifier(name))
            for name in names
            if name not in self._plan.fixed
        ]
        parts = [sql.SQL("{} AS ({})").format(new, self._rows(group))]
        if changes:
            version = self._plan.version
            incoming = (
                sql.SQL("n.{}").format(sql.Identifier(version))
                if version in names
                else sql.SQL("NULL::text")
            )
            parts.append(
                sql.SQL(
                    "{name} AS (UPDATE {table} t SET {changes} FROM {new} n WHERE {same} AND"
                    " {guard})"
                ).format(
                    name=sql.Identifier(f"set{number}"),
                    table=self._table,
                    changes=sql.SQL(", ").join(changes),
                    new=new,
                    same=same,
                    guard=self._guard(incoming),
                )
            )
        absent = sql.SQL("SELECT n.* FROM {} n WHERE NOT EXISTS (SELECT FROM {} t WHERE {})")
        rows = absent.format(new, self._table, same)
        return sql.SQL(", ").join([*parts, self._insert(group, number, rows)])

    def _rows(self, group: Upserts) -> sql.Composed:
        """The group's rows in their columns' types; none where the position was not moved."""
        names = [sql.Identifier(column.name) for column in group.columns]
        sources = [sql.Identifier(f"c{place}") for place in range(len(names))]
        casts = [
            sql.SQL("{} AS {}").format(self._value(column, source), name)
            for source, column, name in zip(sources, group.columns, names, strict=True)
        ]
        return sql.SQL(
            "SELECT {casts} FROM (SELECT {arrays}) AS u({sources}) WHERE EXISTS (SELECT FROM moved)"
        ).format(
            casts=sql.SQL(", ").join(casts),
            arrays=sql.SQL(", ").join(
                sql.SQL(f"unnest({_PARAMETER}b::{self._array_type(column)})")
                for column in group.columns
            ),
            sources=sql.SQL(", ").join(sources),
        )

    def _insert(self, group: Upserts, number: int, rows: sql.Composed) -> sql.Composed:
        names = [sql.Identifier(column.name) for column in group.columns]
        others = [
            sql.Identifier(column.name)
            for column in group.columns
            if column.name not in self._plan.fixed
        ]
        version = self._plan.version
        change = sql.SQL("DO UPDATE SET {} WHERE {}").format(
            sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(name) for name in others),
            self._guard(
                sql.SQL("excluded.{}").format(sql.Identifier(version)) if version else None
            ),
        )
        return sql.SQL(
            "{name} AS (INSERT INTO {table} AS t ({columns}) {overriding}{rows} ON CONFLICT ({key})"
            " {change})"
        ).format(
            name=sql.Identifier(f"put{number}"),
            table=self._table,
            columns=sql.SQL(", ").join(names),
            overriding=sql.SQL("OVERRIDING SYSTEM VALUE " if self._plan.overriding else ""),
            rows=rows,
            key=sql.SQL(", ").join(map(sql.Identifier, self._target.key)),
            change=change if others else sql.SQL("DO NOTHING"),
        )

    def _guard(self, incoming: sql.Composable | None) -> sql.Composable:
        """The condition under which the row in the table may be replaced: it is not newer. A row
        without a version never is.

        Key versions of probes count within one run.
        """
        version = self._plan.version
        if not version or incoming is None:
            return sql.SQL("true")
        there = sql.SQL("t.{}").format(sql.Identifier(version))
        if version == VERSION:
            return sql.SQL("({} <= {}::bigint) IS NOT FALSE").format(there, incoming)
        return sql.SQL("({} <> {} OR {} <= {}) IS NOT FALSE").format(
            _PROBE_RUN.format(there),
            _PROBE_RUN.format(incoming),
            _PROBE_VERSION.format(there),
            _PROBE_VERSION.format(incoming),
        )

    def _array_type(self, column: Column) -> str:
        conversion = self._plan.conversions[column.name]
        return array_type(parameter_kind(column, conversion.make))

    def _value(self, column: Column, source: sql.Composable) -> sql.Composable:
        """The value, proved where it has to be: a value that fails is an error that shows it."""
        conversion = self._plan.conversions[column.name]
        value = _filled(conversion.value, source)
        if conversion.proof is None:
            return value
        return sql.SQL(
            "CASE WHEN {source} IS NULL OR ({proof}) THEN {value} ELSE"
            " ((left({source}, {shown}) || {unproved})::integer)::text::{kind} END"
        ).format(
            source=source,
            proof=_filled(conversion.proof, source),
            value=value,
            shown=sql.Literal(_SHOWN),
            unproved=sql.Literal(self._unproved(column.name)),
            kind=sql.SQL(self._target.columns[column.name].type),
        )

    def _unproved(self, name: str) -> str:
        return f"{UNPROVED}column {name}, {self._target.columns[name].type}"


def _filled(template: str, source: sql.Composable) -> sql.Composed:
    """A conversion's SQL over this text."""
    first, *rest = template.split(SOURCE)
    made = sql.Composed([sql.SQL(first)])
    for part in rest:
        made = made + source + sql.SQL(part)
    return made

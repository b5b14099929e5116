"""The one statement that a batch is to PostgreSQL: the partition's position, deletes and upserts,
or nothing of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import sql

from infra.avro.kind import Column, ColumnKind
from infra.platform.sinks.batch import Batch
from infra.platform.sinks.postgres.array import array, array_type
from infra.platform.sinks.postgres.merge import Deletes, Effect, Upserts
from infra.platform.sinks.postgres.table import VERSION, SinkTable

#: The key version's digits in a probe (docs/probe.md), counted from 1 as SQL does.
_PROBE_VERSION = sql.SQL('substr({}, 48, 8) COLLATE "C"')
#: Moves the partition's position only if it is where this instance believes it to be; all else
#: depends on it.
_MOVED = sql.SQL(
    "moved AS (INSERT INTO {offsets} AS o VALUES (%s, %s, %s) ON CONFLICT (topic, partition) "
    "DO UPDATE SET next_offset = excluded.next_offset WHERE o.next_offset = %s::bigint RETURNING 1)"
)


def statement(
    table: sql.Identifier,
    offsets: sql.Identifier,
    target: SinkTable,
    probe_column: str,
    whole: Effect,
) -> sql.Composed:
    """The statement; it answers with 1, or with 0 where the position was another and so nothing
    was done.
    """
    version = probe_column if VERSION not in target.types else VERSION
    parts = [_MOVED.format(offsets=offsets)]
    if len(whole.deletes):
        parts.append(_delete(table, target, version))
    parts += [
        _upsert(table, target, version, group, number) for number, group in enumerate(whole.upserts)
    ]
    return sql.SQL("WITH {} SELECT count(*) FROM moved").format(sql.SQL(", ").join(parts))


def parameters(
    batch: Batch, expected: int | None, key: Sequence[Column], whole: Effect
) -> list[Any]:
    """The statement's parameters, in its order."""
    found: list[Any] = [batch.topic, batch.partition, batch.end, expected]
    if len(whole.deletes):
        found += _delete_parameters(whole.deletes, key)
    for group in whole.upserts:
        found += group.arrays
    return found


def _delete_parameters(deletes: Deletes, key: Sequence[Column]) -> list[Any]:
    arrays = [array(values, column.kind) for column, values in zip(key, deletes.keys, strict=True)]
    return [*arrays, array(deletes.versions, ColumnKind.TEXT)]


def _delete(table: sql.Identifier, target: SinkTable, version: str) -> sql.Composed:
    names = [sql.Identifier(f"k{number}") for number in range(len(target.key))]
    same = [
        sql.SQL("t.{} = g.{}::{}").format(
            sql.Identifier(column), name, sql.SQL(target.types[column])
        )
        for column, name in zip(target.key, names, strict=True)
    ]
    return sql.SQL(
        "gone AS (DELETE FROM {table} t USING unnest({arrays}) AS g({names}, version) "
        "WHERE {same} AND {guard} AND EXISTS (SELECT FROM moved))"
    ).format(
        table=table,
        arrays=sql.SQL(", ").join([sql.SQL("%b::text[]")] * (len(names) + 1)),
        names=sql.SQL(", ").join(names),
        same=sql.SQL(" AND ").join(same),
        guard=_guard(target, version, sql.SQL("g.version")),
    )


def _upsert(
    table: sql.Identifier, target: SinkTable, version: str, group: Upserts, number: int
) -> sql.Composed:
    if group.partial:
        return _partial(table, target, version, group, number)
    return _insert(table, target, version, group, number, _rows(target, group))


def _partial(
    table: sql.Identifier, target: SinkTable, version: str, group: Upserts, number: int
) -> sql.Composed:
    """Rows that lack columns change what is there; only those that are not there are inserted.

    PostgreSQL checks an INSERT's NOT NULL before it looks for a conflict, so ON CONFLICT alone
    would refuse them all.
    """
    new = sql.Identifier(f"new{number}")
    names = [column.name for column in group.columns]
    same = sql.SQL(" AND ").join(
        sql.SQL("t.{0} = n.{0}").format(sql.Identifier(name)) for name in target.key
    )
    changes = [
        sql.SQL("{0} = n.{0}").format(sql.Identifier(name))
        for name in names
        if name not in target.key
    ]
    parts = [sql.SQL("{} AS ({})").format(new, _rows(target, group))]
    if changes:
        incoming = (
            sql.SQL("n.{}").format(sql.Identifier(version))
            if version in names
            else sql.SQL("NULL::text")
        )
        parts.append(
            sql.SQL(
                "{name} AS (UPDATE {table} t SET {changes} FROM {new} n WHERE {same} AND {guard})"
            ).format(
                name=sql.Identifier(f"set{number}"),
                table=table,
                changes=sql.SQL(", ").join(changes),
                new=new,
                same=same,
                guard=_guard(target, version, incoming),
            )
        )
    absent = sql.SQL("SELECT n.* FROM {} n WHERE NOT EXISTS (SELECT FROM {} t WHERE {})").format(
        new, table, same
    )
    return sql.SQL(", ").join([*parts, _insert(table, target, version, group, number, absent)])


def _rows(target: SinkTable, group: Upserts) -> sql.Composed:
    """The group's rows in their columns' types; none where the position was not moved."""
    names = [sql.Identifier(column.name) for column in group.columns]
    sources = [sql.Identifier(f"c{place}") for place in range(len(names))]
    casts = [
        sql.SQL("{}::{} AS {}").format(source, sql.SQL(target.types[column.name]), name)
        for source, column, name in zip(sources, group.columns, names, strict=True)
    ]
    return sql.SQL(
        "SELECT {casts} FROM (SELECT {arrays}) AS u({sources}) WHERE EXISTS (SELECT FROM moved)"
    ).format(
        casts=sql.SQL(", ").join(casts),
        arrays=sql.SQL(", ").join(
            sql.SQL(f"unnest(%b::{array_type(column.kind)})") for column in group.columns
        ),
        sources=sql.SQL(", ").join(sources),
    )


def _insert(
    table: sql.Identifier,
    target: SinkTable,
    version: str,
    group: Upserts,
    number: int,
    rows: sql.Composed,
) -> sql.Composed:
    names = [sql.Identifier(column.name) for column in group.columns]
    others = [
        sql.Identifier(column.name) for column in group.columns if column.name not in target.key
    ]
    change = sql.SQL("DO UPDATE SET {} WHERE {}").format(
        sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(name) for name in others),
        _guard(target, version, sql.SQL("excluded.{}").format(sql.Identifier(version))),
    )
    return sql.SQL(
        "{name} AS (INSERT INTO {table} AS t ({columns}) {rows} ON CONFLICT ({key}) {change})"
    ).format(
        name=sql.Identifier(f"put{number}"),
        table=table,
        columns=sql.SQL(", ").join(names),
        rows=rows,
        key=sql.SQL(", ").join(map(sql.Identifier, target.key)),
        change=change if others else sql.SQL("DO NOTHING"),
    )


def _guard(target: SinkTable, version: str, incoming: sql.Composable) -> sql.Composable:
    """Whether what is there is not newer; what has no version is never newer."""
    if version not in target.types:
        return sql.SQL("true")
    there = sql.SQL("t.{}").format(sql.Identifier(version))
    if version == VERSION:
        return sql.SQL("({} <= {}::bigint) IS NOT FALSE").format(there, incoming)
    return sql.SQL("({} <= {}) IS NOT FALSE").format(
        _PROBE_VERSION.format(there), _PROBE_VERSION.format(incoming)
    )

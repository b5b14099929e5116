"""The one statement that a batch is to PostgreSQL: the partition's position, deletes and upserts, or nothing of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import sql

from infra.platform.batch import Batch
from infra.platform.sinks.postgres_array import array, array_type
from infra.platform.sinks.postgres_merge import Deletes, Effect, Upserts
from infra.platform.sinks.postgres_table import VERSION, SinkTable
from infra.schemas.kind import Column, Kind

#: The key version's digits in a probe (docs/probe.md), counted from 1 as SQL does.
_PROBE_VERSION = sql.SQL('substr({}, 48, 8) COLLATE "C"')
#: Moves the partition's position only if it is where this instance believes it to be; all else depends on it.
_MOVED = sql.SQL(
    "moved AS (INSERT INTO {offsets} AS o VALUES (%s, %s, %s) ON CONFLICT (topic, partition) "
    "DO UPDATE SET next_offset = excluded.next_offset WHERE o.next_offset = %s::bigint RETURNING 1)"
)


def statement(
    table: sql.Identifier, offsets: sql.Identifier, target: SinkTable, probe_column: str, whole: Effect
) -> sql.Composed:
    """The statement; it answers with 1, or with 0 where the position was another and so nothing was done."""
    version = probe_column if VERSION not in target.types else VERSION
    parts = [_MOVED.format(offsets=offsets)]
    if len(whole.deletes):
        parts.append(_delete(table, target, version))
    parts += [_upsert(table, target, version, group, number) for number, group in enumerate(whole.upserts)]
    return sql.SQL("WITH {} SELECT count(*) FROM moved").format(sql.SQL(", ").join(parts))


def parameters(batch: Batch, expected: int | None, key: Sequence[Column], whole: Effect) -> list[Any]:
    """The statement's parameters, in its order."""
    found: list[Any] = [batch.topic, batch.partition, batch.end, expected]
    if len(whole.deletes):
        found += _delete_parameters(whole.deletes, key)
    for group in whole.upserts:
        found += group.arrays
    return found


def _delete_parameters(deletes: Deletes, key: Sequence[Column]) -> list[Any]:
    arrays = [array(values, column.kind) for column, values in zip(key, deletes.keys, strict=True)]
    return [*arrays, array(deletes.versions, Kind.TEXT)]


def _delete(table: sql.Identifier, target: SinkTable, version: str) -> sql.Composed:
    names = [sql.Identifier(f"k{number}") for number in range(len(target.key))]
    same = [
        sql.SQL("t.{} = g.{}::{}").format(sql.Identifier(column), name, sql.SQL(target.types[column]))
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


def _upsert(table: sql.Identifier, target: SinkTable, version: str, group: Upserts, number: int) -> sql.Composed:
    names = [sql.Identifier(column.name) for column in group.columns]
    sources = [sql.Identifier(f"c{place}") for place in range(len(names))]
    casts = [
        sql.SQL("{}::{}").format(source, sql.SQL(target.types[column.name]))
        for source, column in zip(sources, group.columns, strict=True)
    ]
    others = [sql.Identifier(column.name) for column in group.columns if column.name not in target.key]
    change = sql.SQL("DO UPDATE SET {} WHERE {}").format(
        sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(name) for name in others),
        _guard(target, version, sql.SQL("excluded.{}").format(sql.Identifier(version))),
    )
    return sql.SQL(
        "{name} AS (INSERT INTO {table} AS t ({columns}) SELECT {casts} FROM (SELECT {arrays}) AS u({sources}) "
        "WHERE EXISTS (SELECT FROM moved) ON CONFLICT ({key}) {change})"
    ).format(
        name=sql.Identifier(f"put{number}"),
        table=table,
        columns=sql.SQL(", ").join(names),
        casts=sql.SQL(", ").join(casts),
        arrays=sql.SQL(", ").join(sql.SQL(f"unnest(%b::{array_type(column.kind)})") for column in group.columns),
        sources=sql.SQL(", ").join(sources),
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
    return sql.SQL("({} <= {}) IS NOT FALSE").format(_PROBE_VERSION.format(there), _PROBE_VERSION.format(incoming))

"""The one statement that writes a batch to PostgreSQL: the partition's position, deletes and
upserts, or nothing of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import sql

from infra.avro.kind import Column, ColumnKind
from infra.platform.sinks.batch import Batch
from infra.platform.sinks.postgres.array import array, array_type, parameter_kind
from infra.platform.sinks.postgres.catalogue import SinkTable, state_query
from infra.platform.sinks.postgres.conversion import SOURCE
from infra.platform.sinks.postgres.merge import Deletes, Effect, Upserts
from infra.platform.sinks.postgres.offsets import Bookmark
from infra.platform.sinks.postgres.plan import VERSION, WritePlan

#: The first character of a parameter. Names of columns and types may contain a "%", which psycopg
#: would read as a parameter.
_PARAMETER = "\1"
#: The digits of the key version in a probe (docs/probe.md), and of its run; SQL counts from 1.
_PROBE_VERSION = sql.SQL('substr({}, 48, 8) COLLATE "C"')
_PROBE_RUN = sql.SQL("substr({}, 3, 8)")
#: Moves the partition's position only if the position is the one that this instance knows, and the
#: target is unaltered since it was looked at; everything else depends on this step.
_MOVED = (
    "moved AS (INSERT INTO {offsets} AS o (topic, partition, next_offset, topic_id, source, life,"
    " log_position, target) SELECT ?s::text, ?s::int, ?s::bigint, ?s::text, ?s::text, ?s::int,"
    " ?s::bigint, ?s::text WHERE ({state}) = ?s::text ON CONFLICT (topic, partition) DO UPDATE"
    " SET next_offset = excluded.next_offset, topic_id = excluded.topic_id, source ="
    " excluded.source, life = excluded.life, log_position = excluded.log_position, target ="
    " excluded.target WHERE o.next_offset = ?s::bigint RETURNING 1)"
).replace("?", _PARAMETER)
#: How much of a value an error shows.
_SHOWN = 60
#: Follows a value that the target would not hold as it was sent.
UNPROVED = " is not held exactly by "
#: Follows the key of a row that the target's triggers have left out.
DISCARDED = " is the key of a row that a trigger of the target has left out"


def statement(
    table: sql.Identifier,
    offsets: sql.Identifier,
    target: SinkTable,
    plan: WritePlan,
    whole: Effect,
) -> bytes:
    """The statement. It answers 1, and the number of rows that it has inserted in part; or 0 if the
    position was another one or the target was altered, and then it has done nothing.
    """
    made = _Statement(table, target, plan)
    moved = sql.SQL(_MOVED).format(offsets=offsets, state=state_query(target.oid))
    parts, answers = [moved], list[sql.Composable]()
    if len(whole.deletes):
        parts.append(made.delete())
        answers.append(made.not_deleted())
    parts += [made.upsert(group, number) for number, group in enumerate(whole.upserts)]
    answers += [made.not_written(group, number) for number, group in enumerate(whole.upserts)]
    # Each answer is an error if a row was left out, else NULL.
    answer = sql.SQL("coalesce({}, count(*))").format(sql.SQL(", ").join(answers))
    text = sql.SQL("WITH {} SELECT {}, {} FROM moved").format(
        sql.SQL(", ").join(parts),
        answer if target.may_discard and answers else sql.SQL("count(*)"),
        _incomplete(whole),
    )
    return text.as_bytes(None).replace(b"%", b"%%").replace(_PARAMETER.encode(), b"%")


def _incomplete(whole: Effect) -> sql.Composed:
    """The number of rows that were inserted without columns that the source did not send."""
    counts = [
        sql.SQL("(SELECT count(*) FROM {})").format(sql.Identifier(f"put{number}"))
        for number, group in enumerate(whole.upserts)
        if group.partial
    ]
    return sql.SQL(" + ").join([sql.SQL("0"), *counts])


def parameters(
    batch: Batch, marks: tuple[Bookmark, Bookmark], state: str, plan: WritePlan, whole: Effect
) -> list[Any]:
    """The statement's parameters, in its order: from one bookmark to the next, in a target of this
    state.
    """
    before, after = marks
    found: list[Any] = [
        batch.topic,
        batch.partition,
        after.next_offset,
        after.topic_id,
        after.source,
        after.life,
        after.log_position,
        after.target,
        state,
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
        kinds = [*(self._array_type(column) for column in plan.key), "text[]"]
        return sql.SQL(
            "old AS (SELECT * FROM unnest({arrays}) AS g({names}, version)"
            " WHERE EXISTS (SELECT FROM moved)),"
            " gone AS (DELETE FROM {table} t USING old g WHERE {same} AND {guard}{returning})"
        ).format(
            table=self._table,
            arrays=sql.SQL(", ").join([sql.SQL(f"{_PARAMETER}b::{kind}") for kind in kinds]),
            names=sql.SQL(", ").join(names),
            same=self._same_as_deleted("t"),
            guard=self._guard(sql.SQL("g.version")),
            returning=self._returning(),
        )

    def _same_as_deleted(self, table: str) -> sql.Composed:
        """Whether a row of this alias has the key of a deleted row."""
        return sql.SQL(" AND ").join(
            sql.SQL("{}.{} = {}").format(
                sql.Identifier(table),
                sql.Identifier(column.name),
                self._value(column, sql.SQL("g.{}").format(sql.Identifier(f"k{number}"))),
            )
            for number, column in enumerate(self._plan.key)
        )

    def not_deleted(self) -> sql.Composed:
        """An error that names a row which still exists although it should be deleted; NULL if none
        does.
        """
        keys = [sql.SQL("g.{}").format(sql.Identifier(f"k{n}")) for n in range(len(self._plan.key))]
        return sql.SQL(
            "(SELECT {shown} FROM old g WHERE EXISTS (SELECT FROM {table} t WHERE {same} AND"
            " {guard}) AND NOT EXISTS (SELECT FROM gone d WHERE {deleted}) LIMIT 1)"
        ).format(
            shown=_discarded(keys),
            table=self._table,
            same=self._same_as_deleted("t"),
            guard=self._guard(sql.SQL("g.version")),
            deleted=self._same_as_deleted("d"),
        )

    def not_written(self, group: Upserts, number: int) -> sql.Composed:
        """The same for rows that were neither inserted nor changed although no newer row exists."""
        newer: sql.Composable = self._same("t", "n")
        is_changed = len(group.columns) > len(
            self._plan.fixed
        )  # otherwise the group has only key columns
        if is_changed:
            guard = self._guard(self._incoming(group, "n"))
            newer = sql.SQL("{} AND NOT {}").format(newer, guard)
        places = ["set", "put"] if group.partial and is_changed else ["put"]
        written = sql.SQL(" OR ").join(
            sql.SQL("EXISTS (SELECT FROM {} p WHERE {})").format(
                sql.Identifier(f"{place}{number}"), self._same("p", "n")
            )
            for place in places
        )
        return sql.SQL(
            "(SELECT {shown} FROM {new} n WHERE NOT ({written}) AND NOT EXISTS (SELECT FROM {table}"
            " t WHERE {newer}) LIMIT 1)"
        ).format(
            shown=_discarded(
                [sql.SQL("n.{}").format(sql.Identifier(name)) for name in self._target.key]
            ),
            new=sql.Identifier(f"new{number}"),
            written=written,
            table=self._table,
            newer=newer,
        )

    def _same(self, one: str, other: str) -> sql.Composed:
        """Whether rows of these aliases have one key."""
        return sql.SQL(" AND ").join(
            sql.SQL("{1}.{0} = {2}.{0}").format(
                sql.Identifier(name), sql.Identifier(one), sql.Identifier(other)
            )
            for name in self._target.key
        )

    def _incoming(self, group: Upserts, alias: str) -> sql.Composable | None:
        """The version of an incoming row."""
        version = self._plan.version
        if not version:
            return None
        if version not in [column.name for column in group.columns]:
            return sql.SQL("NULL::text")
        return sql.SQL("{}.{}").format(sql.Identifier(alias), sql.Identifier(version))

    def _returning(self, alias: str = "t", *, always: bool = False) -> sql.Composable:
        if not self._target.may_discard and not always:
            return sql.SQL("")
        return sql.SQL(" RETURNING {}").format(
            sql.SQL(", ").join(
                sql.SQL("{}.{}").format(sql.Identifier(alias), sql.Identifier(name))
                for name in self._target.key
            )
        )

    def upsert(self, group: Upserts, number: int) -> sql.Composed:
        if group.partial:
            return self._partial(group, number)
        if not self._target.may_discard:
            return self._insert(group, number, self._rows(group))
        new = sql.Identifier(f"new{number}")
        return sql.SQL("{} AS ({}), {}").format(
            new,
            self._rows(group),
            self._insert(group, number, sql.SQL("SELECT n.* FROM {} n").format(new)),
        )

    def _partial(self, group: Upserts, number: int) -> sql.Composed:
        """Rows that lack columns update existing rows; only rows that do not exist are inserted.

        PostgreSQL checks an INSERT's NOT NULL before it looks for a conflict, so ON CONFLICT alone
        would refuse all of these rows.
        """
        new = sql.Identifier(f"new{number}")
        names = [column.name for column in group.columns]
        same = self._same("t", "n")
        changes = [
            sql.SQL("{0} = n.{0}").format(sql.Identifier(name))
            for name in names
            if name not in self._plan.fixed
        ]
        parts = [sql.SQL("{} AS ({})").format(new, self._rows(group))]
        if changes:
            parts.append(
                sql.SQL(
                    "{name} AS (UPDATE {table} t SET {changes} FROM {new} n WHERE {same} AND"
                    " {guard}{returning})"
                ).format(
                    name=sql.Identifier(f"set{number}"),
                    table=self._table,
                    changes=sql.SQL(", ").join(changes),
                    new=new,
                    same=same,
                    guard=self._guard(self._incoming(group, "n")),
                    returning=self._returning(),
                )
            )
        absent = sql.SQL("SELECT n.* FROM {} n WHERE NOT EXISTS (SELECT FROM {} t WHERE {})")
        rows = absent.format(new, self._table, same)
        return sql.SQL(", ").join([*parts, self._insert(group, number, rows)])

    def _rows(self, group: Upserts) -> sql.Composed:
        """The group's rows in their columns' types; no rows if the position was not moved."""
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
            " {change}{returning})"
        ).format(
            name=sql.Identifier(f"put{number}"),
            table=self._table,
            columns=sql.SQL(", ").join(names),
            overriding=sql.SQL("OVERRIDING SYSTEM VALUE " if self._plan.overriding else ""),
            rows=rows,
            key=sql.SQL(", ").join(map(sql.Identifier, self._target.key)),
            change=change if others else sql.SQL("DO NOTHING"),
            returning=self._returning(always=group.partial),
        )

    def _guard(self, incoming: sql.Composable | None) -> sql.Composable:
        """The condition under which the row in the table may be replaced: it is not newer. A row
        without a version is never newer.

        Key versions of probes are comparable within one run.
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
        """The value, with its proof if it needs one: a value that fails becomes an error that shows
        it.
        """
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


def _discarded(keys: Sequence[sql.Composable]) -> sql.Composed:
    return sql.SQL("(left(concat_ws(', ', {keys}), {shown}) || {text})::integer").format(
        keys=sql.SQL(", ").join(keys), shown=sql.Literal(_SHOWN), text=sql.Literal(DISCARDED)
    )


def _filled(template: str, source: sql.Composable) -> sql.Composed:
    """A conversion's SQL over this text."""
    first, *rest = template.split(SOURCE)
    made = sql.Composed([sql.SQL(first)])
    for part in rest:
        made = made + source + sql.SQL(part)
    return made

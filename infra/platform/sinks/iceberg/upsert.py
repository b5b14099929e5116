"""Keeps an Iceberg table equal to the source's: each commit replaces the rows of changed keys.

PyIceberg deletes by rewriting the files that contain such rows, so this suits tables of modest
size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import And, BooleanExpression, In, IsNull
from pyiceberg.table import Table, Transaction

from infra.platform.process.error import ConfigError, RefusedError, TableRefusedError
from infra.platform.sinks.batch import Batch, Partition
from infra.platform.sinks.iceberg.arrow import row_arrays, row_schema
from infra.platform.sinks.iceberg.piece import Piece
from infra.platform.sinks.iceberg.schema import fitted, in_numbers
from infra.platform.sinks.operation import refuse_others, refuse_rowless, refuse_unsent

#: A row as Arrow makes it (`pyarrow.Table.to_pylist`).
ArrowRow = dict[str, Any]
#: Columns beside the row's own while events are processed.
DELETED, NOT_SENT = "cdc_deleted", "cdc_not_sent"


def state_changes(batch: Batch) -> Any:
    """A batch as rows, each with whether it was deleted and which columns were not sent; raises
    RefusedError.
    """
    refuse_taken_names(batch)
    refuse_others(batch)
    refuse_rowless(batch)
    columns, not_sent = row_arrays(batch)
    refuse_unsent(batch, dict(enumerate(not_sent)))
    deleted = pa.array((batch.rows.operation == ord("d")).tolist(), pa.bool_())
    missing = pa.array(not_sent, pa.list_(pa.string()))
    schema = row_schema(batch.rows.columns).append(pa.field(DELETED, pa.bool_()))
    return pa.record_batch(
        [*columns, deleted, missing], schema=schema.append(pa.field(NOT_SENT, missing.type))
    )


def state_schema(changes: Any) -> Any:
    """The schema of the rows themselves."""
    return pa.schema(
        [column for column in changes.schema if column.name not in (DELETED, NOT_SENT)]
    )


def standing_rows(changes: Any) -> Any:
    """The rows that can be written unchanged: neither deleted nor sent in part."""
    gone, missing = changes.column(DELETED), changes.column(NOT_SENT)
    whole = pc.and_(pc.invert(gone), pc.equal(pc.list_value_length(missing), 0))
    return changes.filter(whole)


def refuse_taken_names(batch: Batch) -> None:
    """Raise TableRefusedError if a source column has a name that the sink uses itself, because the
    sink would confuse the two.
    """
    if taken := sorted({DELETED, NOT_SENT} & {column.name for column in batch.rows.columns}):
        raise TableRefusedError(
            f"topic {batch.topic!r} has a column {', '.join(taken)}, a name that the sink keeps for"
            " itself; rename it in the source, or append"
        )


def check_key(batch: Batch, changes: Any, key: Sequence[str]) -> None:
    """Raise RefusedError if a part of a row's key is NULL: Debezium uses a unique index as the key
    of a table without a primary key, and there rows with NULL cannot be told apart. A key that is
    NaN is refused too, because it cannot be looked up.
    """
    for name in key:
        values = changes.column(name)
        if pa.types.is_floating(values.type) and pc.any(pc.is_nan(values)).as_py():
            raise RefusedError(
                f"{batch.topic}[{batch.partition}] has a row with NaN in its key ({name}), which"
                " Iceberg cannot look for; give the source table another key, or append"
            )
    lacking = [name for name in key if changes.column(name).null_count]
    if lacking:
        raise RefusedError(
            f"{batch.topic}[{batch.partition}] has a row without its key ({', '.join(lacking)} is"
            " NULL), so it cannot be found again; give the source table a primary key, or append"
        )


def defaults_of(batch: Batch) -> dict[str, Any]:
    """The columns' defaults, as far as the events' schema has them."""
    known = {column.name: column.default for column in batch.rows.columns}
    return {name: value for name, value in known.items() if value is not None}


def give_defaults(
    change: Transaction, table: Table, wanted: Any, defaults: Mapping[str, Any]
) -> None:
    """Rewrite existing rows with the defaults of new columns: the source has these values, and no
    event reports them.
    """
    names = {column.name for column in table.schema().fields}
    new = [c for c in wanted if c.name not in names and c.name in defaults]
    if not new or table.current_snapshot() is None:
        return
    rows = table.scan().to_arrow()
    for column in new:
        value = pa.array([defaults[column.name]], column.type)
        rows = rows.append_column(column, pa.repeat(value[0], len(rows)))
    change.overwrite(rows)


def apply_state(
    change: Transaction,
    table: Table,
    pieces: Sequence[Piece],
    summary: dict[str, str],
    defaults: Mapping[str, Any],
) -> Counter[Partition]:
    """Bring the table to the state after these events of one key, within a transaction.

    An event may lack a column of the table: one that was new after it, or one that is not the
    source's. Its row keeps the column's value, and a new row has the column's default.

    Returns how many rows were inserted without values that the source did not send.
    """
    key = pieces[0].key
    target = table.schema().as_arrow()
    # Each row with the columns that it does not know, which hold these values in a new row.
    rows = [
        (piece.place, row, dict.fromkeys(row[NOT_SENT] or ()) | absent)
        for piece in pieces
        for absent in [_absent(piece, target, defaults)]
        for row in _listed(fitted(piece.rows, target))
    ]
    before = _known(table, key, [row for _, row, unknown in rows if unknown])
    after: dict[tuple[Any, ...], ArrowRow | None] = {}
    incomplete: dict[tuple[Any, ...], Partition] = {}
    for partition, row, unknown in rows:
        place = tuple(row[name] for name in key)
        earlier = after.get(place, before.get(place))
        if row[DELETED] or not row[NOT_SENT]:
            incomplete.pop(place, None)
        elif earlier is None:
            incomplete[place] = partition
        known = row | unknown
        if earlier is not None:
            known |= {name: earlier[name] for name in unknown}
        after[place] = None if row[DELETED] else {name: known[name] for name in target.names}
    kept = [row for row in after.values() if row is not None]
    whole = pa.Table.from_pylist(kept, schema=in_numbers(target)).cast(target)
    if table.current_snapshot() is None:
        change.append(whole, snapshot_properties=summary)
        return Counter(incomplete.values())
    others = _beside(table, key, after)
    change.overwrite(
        pa.concat_tables([others.cast(target), whole]) if len(others) else whole,
        overwrite_filter=_around(key, list(after)),
        snapshot_properties=summary,
    )
    return Counter(incomplete.values())


def _absent(piece: Piece, target: Any, defaults: Mapping[str, Any]) -> ArrowRow:
    """The table's columns that these events lack, each with its default, or NULL."""
    lacking = [column for column in target if column.name not in piece.rows.schema.names]
    if not lacking:
        return {}
    values = [pa.array([defaults.get(column.name)], column.type) for column in lacking]
    return _listed(pa.Table.from_arrays(values, schema=pa.schema(lacking)))[0]


def check_key_change(
    table: Table, shown: str, before: tuple[str, ...], key: tuple[str, ...]
) -> None:
    """Raise ConfigError if some row of the table lacks a column of a changed key, so that its next
    event would not find it.
    """
    if before in ((), key) or table.current_snapshot() is None:
        return
    lacking = [name for name in key if _lacking(table, name)]
    if lacking:
        raise ConfigError(
            f"the key of table {shown} has changed from ({', '.join(before)}) to"
            f" ({', '.join(key)}), and it has rows without {', '.join(lacking)}, which their"
            " next events would not find; fill the column in, or name another table"
        )


def _lacking(table: Table, name: str) -> bool:
    empty = IsNull(name)  # type: ignore[call-arg, arg-type]
    return len(table.scan(empty, selected_fields=(name,), limit=1).to_arrow()) > 0


def _around(key: Sequence[str], places: Sequence[tuple[Any, ...]]) -> BooleanExpression:
    """The condition for rows whose key columns each have one of the values: all of these keys and,
    with several columns, some others.

    One alternative for each key would be exact, but thousands of them nest so deep that Arrow
    crashes.
    """
    terms: list[BooleanExpression] = [
        In(name, values)  # type: ignore[call-arg, arg-type]
        for name, values in zip(key, map(set, zip(*places, strict=True)), strict=True)
    ]
    return terms[0] if len(terms) == 1 else And(*terms)


def _beside(table: Table, key: Sequence[str], places: Collection[tuple[Any, ...]]) -> Any:
    """The rows around these keys that have none of them; they are written again unchanged."""
    if len(key) == 1:
        return ()
    rows = table.scan(row_filter=_around(key, list(places))).to_arrow()
    numbers = rows.select(list(key))
    columns = [
        column.cast(kind).to_pylist()
        for column, kind in zip(numbers.columns, in_numbers(numbers.schema).types, strict=True)
    ]
    other = [place not in places for place in zip(*columns, strict=True)]
    return rows.filter(pa.array(other, pa.bool_()))


def _known(
    table: Table, key: Sequence[str], rows: Sequence[ArrowRow]
) -> dict[tuple[Any, ...], ArrowRow]:
    """The table's present rows for the keys of these rows, which leave columns out."""
    if not rows or table.current_snapshot() is None:
        return {}
    places = [tuple(row[name] for name in key) for row in rows]
    found = _listed(table.scan(row_filter=_around(key, places)).to_arrow())
    return {tuple(row[name] for name in key): row for row in found}


def _listed(rows: Any) -> list[ArrowRow]:
    """The rows as Python values, with dates and times as numbers."""
    found: list[ArrowRow] = rows.cast(in_numbers(rows.schema)).to_pylist()
    return found

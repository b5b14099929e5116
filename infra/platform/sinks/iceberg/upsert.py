"""Keeps an Iceberg table equal to the source's: each commit deletes the keys that changed and
appends them as they are.

PyIceberg deletes by rewriting the files that have such rows, so this suits tables of modest size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyiceberg.expressions import And, BooleanExpression, EqualTo, In, Or
from pyiceberg.table import Table

from infra.platform.sinks.batch import Batch
from infra.platform.sinks.iceberg.arrow import row_arrays, row_schema
from infra.platform.sinks.iceberg.schema import fitted, in_numbers
from infra.platform.sinks.operation import refuse_others

if TYPE_CHECKING:
    from infra.platform.sinks.iceberg.sink import Piece

#: Columns beside the row's own while events are on their way.
DELETED, NOT_SENT = "cdc_deleted", "cdc_not_sent"


def state_changes(batch: Batch) -> Any:
    """A batch as rows, each with whether it was deleted and what was not sent; raises
    RefusedError.
    """
    refuse_others(batch)
    columns, not_sent = row_arrays(batch)
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


def apply_state(table: Table, pieces: Sequence[Piece], summary: dict[str, str]) -> None:
    """Bring the table to the state after these events, in one commit."""
    key = pieces[0].key
    target = table.schema().as_arrow()
    rows = [row for piece in pieces for row in _listed(fitted(piece.rows, target))]
    before = _known(table, key, rows) if any(row[NOT_SENT] for row in rows) else {}
    after: dict[tuple[Any, ...], dict[str, Any] | None] = {}
    for row in rows:
        place = tuple(row[name] for name in key)
        earlier = after.get(place, before.get(place)) or {}
        known = row | {name: earlier.get(name) for name in row[NOT_SENT] or ()}
        after[place] = None if row[DELETED] else {name: known.get(name) for name in target.names}
    kept = [row for row in after.values() if row is not None]
    with table.transaction() as change:
        if table.current_snapshot() is not None:
            change.delete(_keys(key, list(after)), snapshot_properties=summary)
        whole = pa.Table.from_pylist(kept, schema=in_numbers(target)).cast(target)
        change.append(whole, snapshot_properties=summary)


def _known(
    table: Table, key: Sequence[str], rows: Sequence[dict[str, Any]]
) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The rows as the table has them, of keys whose events leave something out."""
    places = [tuple(row[name] for name in key) for row in rows if row[NOT_SENT]]
    found = _listed(table.scan(row_filter=_keys(key, places)).to_arrow())
    return {tuple(row[name] for name in key): row for row in found}


def _listed(rows: Any) -> list[dict[str, Any]]:
    """The rows as Python's values, dates and times in numbers."""
    found: list[dict[str, Any]] = rows.cast(in_numbers(rows.schema)).to_pylist()
    return found


def _keys(key: Sequence[str], places: Sequence[tuple[Any, ...]]) -> BooleanExpression:
    if len(key) == 1:
        return In(key[0], {place[0] for place in places})  # type: ignore[call-arg, arg-type]
    each = [
        _all([_equal(name, value) for name, value in zip(key, place, strict=True)])
        for place in set(places)
    ]
    return each[0] if len(each) == 1 else Or(*each)


def _equal(name: str, value: Any) -> BooleanExpression:
    return EqualTo(name, value)  # type: ignore[call-arg, arg-type]


def _all(terms: Sequence[BooleanExpression]) -> BooleanExpression:
    return terms[0] if len(terms) == 1 else And(*terms)

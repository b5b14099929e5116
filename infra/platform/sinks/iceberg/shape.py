"""The shape of a table: the columns that it lacks for incoming rows, and the rows in its form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from pyiceberg.table import Table

from infra.platform.sinks.iceberg.arrow import POSITION
from infra.platform.sinks.iceberg.piece import Piece
from infra.platform.sinks.iceberg.schema import widened

#: The property of a table that the sink has created and may therefore change.
MARKER = "locust-cdc.sink"


def appended_rows(table: Table, pieces: Sequence[Piece]) -> Any:
    """The pieces' rows as one chunk for the append: Parquet is written a third faster in this form
    than from a thousand rows at a time.
    """
    parts = pa.concat_tables(
        [pa.Table.from_batches([piece.rows]) for piece in pieces], promote_options="permissive"
    )
    return _whole(parts.combine_chunks(), table.schema().as_arrow())


def missing_columns(table: Table, wanted: Any) -> list[str]:
    """The columns of these rows that the table lacks."""
    known = {column.name for column in table.schema().fields}
    return [name for name in wanted.names if name not in known]


def needs_shaping(table: Table, wanted: Any) -> bool:
    """Whether the table needs more or wider columns; a table of the user's own is never changed."""
    if MARKER not in table.properties:
        return bool(missing_columns(table, wanted))
    known = table.schema().as_arrow()
    return not widened(known, wanted).equals(widened(known))


def no_bounds(schema: Any) -> dict[str, str]:
    """Turns off the bounds of dates and times in the manifests, because PyIceberg cannot compute
    them for infinity or the year 12026.
    """
    temporal = [
        column.name
        for column in schema
        if pa.types.is_temporal(column.type) and column not in POSITION
    ]
    return {f"write.metadata.metrics.column.{name}": "counts" for name in temporal}


def _whole(rows: Any, target: Any) -> Any:
    """The rows with exactly the table's columns and types."""
    columns = [
        (
            rows.column(column.name).cast(column.type)
            if column.name in rows.column_names
            else pa.nulls(len(rows), column.type)
        )
        for column in target
    ]
    return pa.table(columns, schema=target)

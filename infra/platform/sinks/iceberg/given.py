"""Checks whether a table of the user's own can take these events, before the first one.

Such a table is not changed: the sink adds no column and widens none.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform, VoidTransform

from infra.platform.process.error import RefusedError, TableRefusedError
from infra.platform.sinks.iceberg.cast import have_same_meaning

#: The package that PyIceberg needs for partitions other than a column's own value.
_CORE = "pyiceberg_core"


def check_given(table: Table, name: str, events: Any) -> None:
    """Raise TableRefusedError that says for every column why the table cannot take events of this
    schema.
    """
    reasons = [*_about_partitions(table), *_about_columns(table, events)]
    if reasons:
        raise TableRefusedError(
            f"table {name} cannot take these events: {'; '.join(reasons)}; alter it, or name"
            " another table"
        )


def _about_partitions(table: Table) -> Iterator[str]:
    if find_spec(_CORE) is not None:
        return
    for field in table.spec().fields:
        if not isinstance(field.transform, IdentityTransform | VoidTransform):
            column = table.schema().find_column_name(field.source_id)
            yield (
                f"it is partitioned by {field.transform} of {column}, which PyIceberg writes only"
                " where pyiceberg-core is installed"
            )


def _about_columns(table: Table, events: Any) -> Iterator[str]:
    known = {field.name: field for field in table.schema().fields}
    types = {field.name: field.type for field in table.schema().as_arrow()}
    for column in events:
        if column.name not in known:
            yield f"it has no column {column.name}"
        elif not have_same_meaning(column.type, types[column.name]):
            kind = known[column.name].field_type
            yield f"column {column.name} is {kind}, which does not hold {column.type}"
    names = set(events.names)
    for name, field in known.items():
        if field.required and name not in names:
            yield f"column {name} may not be NULL, and the events lack it"


def check_required(table: Table, rows: Any) -> None:
    """Raise RefusedError if a row has no value for a column that may not be NULL."""
    for field in table.schema().fields:
        if not field.required or field.name not in rows.schema.names:
            continue
        if rows.column(field.name).null_count:
            raise RefusedError(
                f"column {field.name!r} of the Iceberg table may not be NULL, and an event has"
                " nothing for it"
            )

"""Columns of events and of tables, for tests of what goes into what."""

from __future__ import annotations

from infra.avro.kind import Column, ColumnKind
from infra.platform.sinks.postgres.catalogue import SinkColumn


def column(kind: ColumnKind, precision: int | None = None, scale: int = 0) -> Column:
    """A column of events that may be NULL."""
    return Column("v", kind, True, precision, scale)


def numeric(precision: int, scale: int) -> SinkColumn:
    """A table's numeric with a limit."""
    modifier = (precision << 16 | scale & 0x7FF) + 4
    return SinkColumn("v", f"numeric({precision},{scale})", "numeric", modifier)


def plain(name: str, modifier: int = -1) -> SinkColumn:
    """A table's column of a type that is named as its base is."""
    return SinkColumn("v", name, name, modifier)

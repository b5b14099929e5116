"""The types of a table of the sink's own: the source's types, and their changes when those
widen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infra.avro.kind import Column, ColumnKind
from infra.platform.sinks.postgres.catalogue import SinkColumn
from infra.platform.sinks.postgres.conversion import BY_CALENDAR, BY_CLOCK, INSTANTS, fits
from infra.platform.sinks.postgres.plan import VERSION

#: The source types that a table of the sink's own adopts if the events' schema names them, by the
#: kind of their values. Texts of ranges with time zones (tstzrange) depend on both servers'
#: settings, so they stay text. Debezium does not send the leading zeros of a varying bit string.
_SOURCE_TYPES: Mapping[ColumnKind, frozenset[str]] = {
    ColumnKind.BOOLEAN: frozenset({"bit"}),
    ColumnKind.BYTES: frozenset({"bit"}),
    ColumnKind.DECIMAL: frozenset({"money"}),
    ColumnKind.JSON: frozenset({"jsonb"}),
    ColumnKind.TEXT: frozenset(
        {"bpchar", "inet", "cidr", "macaddr", "macaddr8", "int4range", "int8range", "numrange"}
        | {"tsrange", "daterange", "tsvector"}
    ),
}
_WITH_LENGTH = frozenset({"bit", "bpchar"})


def own_type(column: Column) -> str:
    """The type of the column in a table that the sink creates: the source's own type if the schema
    names it and every value can be proved, else a type that holds such values.
    """
    if (kind := _source_type(column)) is not None:
        return kind
    if column.item is not None and column.item.kind is not ColumnKind.OTHER:
        return f"{own_type(column.item)}[]"
    limited = column.kind is ColumnKind.DECIMAL and column.precision is not None
    if limited and 0 <= column.scale <= (column.precision or 0) <= 1000:
        return f"numeric({column.precision},{column.scale})"
    if column.kind is ColumnKind.OTHER and column.record == "Point":
        return "point"
    return SQL_TYPES[column.kind]


def _source_type(column: Column) -> str | None:
    """The source's type, if the events' kind does not identify it."""
    source = column.source
    if source is None or source.name not in _SOURCE_TYPES.get(column.kind, ()):
        return None
    if source.name not in _WITH_LENGTH:
        return source.name
    # A bit string whose length differs from the events' is not the source's type.
    if source.length is None or column.bits not in (None, source.length):
        return None
    return f"{source.name}({source.length})"


#: The types of columns in a table that the sink creates. Events do not distinguish the source's
#: `json` and `jsonb`, and only `json` keeps the text of both.
SQL_TYPES: Mapping[ColumnKind, str] = {
    ColumnKind.BOOLEAN: "boolean",
    ColumnKind.INT16: "smallint",
    ColumnKind.INT32: "integer",
    ColumnKind.INT64: "bigint",
    ColumnKind.FLOAT32: "real",
    ColumnKind.FLOAT64: "double precision",
    ColumnKind.TEXT: "text",
    ColumnKind.UUID: "uuid",
    ColumnKind.JSON: "json",
    ColumnKind.BYTES: "bytea",
    ColumnKind.DECIMAL: "numeric",
    ColumnKind.VARIABLE_DECIMAL: "numeric",
    ColumnKind.DATE: "date",
    **dict.fromkeys(BY_CLOCK, "time without time zone"),
    **dict.fromkeys(BY_CALENDAR, "timestamp without time zone"),
    **dict.fromkeys(INSTANTS, "timestamp with time zone"),
    ColumnKind.ZONED_TIME: "time with time zone",
    ColumnKind.DURATION_US: "interval",
    ColumnKind.INTERVAL: "interval",
    ColumnKind.OTHER: "jsonb",
}
#: From a type to the types that it may become in a table of the sink's own: by PostgreSQL's own
#: cast, which the source's ALTER TABLE used too, and which depends on no setting.
_FOLLOWED: Mapping[str, frozenset[str]] = {
    "smallint": frozenset({"integer", "bigint", "real", "double precision", "numeric", "text"}),
    "integer": frozenset({"bigint", "double precision", "numeric", "text"}),
    "bigint": frozenset({"numeric", "double precision", "text"}),
    "numeric": frozenset({"numeric", "text"}),
    "real": frozenset({"double precision", "text"}),
    "double precision": frozenset({"text"}),
    "boolean": frozenset({"text"}),
    "uuid": frozenset({"text"}),
    "date": frozenset({"timestamp without time zone", "text"}),
    "timestamp without time zone": frozenset({"text"}),
    "bpchar": frozenset({"bpchar", "text"}),
    "money": frozenset({"numeric", "text"}),
    "jsonb": frozenset({"json", "text"}),
    "cidr": frozenset({"inet", "text"}),
    **dict.fromkeys(_SOURCE_TYPES[ColumnKind.TEXT] - {"bpchar", "cidr"}, frozenset({"text"})),
}


def followed_type(column: Column, target: SinkColumn) -> str | None:
    """The type that a column of the sink's own table must get for these events; None if its type is
    right already, or if no cast leads to the source's present type.
    """
    if column.item is not None and target.item is not None:
        item = followed_type(column.item, _item(target))
        return f"{item}[]" if item else None
    wanted = own_type(column)
    base = wanted.partition("(")[0]
    if base not in _FOLLOWED.get(target.base, ()):
        return None
    if target.base == "numeric" == base:
        return _wider_numeric(column, target, wanted)
    if target.base == "bpchar" == base:
        assert column.source is not None, "only the schema tells of a char(n)"
        return wanted if (column.source.length or 0) > target.modifier - 4 else None
    return wanted


def _item(target: SinkColumn) -> SinkColumn:
    """The items of an array column of the table; the limit is the array's."""
    kind = target.item or ""
    return SinkColumn(target.name, kind, kind, target.modifier)


def _wider_numeric(column: Column, target: SinkColumn, wanted: str) -> str | None:
    """The wider numeric: as many digits before and after the point as either type has."""
    if target.modifier < 0 or fits(column, target.digits):
        return None
    if wanted == "numeric":
        return wanted
    precision, scale = target.digits
    wider = max(scale, column.scale)
    before = max(precision - scale, (column.precision or 0) - column.scale)
    return f"numeric({before + wider},{wider})" if before + wider <= 1000 else "numeric"


_WHOLE = frozenset({"smallint", "integer", "bigint"})
_BROKEN = frozenset({"numeric", "real", "double precision"})
#: From a type to the types to which the source's ALTER TABLE changes existing values.
_NARROWED: Mapping[str, frozenset[str]] = {
    "numeric": _WHOLE | {"real", "double precision"},
    "real": _WHOLE | {"numeric"},
    "double precision": _WHOLE | {"real", "numeric"},
    "timestamp without time zone": frozenset({"date"}),
    "text": _WHOLE | _BROKEN | {"boolean", "date", "uuid", "timestamp without time zone"},
}


def is_narrowed(column: Column, target: SinkColumn) -> bool:
    """Whether the source's column can no longer hold everything that the sink's own column may
    hold: the source's ALTER TABLE has then rounded or cut rows, and no event reports that.
    """
    if column.item is not None and target.item is not None:
        return is_narrowed(column.item, _item(target))
    wanted = own_type(column)
    base = wanted.partition("(")[0]
    if target.base == "numeric" == base:
        limited = target.modifier >= 0
        return wanted != base and (not limited or column.scale < target.digits[1])
    return base in _NARROWED.get(target.base, ())


def may_be_renamed(
    columns: Sequence[Column], target: Mapping[str, SinkColumn]
) -> tuple[tuple[str, str], ...]:
    """Columns of the table that the events lack, each with a new column of its type. The new one
    may be the old one under another name; its rows then have values that no event reports.

    A column that was left behind earlier was dropped, since nothing was new then.
    """
    left = [there for there in _lacking(columns, target) if not there.is_left_behind]
    new = [column for column in columns if column.name not in target]
    return tuple(
        (there.name, column.name)
        for there in left
        for column in new
        if own_type(column).partition("(")[0] == there.base.strip('"')
    )


def dropped(
    columns: Sequence[Column], target: Mapping[str, SinkColumn]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns of the table that the source has dropped since they were looked at, and those that it
    has again.

    If the events have a new column, too, none was dropped for sure: see `may_be_renamed`.
    """
    lacking = _lacking(columns, target)
    is_new = any(column.name not in target for column in columns)
    gone = [one.name for one in lacking if one.comment is None and not is_new]
    there = {one.name for one in target.values() if one.is_left_behind}
    return tuple(gone), tuple(sorted(there - {one.name for one in lacking}))


def _lacking(columns: Sequence[Column], target: Mapping[str, SinkColumn]) -> list[SinkColumn]:
    """Columns of the table that the events lack."""
    names = {column.name for column in columns} | {VERSION}
    return [there for name, there in target.items() if name not in names]

"""From a column's type to its value plan: how values are made, and how the checksum reads them.
Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from cdc_users.users.workload.table.check import Demand
from cdc_users.users.workload.table.plan import ValuePlan
from cdc_users.users.workload.table.value import USUAL_MOST, unit_of
from infra.avro.kind import ColumnKind
from infra.postgres.catalog import CatalogType

#: Digits after the point for a numeric without a scale.
USUAL_SCALE = 2
MICROSECONDS = 6
#: Debezium writes times with up to this many digits in milliseconds (its `adaptive` mode).
MILLISECONDS = 3


class UnknownTypeError(ValueError):
    """A type whose values cannot be made."""


def value_plan(found: CatalogType) -> ValuePlan:
    """How values of a type are made; raises UnknownTypeError."""
    if found.labels:
        return ValuePlan(maker="text", kind=ColumnKind.TEXT, labels=found.labels)
    if found.item is not None:
        return _array(found.item)
    make = _TYPES.get(found.name)
    if make is None:
        raise UnknownTypeError(found.name)
    return make(found)


def _array(item: CatalogType) -> ValuePlan:
    made = value_plan(item)
    if made.maker in ("bits", "money", "xml", "point", "range", "array", "bytes", "json"):
        raise UnknownTypeError(f"{item.name}[]")
    # Items of other types are texts in one format and numbers in another, and drivers do not split
    # arrays of enums.
    kind = ColumnKind.OTHER if made.maker == "text" and not made.labels else ""
    return ValuePlan(maker="array", kind=kind, item=made)


def _plain(maker: str, kind: ColumnKind | None) -> Callable[[CatalogType], ValuePlan]:
    return lambda _: ValuePlan(maker=maker, kind="" if kind is None else kind)


def _integer(kind: ColumnKind, high: int) -> Callable[[CatalogType], ValuePlan]:
    return lambda _: ValuePlan(maker="integer", kind=kind, high=high)


def _numeric(found: CatalogType) -> ValuePlan:
    precision, scale = (*found.modifiers, 0)[:2] if found.modifiers else (None, USUAL_SCALE)
    if precision is not None and not 0 <= scale <= precision:
        raise UnknownTypeError(f"numeric({precision},{scale})")
    high = None if precision is None else 10**precision - 1
    return ValuePlan(maker="numeric", kind=ColumnKind.DECIMAL, high=high, scale=scale)


def _text(found: CatalogType) -> ValuePlan:
    return ValuePlan(maker="text", kind=ColumnKind.TEXT, high=next(iter(found.modifiers), None))


def _char(found: CatalogType) -> ValuePlan:
    return ValuePlan(maker="char", kind=ColumnKind.TEXT, high=next(iter(found.modifiers), 1))


def _clock(maker: str, fine: ColumnKind, coarse: ColumnKind) -> Callable[[CatalogType], ValuePlan]:
    def make(found: CatalogType) -> ValuePlan:
        digits = next(iter(found.modifiers), MICROSECONDS)
        return ValuePlan(maker=maker, kind=fine if digits > MILLISECONDS else coarse, scale=digits)

    return make


def _bits(found: CatalogType) -> ValuePlan:
    return ValuePlan(maker="bits", high=next(iter(found.modifiers), 1))


def _range(maker: str) -> Callable[[CatalogType], ValuePlan]:
    return lambda _: ValuePlan(maker="range", item=ValuePlan(maker=maker))


_TYPES: Mapping[str, Callable[[CatalogType], ValuePlan]] = {
    "smallint": _integer(ColumnKind.INT16, 2**15 - 1),
    "integer": _integer(ColumnKind.INT32, 2**31 - 1),
    "bigint": _integer(ColumnKind.INT64, 2**63 - 1),
    "numeric": _numeric,
    "real": _plain("float", ColumnKind.FLOAT32),
    "double precision": _plain("float", ColumnKind.FLOAT64),
    "text": _text,
    "citext": _text,
    "character varying": _text,
    "character": _char,
    "name": lambda _: ValuePlan(maker="text", kind=ColumnKind.TEXT, high=60),
    "boolean": _plain("boolean", ColumnKind.BOOLEAN),
    "bytea": _plain("bytes", ColumnKind.BYTES),
    "date": _plain("date", ColumnKind.DATE),
    "time without time zone": _clock("time", ColumnKind.TIME_US, ColumnKind.TIME_MS),
    "time with time zone": _clock("timetz", ColumnKind.ZONED_TIME, ColumnKind.ZONED_TIME),
    "timestamp without time zone": _clock(
        "timestamp", ColumnKind.TIMESTAMP_US, ColumnKind.TIMESTAMP_MS
    ),
    "timestamp with time zone": _clock(
        "timestamptz", ColumnKind.ZONED_TIMESTAMP, ColumnKind.ZONED_TIMESTAMP
    ),
    "interval": _plain("interval", ColumnKind.DURATION_US),
    "uuid": _plain("uuid", ColumnKind.UUID),
    "json": _plain("json", ColumnKind.JSON),
    "jsonb": _plain("json", ColumnKind.JSON),
    "inet": _plain("inet", ColumnKind.TEXT),
    "cidr": _plain("cidr", ColumnKind.TEXT),
    "macaddr": _plain("macaddr", ColumnKind.TEXT),
    "bit": _bits,
    "bit varying": _bits,
    "money": _plain("money", None),
    "xml": _plain("xml", None),
    "point": _plain("point", None),
    "int4range": _range("integer"),
    "int8range": _range("integer"),
    "numrange": _range("numeric"),
    "daterange": _range("date"),
    "tsrange": _range("timestamp"),
    "tstzrange": _range("timestamp"),
}


def bounded(plan: ValuePlan, demand: Demand) -> ValuePlan:
    """The plan within additional bounds."""
    unit = unit_of(plan)
    low, high = demand.least(unit), demand.most(unit)
    if low is None and plan.low is None and plan.high is not None and plan.maker != "text":
        low = _least(plan.high, plan.high if high is None else high, unit)
    if low is not None:
        plan = replace(plan, low=low if plan.low is None else max(plan.low, low))
    if high is not None:
        plan = replace(plan, high=high if plan.high is None else min(plan.high, high))
    return plan


def _least(room: int, high: int, unit: int) -> int | None:
    """Where numbers below nought begin: not below what the type holds, which reaches as far down
    as up. None where they need not be below nought.
    """
    return None if high >= 0 else max(-room, high - USUAL_MOST * unit)

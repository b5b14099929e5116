"""How a column of events becomes a column of the target, and the proof that nothing is lost.

A cast is no check: PostgreSQL silently rounds 1.2345 to numeric(10,2), and cuts a timestamp to a
date and a text to varchar(3). So each pair of a kind of column and a type is one of these:

- exact: the server takes the text unchanged or refuses it with an error;
- proved: a condition on each value says whether the target holds it as it was sent;
- impossible: reported before the first event.

Types are named as PostgreSQL's `format_type` names them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from infra.avro.kind import Column, ColumnKind
from infra.platform.sinks.nested import array_literal, bytea_text, hstore_literal, nested
from infra.platform.sinks.postgres.catalogue import SinkColumn

#: Stands for the incoming text.
SOURCE = "\0"
#: The longest bit string of PostgreSQL (its source, MaxAttrSize).
_MOST_BITS = 83_886_080

_SMALL, _INTEGER, _BIG = "smallint", "integer", "bigint"
_REAL, _DOUBLE, _NUMERIC = "real", "double precision", "numeric"
_TEXT, _VARCHAR, _CHAR = "text", "character varying", "bpchar"
_DATE, _JSON, _JSONB, _INTERVAL = "date", "json", "jsonb", "interval"
_TIMESTAMP, _INSTANT = "timestamp without time zone", "timestamp with time zone"
_TIME, _ZONED_TIME = "time without time zone", "time with time zone"
_ANY_TEXT = frozenset({_TEXT, _VARCHAR, "citext"})

#: Kinds of times, moments without a zone, and moments.
BY_CLOCK = (ColumnKind.TIME_MS, ColumnKind.TIME_US, ColumnKind.TIME_NS)
BY_CALENDAR = (ColumnKind.TIMESTAMP_MS, ColumnKind.TIMESTAMP_US, ColumnKind.TIMESTAMP_NS)
INSTANTS = (ColumnKind.INSTANT_MS, ColumnKind.INSTANT_US, ColumnKind.ZONED_TIMESTAMP)

_EXACT: Mapping[ColumnKind, frozenset[str]] = {
    ColumnKind.BOOLEAN: frozenset({"boolean"}),
    ColumnKind.INT16: frozenset({_SMALL, _INTEGER, _BIG, _NUMERIC, _REAL, _DOUBLE, "oid"}),
    ColumnKind.INT32: frozenset({_SMALL, _INTEGER, _BIG, _NUMERIC, _DOUBLE, "oid"}),
    ColumnKind.INT64: frozenset({_SMALL, _INTEGER, _BIG, _NUMERIC, "oid"}),
    ColumnKind.FLOAT32: frozenset({_REAL, _DOUBLE, _NUMERIC}),
    ColumnKind.FLOAT64: frozenset({_DOUBLE, _NUMERIC}),
    ColumnKind.TEXT: frozenset({_CHAR}),
    ColumnKind.UUID: frozenset({"uuid"}),
    ColumnKind.JSON: frozenset({_JSON}),
    ColumnKind.BYTES: frozenset({"bytea"}),
    ColumnKind.DECIMAL: frozenset({_NUMERIC}),
    ColumnKind.VARIABLE_DECIMAL: frozenset({_NUMERIC}),
    ColumnKind.DATE: frozenset({_DATE, _TIMESTAMP}),
    **dict.fromkeys(BY_CLOCK, frozenset({_TIME})),
    **dict.fromkeys(BY_CALENDAR, frozenset({_TIMESTAMP})),
    **dict.fromkeys(INSTANTS, frozenset({_INSTANT})),
    ColumnKind.ZONED_TIME: frozenset({_ZONED_TIME}),
    ColumnKind.DURATION_US: frozenset({_INTERVAL}),
    ColumnKind.INTERVAL: frozenset({_INTERVAL}),
}
_AS_DOUBLE = f"{SOURCE}::double precision::text::numeric = {SOURCE}::numeric"
_AS_DATE = f"{SOURCE}::timestamp = {SOURCE}::date::timestamp"
#: Proofs for values that PostgreSQL writes in another text than the source.
_PROOFS: Mapping[tuple[ColumnKind, str], str] = {
    (ColumnKind.INT64, _DOUBLE): _AS_DOUBLE,
    (ColumnKind.DECIMAL, _DOUBLE): _AS_DOUBLE,
    (ColumnKind.VARIABLE_DECIMAL, _DOUBLE): _AS_DOUBLE,
    (ColumnKind.FLOAT64, _REAL): f"{SOURCE}::real::double precision = {SOURCE}::double precision",
    (ColumnKind.DECIMAL, "money"): f"{SOURCE}::numeric::money::numeric = {SOURCE}::numeric",
    **{(kind, _DATE): _AS_DATE for kind in BY_CALENDAR},
}
#: Kinds whose values are texts already, so that their arrays can be compared as texts.
_IN_TEXT = frozenset({ColumnKind.TEXT, ColumnKind.JSON, ColumnKind.UUID})
#: Kinds whose text form is PostgreSQL's own, not the source's.
_NOT_AS_TEXT = frozenset({ColumnKind.BOOLEAN, ColumnKind.BYTES, ColumnKind.DURATION_US})
_NUMERIC_KINDS = frozenset(
    {
        ColumnKind.INT16,
        ColumnKind.INT32,
        ColumnKind.INT64,
        ColumnKind.FLOAT32,
        ColumnKind.FLOAT64,
        ColumnKind.DECIMAL,
        ColumnKind.VARIABLE_DECIMAL,
    }
)
_NUMERIC_TYPES = frozenset({_SMALL, _INTEGER, _BIG, _REAL, _DOUBLE, _NUMERIC, "money", "oid"})


@dataclass(frozen=True, slots=True)
class Conversion:
    """SQL over the incoming text: the value, and a condition that it equals the sent value.

    `make` writes that text from Python's value if the text on the wire is not suitable.
    """

    value: str
    proof: str | None = None
    make: Callable[[Any], str] | None = None


def conversion(column: Column, target: SinkColumn) -> Conversion | None:
    """The way to write the column; None if no way could be proved."""
    if column.kind is ColumnKind.OTHER:
        return _of_nested(column, target)
    if column.bits is not None:
        return _of_bits(column.bits, target)
    if target.base.rpartition(".")[2] == "hstore":
        return _of_hstore(column, target)
    if column.kind is ColumnKind.BOOLEAN and target.base == '"bit"':
        return _of_bit(target)
    return _plain(column, target)


def _plain(column: Column, target: SinkColumn) -> Conversion | None:
    proof = _PROOFS.get((column.kind, target.base))
    if proof is None and not _is_exact(column, target):
        if not _may_be_proved(column, target):
            return None
        # The text that the type writes; its cast to text may differ (inet's adds the mask).
        proof = f"concat({SOURCE}::{target.base}) = {SOURCE}"
    value = f"{SOURCE}::{target.type}"
    if (column.kind, target.base) == (ColumnKind.DECIMAL, "money"):
        value = f"{SOURCE}::numeric::money"
    elif _hides_a_negative_scale(column):
        value = f"trim_scale({SOURCE}::numeric)::{target.type}"
    proofs = [part for part in (proof, _proof_of_length(column, target)) if part]
    return Conversion(value, " AND ".join(proofs) or None)


def _is_exact(column: Column, target: SinkColumn) -> bool:
    if target.is_enum:
        return column.kind is ColumnKind.TEXT and target.item is None
    in_text = target.base in _ANY_TEXT and column.kind not in _NOT_AS_TEXT
    return in_text or target.base in _EXACT[column.kind]


def _may_be_proved(column: Column, target: SinkColumn) -> bool:
    """Whether the type could hold such values, so that each value is checked.

    Timestamps are excluded: they would need a time zone that the source did not send, or would lose
    their own.
    """
    if column.kind is ColumnKind.TEXT:
        return target.base != "bytea" and target.item is None and not target.is_enum
    if column.kind is ColumnKind.JSON:
        return target.base == _JSONB
    return column.kind in _NUMERIC_KINDS and target.base in _NUMERIC_TYPES


def _proof_of_length(column: Column, target: SinkColumn) -> str | None:
    """The proof that a limit of digits, fractions or characters changes nothing."""
    if target.modifier < 0:
        return None
    if target.base == _NUMERIC and fits(column, target.digits):
        return None
    if target.base in (_VARCHAR, _CHAR):
        sign = "=" if target.base == _CHAR else "<="
        return f"char_length({SOURCE}) {sign} {target.modifier - 4}"
    # The same type without its limit; this is the simplest way to compare arrays.
    same = "IS NOT DISTINCT FROM" if target.item is not None else "="
    return f"{SOURCE}::{target.type}::{target.base} {same} {SOURCE}::{target.base}"


def fits(column: Column, digits: tuple[int, int]) -> bool:
    """Whether all values of the source's decimal or integer fit this precision and scale."""
    precision, scale = digits
    if column.kind is not ColumnKind.DECIMAL or column.precision is None:
        return False
    return column.scale <= scale and column.precision - column.scale <= precision - scale


def _hides_a_negative_scale(column: Column) -> bool:
    """Debezium 3.6 reads the eleven bits of numeric(5,-2)'s scale as 2046."""
    return column.kind is ColumnKind.DECIMAL and column.scale > 1000


def _of_bit(target: SinkColumn) -> Conversion | None:
    if target.modifier != 1:
        return None
    return Conversion(f"(CASE {SOURCE} WHEN 't' THEN '1' WHEN 'f' THEN '0' END)::{target.type}")


def _of_bits(length: int, target: SinkColumn) -> Conversion | None:
    """Debezium sends a bit string as a number, so the number of its leading zeros is unknown. That
    does no harm if all have one length; of varying strings, only those that begin with a one at
    full length are known. A table of the sink's own keeps the bytes, because the sink cannot know
    the length.
    """
    if target.base == "bytea":
        return Conversion(f"{SOURCE}::{target.type}")
    if length > _MOST_BITS:
        return None

    def make(octets: bytes) -> str:
        return f"{int.from_bytes(octets, 'little'):0{length}b}"

    if target.base == '"bit"' and target.modifier == length:
        return Conversion(f"{SOURCE}::{target.type}", make=make)
    if target.base == "bit varying":
        proof = f"left({SOURCE}, 1) = '1' AND {SOURCE}::{target.type}::text = {SOURCE}"
        return Conversion(f"{SOURCE}::{target.type}", proof, make)
    return None


def _of_hstore(column: Column, target: SinkColumn) -> Conversion | None:
    value = f"{SOURCE}::{target.type}"
    if column.kind is ColumnKind.JSON:
        return Conversion(value, make=lambda text: hstore_literal(json.loads(text)))
    if column.record == "map":
        return Conversion(value, make=hstore_literal)
    return None


def _of_nested(column: Column, target: SinkColumn) -> Conversion | None:
    value = f"{SOURCE}::{target.type}"
    if target.base in (_JSON, _JSONB, _TEXT):
        return Conversion(value, make=json_text)
    if target.base == "point" and column.record == "Point":
        return Conversion(value, make=lambda point: f"({point['x']!r},{point['y']!r})")
    if target.base.rpartition(".")[2] == "hstore":
        return _of_hstore(column, target)
    if target.item is None or column.item is None:
        return None
    item = conversion(column.item, SinkColumn("", target.item, target.item, is_enum=target.is_enum))
    if item is None or (item.proof is not None and column.item.kind not in _IN_TEXT):
        return None
    if item.proof is not None:
        same = f"{SOURCE}::{target.base}::text[] IS NOT DISTINCT FROM {SOURCE}::text[]"
        return Conversion(value, same, make=_array_maker(column.item, item))
    limited = target.modifier >= 0 and not (
        target.base == f"{_NUMERIC}[]" and fits(column.item, target.digits)
    )
    proof = _proof_of_length(column, target) if limited else None
    return Conversion(value, proof, make=_array_maker(column.item, item))


def _array_maker(column: Column, item: Conversion) -> Callable[[Any], str]:
    leaf = item.make
    if column.kind is ColumnKind.DURATION_US:
        leaf = _duration
    return lambda value: array_literal(value, leaf)


def _duration(us: int) -> str:
    return f"{us} microseconds"


def json_text(value: Any) -> str:
    """An array, a map or a record as JSON."""
    return json.dumps(nested(value, bytea_text))

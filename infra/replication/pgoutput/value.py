"""Turns a value that Postgres sends, as text or in binary form, into a Python value; both forms
give equal values.

| type | Python |
|---|---|
| int2, int4, int8, oid | int |
| float4, float8 | float |
| numeric | Decimal, of the same scale; also NaN and the infinities |
| bool | bool |
| text, varchar, char, name, xml, enums | str |
| bytea | bytes |
| json, jsonb | what `json.loads` gives |
| uuid | UUID |
| date, time, timetz, timestamp, timestamptz | of `datetime`, in UTC; or Beyond |
| infinity of date, timestamp, timestamptz | float, math.inf or -math.inf |
| arrays | list, nested where there are several dimensions; the lower bounds are dropped |
| ranges | RangeValue |
| domains | what their base type gives |

Values of other types stay as sent: str or bytes. Text is read as Postgres writes it with the
settings of SESSION, so a connection that asks for text must set these. PostgreSQL documentation,
"Data Types"; for the binary forms see the `*send` functions of src/backend/utils/adt.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal
from typing import Any
from uuid import UUID

from infra.replication.pgoutput import array_text, date_time, scalar
from infra.replication.pgoutput.event import Type

#: The settings that a connection needs so that the server writes text in the form that is read
#: here.
SESSION: Mapping[str, str] = {
    "client_encoding": "UTF8",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "3",
    "bytea_output": "hex",
}
#: The rows for ValueKinds.learn_catalogue: a type's OID, its kind, and the OID of its base, element
#: or subtype.
CATALOGUE = """
SELECT t.oid::int8,
       CASE WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN 'a' ELSE t.typtype::text END,
       coalesce(nullif(t.typbasetype, 0), r.rngsubtype, nullif(t.typelem, 0), 0)::int8
FROM pg_type t LEFT JOIN pg_range r ON r.rngtypid = t.oid
WHERE t.typtype IN ('e', 'd', 'r') OR (t.typcategory = 'A' AND t.typelem <> 0)"""


@dataclass(frozen=True, slots=True)
class RangeValue:
    """A range; a bound of None is infinite. The empty range has no bounds, and only it is
    `empty`.
    """

    lower: Any = None
    upper: Any = None
    lower_included: bool = False
    upper_included: bool = False
    empty: bool = False


@dataclass(frozen=True, slots=True)
class ValueKind:
    """How values of one type are read.

    `text` is None if the text itself is the value. Both functions raise ValueError or
    ArithmeticError.
    """

    text: Callable[[str], Any] | None
    binary: Callable[[bytes], Any]


def _uuid(value: bytes) -> UUID:
    return UUID(bytes=value)


TEXT = ValueKind(None, scalar.string)
UNKNOWN = ValueKind(None, bytes)

_SCALARS: Mapping[str, tuple[int, ValueKind]] = {
    "bool": (16, ValueKind(scalar.truth, scalar.truth_binary)),
    "bytea": (17, ValueKind(scalar.bytea, bytes)),
    "char": (18, TEXT),
    "name": (19, TEXT),
    "int8": (20, ValueKind(int, scalar.integer(8))),
    "int2": (21, ValueKind(int, scalar.integer(2))),
    "int4": (23, ValueKind(int, scalar.integer(4))),
    "text": (25, TEXT),
    "oid": (26, ValueKind(int, scalar.unpacker(">I"))),
    "json": (114, ValueKind(scalar.json_value, scalar.json_value)),
    "xml": (142, TEXT),
    "float4": (700, ValueKind(float, scalar.single)),
    "float8": (701, ValueKind(float, scalar.unpacker(">d"))),
    "bpchar": (1042, TEXT),
    "varchar": (1043, TEXT),
    "date": (1082, ValueKind(date_time.date_of, date_time.date_binary)),
    "time": (1083, ValueKind(date_time.time_of, date_time.time_binary)),
    "timestamp": (1114, ValueKind(date_time.timestamp_of, date_time.timestamp_binary(None))),
    "timestamptz": (1184, ValueKind(date_time.timestamptz_of, date_time.timestamp_binary(UTC))),
    "timetz": (1266, ValueKind(date_time.timetz_of, date_time.timetz_binary)),
    "numeric": (1700, ValueKind(Decimal, scalar.numeric)),
    "uuid": (2950, ValueKind(UUID, _uuid)),
    "jsonb": (3802, ValueKind(scalar.json_value, scalar.jsonb_value)),
}
#: The built-in array types, by their elements' names.
_ARRAYS = {
    "bool": 1000, "bytea": 1001, "char": 1002, "name": 1003, "int2": 1005, "int4": 1007,
    "text": 1009, "bpchar": 1014, "varchar": 1015, "int8": 1016, "float4": 1021, "float8": 1022,
    "oid": 1028, "timestamp": 1115, "date": 1182, "time": 1183, "timestamptz": 1185,
    "numeric": 1231, "timetz": 1270, "xml": 143, "json": 199, "uuid": 2951, "jsonb": 3807,
}  # fmt: skip
_RANGES = {
    "int4": 3904,
    "numeric": 3906,
    "timestamp": 3908,
    "timestamptz": 3910,
    "date": 3912,
    "int8": 3926,
}


class ValueKinds:
    """The known types by OID; built-in types are known from the start.

    The stream itself names the built-in type of a domain (`learn`). Enums, the user's own ranges,
    and arrays of such types are known only from the catalogue (`learn_catalogue` with the rows of
    CATALOGUE). In text form an enum needs neither.
    """

    def __init__(self) -> None:
        # Arrays and ranges look up their elements' kind when they read, because `learn` may have
        # replaced it by then.
        self._kinds = dict(_SCALARS.values())
        for name, oid in _ARRAYS.items():
            self._kinds[oid] = self._array(_SCALARS[name][0])
        for name, oid in _RANGES.items():
            self._kinds[oid] = self._range(_SCALARS[name][0])

    def kind(self, oid: int) -> ValueKind:
        """How values of this type are read."""
        return self._kinds.get(oid, UNKNOWN)

    def learn(self, described: Type) -> None:
        """Learn a type from the stream: for a domain, Postgres sends the name of its base type."""
        if described.schema in ("", "pg_catalog") and described.name in _SCALARS:
            self._kinds.setdefault(described.oid, _SCALARS[described.name][1])

    def learn_catalogue(self, rows: Iterable[tuple[int, str, int]]) -> None:
        """Learn rows of CATALOGUE: enums, domains, ranges and arrays, each with the type that it
        consists of.
        """
        makers = {"e": lambda _: TEXT, "d": self._domain, "r": self._range, "a": self._array}
        for oid, kind, of in rows:
            if oid not in self._kinds:
                self._kinds[oid] = makers[kind](of)

    def _domain(self, base: int) -> ValueKind:
        # Looked up when a value is read, because the base may be learnt later.
        return ValueKind(
            lambda text: self._text(base, text), lambda value: self.kind(base).binary(value)
        )

    def _text(self, oid: int, text: str) -> Any:
        convert = self.kind(oid).text
        return text if convert is None else convert(text)

    def _array(self, element: int) -> ValueKind:
        def from_text(text: str) -> Any:
            return array_text.read_array(text, lambda item: self._text(element, item))

        return ValueKind(from_text, self._array_binary)

    def _array_binary(self, value: bytes) -> Any:
        """array_send: dimensions, whether there are NULLs, the elements' type, then each
        dimension's size and bound.
        """
        if len(value) < 12:
            raise ValueError(f"{len(value)} bytes are no array")
        dimensions, _, element = struct.unpack_from(">iiI", value)
        if not 0 <= dimensions <= 6 or len(value) < 12 + 8 * dimensions:
            raise ValueError(f"an array of {dimensions} dimensions in {len(value)} bytes")
        sizes = [
            struct.unpack_from(">i", value, 12 + 8 * number)[0] for number in range(dimensions)
        ]
        items, end = self._items(
            value, 12 + 8 * dimensions, math.prod(sizes) if sizes else 0, element
        )
        if end != len(value):
            raise ValueError(f"{len(value) - end} bytes follow the array")
        for size in reversed(sizes[1:]):
            # From the innermost dimension outwards; the outermost one is what remains, without a
            # cut.
            items = [items[at : at + size] for at in range(0, len(items), size)]
        return items

    def _items(
        self, value: bytes, position: int, count: int, element: int
    ) -> tuple[list[Any], int]:
        # Each element has a length of four bytes at least, so an impossible count is refused before
        # memory is allocated for it.
        if not 0 <= 4 * count <= len(value):
            raise ValueError(f"an array of {count} elements in {len(value)} bytes")
        items: list[Any] = []
        for _ in range(count):
            item, position = self._sized(value, position, element)
            items.append(item)
        return items, position

    def _sized(self, value: bytes, position: int, oid: int) -> tuple[Any, int]:
        """A value behind its length of four bytes, which is -1 for NULL; and the position behind
        it.
        """
        first = position + 4
        size = int.from_bytes(value[position:first], "big", signed=True)
        if first > len(value) or size < -1 or first + size > len(value):
            raise ValueError("the value ends in the middle of an element")
        if size < 0:
            return None, first
        return self.kind(oid).binary(value[first : first + size]), first + size

    def _range(self, subtype: int) -> ValueKind:
        def from_text(text: str) -> RangeValue:
            parts = array_text.read_range(text)
            if parts is None:
                return RangeValue(empty=True)
            lower, upper = (None if part is None else self._text(subtype, part) for part in parts)
            return RangeValue(
                lower,
                upper,
                text[0] == "[" and lower is not None,
                text[-1] == "]" and upper is not None,
            )

        return ValueKind(from_text, lambda value: self._range_binary(value, subtype))

    def _range_binary(self, value: bytes, subtype: int) -> RangeValue:
        """A range from range_send: flags (1 empty, 2 and 4 inclusive, 8 and 16 infinite), then the
        bounds that exist.
        """
        if not value:
            raise ValueError("no bytes are no range")
        flags, position = value[0], 1
        lower = upper = None
        if flags & 1:
            return RangeValue(empty=True)
        if not flags & 8:
            lower, position = self._sized(value, position, subtype)
        if not flags & 16:
            upper, position = self._sized(value, position, subtype)
        if position != len(value):
            raise ValueError(f"{len(value) - position} bytes follow the range")
        return RangeValue(lower, upper, bool(flags & 2), bool(flags & 4))

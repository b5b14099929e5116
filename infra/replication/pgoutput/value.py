"""From what Postgres sends of a value, as text or in binary form, to a Python value; both forms
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
| ranges | Range |
| domains | what their base type gives |

Types that are none of these stay as sent: str or bytes. Text is read as Postgres writes it with
the settings of SESSION, so a connection that asks for text must make them. PostgreSQL
documentation, "Data Types"; for the binary forms the `*send` functions of src/backend/utils/adt.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np

from infra.replication.pgoutput import array_text
from infra.replication.pgoutput.event import Type

#: What a connection must set so that text is written as it is read here.
SESSION: Mapping[str, str] = {
    "client_encoding": "UTF8",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "3",
    "bytea_output": "hex",
}
#: Rows for ValueKinds.learn_catalogue: a type's OID, its kind, and the OID of its base, element or
#: subtype.
CATALOGUE = """
SELECT t.oid::int8,
       CASE WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN 'a' ELSE t.typtype::text END,
       coalesce(nullif(t.typbasetype, 0), r.rngsubtype, nullif(t.typelem, 0), 0)::int8
FROM pg_type t LEFT JOIN pg_range r ON r.rngtypid = t.oid
WHERE t.typtype IN ('e', 'd', 'r') OR (t.typcategory = 'A' AND t.typelem <> 0)"""

_EPOCH = datetime(1970, 1, 1)
_ORDINAL = _EPOCH.toordinal()
#: From 1970, where Python's count begins, to 2000, where the server's binary form does.
_DAYS_TO_2000 = 10_957
_US_TO_2000 = _DAYS_TO_2000 * 86_400_000_000
_DAY_US = 86_400_000_000
#: The Gregorian calendar repeats itself after so many years and days: a year that `date` does not
#: have is moved by whole cycles into one that it has.
_CYCLE_YEARS, _CYCLE_DAYS = 400, 146_097
#: What stands for infinity in the binary form of a timestamp and of a date.
_INT64_MOST, _INT32_MOST = 2**63 - 1, 2**31 - 1


@dataclass(frozen=True, slots=True)
class Beyond:
    """A date or time that `datetime` cannot hold: before the year 1, after 9999, or 24:00.

    `number` counts days since 1970 for a date, microseconds since 1970 UTC for a timestamp, since
    midnight for a time.
    """

    type: str
    number: int


@dataclass(frozen=True, slots=True)
class RangeValue:
    """A range;

    None for a bound stands for none. An empty one has no bounds and is the only one that is
    `empty`.
    """

    lower: Any = None
    upper: Any = None
    lower_included: bool = False
    upper_included: bool = False
    empty: bool = False


@dataclass(frozen=True, slots=True)
class ValueKind:
    """How one type is read.

    `text` is None where the text is the value. Both raise ValueError or ArithmeticError.
    """

    text: Callable[[str], Any] | None
    binary: Callable[[bytes], Any]


def _truth(text: str) -> bool:
    if text not in ("t", "f"):
        raise ValueError(f"{text!r} is no boolean")
    return text == "t"


def _truth_binary(value: bytes) -> bool:
    if value not in (b"\0", b"\1"):
        raise ValueError(f"{value!r} is no boolean")
    return value == b"\1"


def _integer(size: int) -> Callable[[bytes], int]:
    def convert(value: bytes) -> int:
        if len(value) != size:
            raise ValueError(f"{len(value)} bytes, not {size}")
        return int.from_bytes(value, "big", signed=True)

    return convert


def _unpacker(layout: str) -> Callable[[bytes], Any]:
    unpack = struct.Struct(layout)

    def convert(value: bytes) -> Any:
        if len(value) != unpack.size:
            raise ValueError(f"{len(value)} bytes, not {unpack.size}")
        return unpack.unpack(value)[0]

    return convert


def _single(value: bytes) -> float:
    """The double that is written like this float4, which is what its text gives; not the one of
    equal value.
    """
    if len(value) != 4:
        raise ValueError(f"{len(value)} bytes, not 4")
    # float(numpy.float32) would give 0.10000000149011612 for 0.1; its shortest text is what the
    # server's text format has, so both formats lead to one value.
    return float(str(np.frombuffer(value, ">f4")[0]))


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply for Python") from error


def _string(value: bytes) -> str:
    return str(value, "utf-8")


def _bytea(text: str) -> bytes:
    if not text.startswith("\\x"):
        raise ValueError("bytea is not in hex format; set bytea_output to hex")
    return bytes.fromhex(text[2:])


def _jsonb(value: bytes) -> Any:
    if value[:1] != b"\1":
        raise ValueError("jsonb is not of version 1")
    return _json(value[1:])


def _uuid(value: bytes) -> UUID:
    return UUID(bytes=value)


_SPECIAL = {0xC000: Decimal("NaN"), 0xD000: Decimal("Infinity"), 0xF000: Decimal("-Infinity")}


def _numeric(value: bytes) -> Decimal:
    """numeric_send: number of digits of base 10,000, weight of the first, sign, scale, digits."""
    if len(value) < 8 or len(value) % 2:
        raise ValueError(f"{len(value)} bytes are no numeric")
    count, weight, sign, scale = struct.unpack_from(">HhHH", value)
    if sign in _SPECIAL:
        return _SPECIAL[sign]
    if len(value) != 8 + 2 * count or sign not in (0, 0x4000):
        raise ValueError(f"{len(value)} bytes with sign {sign:#x} are no numeric")
    # Gathered as one whole number and scaled once: exact, where a sum of Decimals would be rounded
    # to the context's 28 digits.
    number = 0
    for digit in struct.unpack_from(f">{count}H", value, 8):
        number = number * 10_000 + digit
    exponent = 4 * (weight - count + 1) + scale if count else 0
    # The digits may go on beyond the scale by zeros (base 10,000): those are cut off.
    number = number * 10**exponent if exponent >= 0 else number // 10**-exponent
    return Decimal((1 if sign else 0, tuple(map(int, str(number))), -scale))


def days_text(text: str) -> tuple[int, str]:
    """Days since 1970 of a date, and the text behind it; the era stands at the end of all."""
    before = text.endswith(" BC")
    text = text.removesuffix(" BC")
    year_text, month, rest = text.split("-", 2)
    year = 1 - int(year_text) if before else int(year_text)
    cycles = (year - 2000) // _CYCLE_YEARS
    day = date(year - cycles * _CYCLE_YEARS, int(month), int(rest[:2]))
    return day.toordinal() - _ORDINAL + cycles * _CYCLE_DAYS, rest[2:]


def _day(days: int) -> date | Beyond:
    try:
        return date.fromordinal(days + _ORDINAL)
    except (ValueError, OverflowError):
        return Beyond("date", days)


def _infinite(text: str) -> float | None:
    return {"infinity": math.inf, "-infinity": -math.inf}.get(text)


def _date(text: str) -> date | Beyond | float:
    # Years of four digits are nearly all: C reads them. "infinity" and eras are of other lengths.
    if len(text) == 10:
        return date.fromisoformat(text)
    infinite = _infinite(text)
    return _day(days_text(text)[0]) if infinite is None else infinite


def _date_binary(value: bytes) -> date | Beyond | float:
    days = _integer(4)(value)
    if days in (_INT32_MOST, -_INT32_MOST - 1):
        return math.inf if days > 0 else -math.inf
    return _day(days + _DAYS_TO_2000)


def time_text_us(text: str) -> tuple[int, timedelta]:
    """Microseconds since midnight, and the zone's offset."""
    at = next((index for index, character in enumerate(text) if character in "+-"), len(text))
    hours, minutes, seconds = text[:at].split(":")
    whole, _, fraction = seconds.partition(".")
    us = ((int(hours) * 60 + int(minutes)) * 60 + int(whole)) * 1_000_000 + int(
        fraction[:6].ljust(6, "0")
    )
    return us, _offset(text[at:])


def _offset(text: str) -> timedelta:
    if not text:
        return timedelta()
    parts = [int(part) for part in text[1:].split(":")]
    offset = timedelta(**dict(zip(("hours", "minutes", "seconds"), parts, strict=False)))
    return -offset if text[0] == "-" else offset


def _clock(us: int, zone: timezone | None = None) -> time | Beyond:
    if not 0 <= us <= _DAY_US:
        raise ValueError(f"{us} microseconds are no time of day")
    if us == _DAY_US:
        return Beyond("time" if zone is None else "timetz", us)
    return (_EPOCH + timedelta(microseconds=us)).time().replace(tzinfo=zone)


def _time(text: str) -> time | Beyond:
    return _clock(time_text_us(text)[0])


def _timetz(text: str) -> time | Beyond:
    us, offset = time_text_us(text)
    return _clock(us, timezone(offset))


def _time_binary(value: bytes) -> time | Beyond:
    return _clock(_integer(8)(value))


def _timetz_binary(value: bytes) -> time | Beyond:
    us, west_s = struct.unpack(">qi", value) if len(value) == 12 else (-1, 0)
    if us < 0:
        raise ValueError(f"{len(value)} bytes are no timetz")
    # The server counts the zone to the west of Greenwich, Python to the east.
    return _clock(us, timezone(timedelta(seconds=-west_s)))


def _moment(us: int, zone: timezone | None) -> datetime | Beyond:
    try:
        return _EPOCH.replace(tzinfo=zone) + timedelta(microseconds=us)
    except OverflowError:
        return Beyond("timestamp" if zone is None else "timestamptz", us)


def _moment_text(text: str, zone: timezone | None) -> datetime | Beyond | float:
    infinite = _infinite(text)
    if infinite is not None:
        return infinite
    days, rest = days_text(text)
    us, offset = time_text_us(rest[1:])
    return _moment(days * _DAY_US + us - offset // timedelta(microseconds=1), zone)


def _timestamp(text: str) -> datetime | Beyond | float:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return _moment_text(text, None)


def _timestamptz(text: str) -> datetime | Beyond | float:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return _moment_text(text, UTC)


def _moment_binary(zone: timezone | None) -> Callable[[bytes], datetime | Beyond | float]:
    def convert(value: bytes) -> datetime | Beyond | float:
        us = _integer(8)(value)
        if us in (_INT64_MOST, -_INT64_MOST - 1):
            return math.inf if us > 0 else -math.inf
        return _moment(us + _US_TO_2000, zone)

    return convert


TEXT = ValueKind(None, _string)
UNKNOWN = ValueKind(None, bytes)

_SCALARS: Mapping[str, tuple[int, ValueKind]] = {
    "bool": (16, ValueKind(_truth, _truth_binary)),
    "bytea": (17, ValueKind(_bytea, bytes)),
    "char": (18, TEXT),
    "name": (19, TEXT),
    "int8": (20, ValueKind(int, _integer(8))),
    "int2": (21, ValueKind(int, _integer(2))),
    "int4": (23, ValueKind(int, _integer(4))),
    "text": (25, TEXT),
    "oid": (26, ValueKind(int, _unpacker(">I"))),
    "json": (114, ValueKind(_json, _json)),
    "xml": (142, TEXT),
    "float4": (700, ValueKind(float, _single)),
    "float8": (701, ValueKind(float, _unpacker(">d"))),
    "bpchar": (1042, TEXT),
    "varchar": (1043, TEXT),
    "date": (1082, ValueKind(_date, _date_binary)),
    "time": (1083, ValueKind(_time, _time_binary)),
    "timestamp": (1114, ValueKind(_timestamp, _moment_binary(None))),
    "timestamptz": (1184, ValueKind(_timestamptz, _moment_binary(UTC))),
    "timetz": (1266, ValueKind(_timetz, _timetz_binary)),
    "numeric": (1700, ValueKind(Decimal, _numeric)),
    "uuid": (2950, ValueKind(UUID, _uuid)),
    "jsonb": (3802, ValueKind(_json, _jsonb)),
}
#: Array types that are built in, by their elements' names.
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
    """The types that are known, by OID. What is built in is known from the start.

    The stream itself tells which built-in type a domain is of (`learn`); enums, own ranges and
    arrays of own types are known only from the catalogue (`learn_catalogue` with the rows of
    CATALOGUE). In text, an enum needs neither.
    """

    def __init__(self) -> None:
        self._kinds = dict(_SCALARS.values())
        for name, oid in _ARRAYS.items():
            self._kinds[oid] = self._array(_SCALARS[name][0])
        for name, oid in _RANGES.items():
            self._kinds[oid] = self._range(_SCALARS[name][0])

    def kind(self, oid: int) -> ValueKind:
        """How values of this type are read."""
        return self._kinds.get(oid, UNKNOWN)

    def learn(self, described: Type) -> None:
        """Take what the stream says of a type: for a domain, Postgres sends the name of the type
        that it is made of.
        """
        if described.schema in ("", "pg_catalog") and described.name in _SCALARS:
            self._kinds.setdefault(described.oid, _SCALARS[described.name][1])

    def learn_catalogue(self, rows: Iterable[tuple[int, str, int]]) -> None:
        """Take rows of CATALOGUE: enums, domains, ranges and arrays, each with what it is made
        of.
        """
        makers = {"e": lambda _: TEXT, "d": self._domain, "r": self._range, "a": self._array}
        for oid, kind, of in rows:
            if oid not in self._kinds:
                self._kinds[oid] = makers[kind](of)

    def _domain(self, base: int) -> ValueKind:
        # Looked up when a value is read, since the base may be learnt later.
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
            items = [items[at : at + size] for at in range(0, len(items), size)]
        return items

    def _items(
        self, value: bytes, position: int, count: int, element: int
    ) -> tuple[list[Any], int]:
        if not 0 <= 4 * count <= len(value):
            raise ValueError(f"an array of {count} elements in {len(value)} bytes")
        items: list[Any] = []
        for _ in range(count):
            item, position = self._sized(value, position, element)
            items.append(item)
        return items, position

    def _sized(self, value: bytes, position: int, oid: int) -> tuple[Any, int]:
        """A value with its length before it, -1 for NULL."""
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
        """range_send: flags (1 empty, 2 and 4 included, 8 and 16 infinite), then the bounds that
        there are.
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

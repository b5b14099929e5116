"""The meaning of a column's Avro type, and its values in Python: the canonical types that all sinks
and taps share.

| kind | Python | source in Debezium |
|---|---|---|
| boolean; int16, int32, int64; float32, float64 | bool, int, float | |
| text, uuid, json, zoned_time | str | `string`, `Uuid`, `Json`, `ZonedTime` |
| bytes | bytes | `bytes`, `Bits` |
| decimal, variable_decimal | Decimal | `Decimal`, `VariableScaleDecimal` |
| date; time_ms, time_us, time_ns | date; time | `Date`; `Time`, `MicroTime`, `NanoTime` |
| timestamp_ms, _us, _ns | naive datetime | `Timestamp`, `MicroTimestamp`, `NanoTimestamp` |
| zoned_timestamp | datetime in UTC | `ZonedTimestamp` |
| instant_ms, instant_us | datetime in UTC | Avro's timestamp-millis, timestamp-micros |
| duration_us | int | `MicroDuration` |
| interval | str, ISO 8601 | `Interval` |
| other | list or dict of these | arrays, maps and records |

A date or timestamp that Python cannot hold becomes text that PostgreSQL reads: `infinity`,
`0044-03-15 BC`. All numbers that Debezium sends for infinities are recognised. A column that the
source did not send, because it is large and unchanged, is UNAVAILABLE, never NULL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal
from enum import Enum, StrEnum
from typing import Any

#: What Debezium writes for a large unchanged value (its option `unavailable.value.placeholder`).
PLACEHOLDER = "__debezium_unavailable_value"


class Unavailable(Enum):
    """The type of UNAVAILABLE."""

    UNAVAILABLE = PLACEHOLDER


#: The value of a large column that was unchanged and so not sent (PostgreSQL's TOAST).
UNAVAILABLE = Unavailable.UNAVAILABLE


class ColumnKind(StrEnum):
    """The kind of a column's values; the module's docstring has the table."""

    BOOLEAN = "boolean"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    TEXT = "text"
    UUID = "uuid"
    JSON = "json"
    BYTES = "bytes"
    DECIMAL = "decimal"
    VARIABLE_DECIMAL = "variable_decimal"
    DATE = "date"
    TIME_MS = "time_ms"
    TIME_US = "time_us"
    TIME_NS = "time_ns"
    TIMESTAMP_MS = "timestamp_ms"
    TIMESTAMP_US = "timestamp_us"
    TIMESTAMP_NS = "timestamp_ns"
    INSTANT_MS = "instant_ms"
    INSTANT_US = "instant_us"
    ZONED_TIMESTAMP = "zoned_timestamp"
    ZONED_TIME = "zoned_time"
    DURATION_US = "duration_us"
    INTERVAL = "interval"
    OTHER = "other"


#: Kinds whose bytes are a length and that many bytes.
SIZED = frozenset(
    {
        ColumnKind.TEXT,
        ColumnKind.UUID,
        ColumnKind.JSON,
        ColumnKind.BYTES,
        ColumnKind.DECIMAL,
        ColumnKind.ZONED_TIMESTAMP,
        ColumnKind.ZONED_TIME,
        ColumnKind.INTERVAL,
    }
)
#: Kinds whose bytes are one variable-length number.
NUMERIC = frozenset(
    {
        ColumnKind.INT16,
        ColumnKind.INT32,
        ColumnKind.INT64,
        ColumnKind.DATE,
        ColumnKind.TIME_MS,
        ColumnKind.TIME_US,
        ColumnKind.TIME_NS,
        ColumnKind.TIMESTAMP_MS,
        ColumnKind.TIMESTAMP_US,
        ColumnKind.TIMESTAMP_NS,
        ColumnKind.INSTANT_MS,
        ColumnKind.INSTANT_US,
        ColumnKind.DURATION_US,
    }
)
#: By the name of a type in Kafka Connect or Debezium.
_NAMED = {
    "org.apache.kafka.connect.data.Decimal": ColumnKind.DECIMAL,
    "org.apache.kafka.connect.data.Date": ColumnKind.DATE,
    "org.apache.kafka.connect.data.Time": ColumnKind.TIME_MS,
    "org.apache.kafka.connect.data.Timestamp": ColumnKind.INSTANT_MS,
    "io.debezium.data.VariableScaleDecimal": ColumnKind.VARIABLE_DECIMAL,
    "io.debezium.data.Uuid": ColumnKind.UUID,
    "io.debezium.data.Json": ColumnKind.JSON,
    "io.debezium.time.Date": ColumnKind.DATE,
    "io.debezium.time.Time": ColumnKind.TIME_MS,
    "io.debezium.time.MicroTime": ColumnKind.TIME_US,
    "io.debezium.time.NanoTime": ColumnKind.TIME_NS,
    "io.debezium.time.Timestamp": ColumnKind.TIMESTAMP_MS,
    "io.debezium.time.MicroTimestamp": ColumnKind.TIMESTAMP_US,
    "io.debezium.time.NanoTimestamp": ColumnKind.TIMESTAMP_NS,
    "io.debezium.time.ZonedTimestamp": ColumnKind.ZONED_TIMESTAMP,
    "io.debezium.time.ZonedTime": ColumnKind.ZONED_TIME,
    "io.debezium.time.MicroDuration": ColumnKind.DURATION_US,
    "io.debezium.time.Interval": ColumnKind.INTERVAL,
}
#: By Avro's logical type.
_LOGICAL = {
    "decimal": ColumnKind.DECIMAL,
    "uuid": ColumnKind.UUID,
    "date": ColumnKind.DATE,
    "time-millis": ColumnKind.TIME_MS,
    "time-micros": ColumnKind.TIME_US,
    "timestamp-millis": ColumnKind.INSTANT_MS,
    "timestamp-micros": ColumnKind.INSTANT_US,
    "local-timestamp-millis": ColumnKind.TIMESTAMP_MS,
    "local-timestamp-micros": ColumnKind.TIMESTAMP_US,
}
_PLAIN = {
    "boolean": ColumnKind.BOOLEAN,
    "int": ColumnKind.INT32,
    "long": ColumnKind.INT64,
    "float": ColumnKind.FLOAT32,
    "double": ColumnKind.FLOAT64,
    "string": ColumnKind.TEXT,
    "enum": ColumnKind.OTHER,
    "bytes": ColumnKind.BYTES,
}


@dataclass(frozen=True, slots=True)
class SourceType:
    """A column's type in the source: its name there (`bpchar`), and its length, if it has one.

    The schema has it only if Debezium's option `datatype.propagate.source.type` or
    `column.propagate.source.type` asks for it.
    """

    name: str
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a captured table; `precision` and `scale` are those of a decimal.

    `bits` is the length of a bit string, whose bytes begin with the lowest; `item` is the column of
    an array's items; `record` is the name of a record's type, and "map" for a map; `source` is the
    source's own type and `default` the column's default, if the schema has them.
    """

    name: str
    kind: ColumnKind
    nullable: bool
    precision: int | None = None
    scale: int = 0
    bits: int | None = None
    item: Column | None = None
    record: str | None = None
    source: SourceType | None = None
    default: Any = None


def column_of(name: str, schema: Any, nullable: bool) -> Column:
    """The column for an Avro type without its NULL branch."""
    if not isinstance(schema, Mapping):
        return Column(name, _PLAIN.get(schema, ColumnKind.OTHER), nullable)
    column, source = _described(name, schema, nullable), _source_type(schema)
    return column if source is None else replace(column, source=source)


def _source_type(schema: Mapping[str, Any]) -> SourceType | None:
    said = schema.get("connect.parameters")
    if not isinstance(said, Mapping) or not isinstance(kind := said.get(SOURCE_TYPE), str):
        return None
    length = str(said.get(SOURCE_LENGTH, ""))
    limited = length.isdecimal() and 0 < int(length) < NO_LENGTH
    return SourceType(kind.lower(), int(length) if limited else None)


def _described(name: str, schema: Mapping[str, Any], nullable: bool) -> Column:
    kind = _NAMED.get(schema.get("connect.name", "")) or _LOGICAL.get(schema.get("logicalType", ""))
    if kind is None:
        kind = (
            ColumnKind.INT16
            if schema.get("connect.type") == "int16"
            else _PLAIN.get(schema["type"], ColumnKind.OTHER)
        )
    # A fixed type has no length before its bytes, unlike the other kinds of bytes, so fastavro
    # reads it.
    if schema["type"] == "fixed":
        kind = ColumnKind.OTHER
    if kind is ColumnKind.OTHER and schema["type"] in ("record", "map"):
        return Column(name, kind, nullable, record=schema.get("name", schema["type"]))
    if schema.get("connect.name") == "io.debezium.data.Bits":
        bits = int(schema.get("connect.parameters", {}).get("length", 0)) or None
        return Column(name, kind, nullable, bits=bits)
    if kind is not ColumnKind.DECIMAL:
        return Column(name, kind, nullable)
    return Column(name, kind, nullable, schema.get("precision"), int(schema.get("scale", 0)))


#: Debezium's schema parameters; a type without a limit has the largest possible length.
SOURCE_TYPE, SOURCE_LENGTH = "__debezium.source.column.type", "__debezium.source.column.length"
NO_LENGTH = 2**31 - 1
_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
#: PostgreSQL's numeric has up to 131,072 digits before its point and 16,383 after it.
_EXACT = Context(prec=150_000)
#: The most bytes that these digits can have, and the fewest that Python's 4,300 digits can have.
_LONGEST_DECIMAL_BYTES, _SHORT_TEXT_BYTES = 62_000, 1_780
_EPOCH_DATE = date(1970, 1, 1)
_DAY_US = 86_400_000_000
#: What Debezium sends for PostgreSQL's infinite timestamps (its class PostgresConnector's value
#: converter).
_INFINITIES = {9223372036825200000: "infinity", -9223372036832400000: "-infinity"}
#: What Debezium (3.6) sends for infinite dates: while it streams, and in snapshots and arrays.
#: None of them is a date that PostgreSQL has.
INFINITE_DAYS: Mapping[int, str] = {
    -2147472692: "infinity",
    -2147472691: "-infinity",
    -622191234: "infinity",
    -625821272: "-infinity",
}
#: 4713-01-01 BC, before which PostgreSQL has no date.
FIRST_DAY = -2_440_588
#: What Debezium sends for an item `-infinity` of an array of timestamps with a zone.
_ZONED_INFINITIES = {"+292269055-12-02T23:00:00.000000Z": "-infinity"}


class UnknownMomentError(ValueError):
    """A number for which no exact date or time can be written."""


def date_value(days: int) -> date | str:
    """Days since 1970 as a date; raises UnknownMomentError for a number that PostgreSQL never
    sends.
    """
    try:
        return _EPOCH_DATE + timedelta(days=days)
    except OverflowError:
        if days < FIRST_DAY and days not in INFINITE_DAYS:
            raise UnknownMomentError(f"{days} days from 1970 are no date of PostgreSQL") from None
        return INFINITE_DAYS.get(days) or _long_date(days)


def timestamp_value(us: int) -> datetime | str:
    """Microseconds since 1970, without a zone, as a timestamp."""
    try:
        return _EPOCH + timedelta(microseconds=us)
    except OverflowError:
        return _INFINITIES.get(us) or _long_timestamp(us)


def instant_value(us: int) -> datetime | str:
    """Microseconds since 1970, in UTC."""
    try:
        return _EPOCH_UTC + timedelta(microseconds=us)
    except OverflowError:
        return _INFINITIES.get(us) or _long_timestamp(us, "+00")


def time_value(us: int) -> time | str:
    """Microseconds since midnight as a time; as text for PostgreSQL's 24:00."""
    if not 0 <= us < _DAY_US:
        return "24:00:00" if us == _DAY_US else f"{us} us"
    seconds, micros = divmod(us, 1_000_000)
    return time(seconds // 3600, seconds // 60 % 60, seconds % 60, micros)


def zoned_timestamp_value(text: str) -> datetime | str:
    """Debezium's ISO 8601 text with an offset, as a timestamp in UTC."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return postgres_timestamp(text)


def postgres_timestamp(text: str) -> str:
    """An ISO 8601 text with a signed year, in PostgreSQL's form; any other text unchanged."""
    if text[:1] == "+":
        return _ZONED_INFINITIES.get(text) or text[1:]
    if text[:1] != "-" or not text[1:2].isdigit():
        return text
    year, rest = text[1:].split("-", 1)
    return f"{int(year) + 1:04d}-{rest.replace('Z', '+00')} BC"


def decimal_value(data: bytes, scale: int) -> Decimal:
    """A decimal from its unscaled number, big-endian two's complement; raises ValueError for one
    that is longer than any in PostgreSQL.
    """
    if len(data) > _LONGEST_DECIMAL_BYTES:
        raise ValueError(f"a decimal of {len(data)} bytes is longer than any of PostgreSQL")
    return Decimal(int.from_bytes(data, "big", signed=True)).scaleb(-scale, _EXACT)


def decimal_text(data: bytes, scale: int) -> str:
    """`decimal_value` as plain digits, without making a Decimal."""
    if len(data) > _SHORT_TEXT_BYTES:
        # Python refuses to print longer integers, because that takes quadratic time; Decimal does
        # not.
        return format(decimal_value(data, scale), "f")
    number = int.from_bytes(data, "big", signed=True)
    if scale <= 0:
        return f"{number}{'0' * -scale if number else ''}"
    digits = f"{abs(number):0{scale + 1}d}"
    return f"{'-' if number < 0 else ''}{digits[:-scale]}.{digits[-scale:]}"


def _long_date(days: int) -> str:
    """A date beyond Python's years (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
    civil_from_days).
    """
    # Years begin in March here. The leap day is then the last day of its year, and one formula
    # serves all months.
    era, of_era = divmod(days + 719_468, 146_097)
    year_of_era = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + era * 400 + (month <= 2)
    day = of_year - (153 * shifted + 2) // 5 + 1
    return (
        f"{year:04d}-{month:02d}-{day:02d}"
        if year > 0
        else f"{1 - year:04d}-{month:02d}-{day:02d} BC"
    )


def _long_timestamp(us: int, zone: str = "") -> str:
    days, rest = divmod(us, _DAY_US)
    number, _, era = _long_date(days).partition(" ")
    seconds, micros = divmod(rest, 1_000_000)
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{micros:06d}"
    return f"{number} {clock}{zone}{' BC' if era else ''}"


def _whole_us(ns: int) -> int:
    us, rest = divmod(ns, 1000)
    if rest:
        raise UnknownMomentError(f"{ns} ns are not whole microseconds, which all sinks have")
    return us


#: From a number on the wire to its value.
FROM_NUMBER: Mapping[ColumnKind, Callable[[int], Any]] = {
    ColumnKind.DATE: date_value,
    ColumnKind.TIME_MS: lambda ms: time_value(ms * 1000),
    ColumnKind.TIME_US: time_value,
    ColumnKind.TIME_NS: lambda ns: time_value(_whole_us(ns)),
    ColumnKind.TIMESTAMP_MS: lambda ms: timestamp_value(ms * 1000),
    ColumnKind.TIMESTAMP_US: timestamp_value,
    ColumnKind.TIMESTAMP_NS: lambda ns: timestamp_value(_whole_us(ns)),
    ColumnKind.INSTANT_MS: lambda ms: instant_value(ms * 1000),
    ColumnKind.INSTANT_US: instant_value,
}

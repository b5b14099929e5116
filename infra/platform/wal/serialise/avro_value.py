"""Functions from the text of one value to its Avro bytes in Debezium's form.

Special dates and times (infinity, years before 1 or after 9999, 24:00) become the numbers that
Debezium sends; infra.avro reads them back. All functions raise ValueError for impossible values.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from infra.avro.encoder import encode_bytes, encode_long, encode_text, encode_unscaled
from infra.avro.kind import INFINITE_DAYS
from infra.replication.pgoutput.array_text import read_array
from infra.replication.pgoutput.date_time import days_text, time_text_us

_DAY_US = 86_400_000_000
#: While it streams, Debezium sends these for infinite dates and timestamps.
_DAYS = {text: days for days, text in list(INFINITE_DAYS.items())[::-1]}
_MOMENTS_US = {"infinity": 9_223_372_036_825_200_000, "-infinity": -9_223_372_036_832_400_000}
_DOUBLE, _FLOAT = struct.Struct("<d"), struct.Struct("<f")


#: A bit(1) is a boolean too.
_TRUTHS = {"t": b"\x01", "f": b"\x00", "1": b"\x01", "0": b"\x00"}


def _truth(text: str) -> bytes:
    if text not in _TRUTHS:
        raise ValueError(f"{text!r} is no boolean")
    return _TRUTHS[text]


def _integer(text: str) -> bytes:
    return encode_long(int(text))


def _bytea(text: str) -> bytes:
    if not text.startswith("\\x"):
        raise ValueError("bytea is not in hex format; set bytea_output to hex")
    return encode_bytes(bytes.fromhex(text[2:]))


def _variable_decimal(text: str) -> bytes:
    """Scale and unscaled number; NaN and infinity have neither, and raise ValueError."""
    number = Decimal(text)
    sign, digits, exponent = number.as_tuple()
    if isinstance(exponent, str):
        reason = f"numeric {text} has no form in Debezium's decimals"
        raise ValueError(reason)  # noqa: TRY004 - a value that cannot be carried
    # From the digits, not by arithmetic, because Decimal's context would round to 28 digits; not
    # as text either, because Python reads no integer of more than 4,300 digits.
    unscaled = int(Decimal((sign, digits, 0)))
    return encode_long(-exponent) + encode_unscaled(unscaled)


def _date(text: str) -> bytes:
    # Special texts are looked up in a dictionary: that costs less than testing the text's form.
    known = _DAYS.get(text)
    return encode_long(days_text(text)[0] if known is None else known)


def _time(unit_us: int) -> Callable[[str], bytes]:
    def write(text: str) -> bytes:
        return encode_long(_whole(time_text_us(text)[0], unit_us))

    return write


def _timestamp(unit_us: int) -> Callable[[str], bytes]:
    def write(text: str) -> bytes:
        known = _MOMENTS_US.get(text)
        if known is not None:
            # Debezium sends the same special number in milliseconds.
            return encode_long(known)
        days, rest = days_text(text)
        return encode_long(_whole(days * _DAY_US + time_text_us(rest[1:])[0], unit_us))

    return write


def _whole(us: int, unit_us: int) -> int:
    # A column of that precision cannot have a remainder; cutting it off silently would hide that
    # the schema does not fit the column.
    number, rest = divmod(us, unit_us)
    if rest:
        raise ValueError(f"{us} us are no whole number of {unit_us} us")
    return number


def _zoned(text: str) -> bytes:
    """Postgres's ISO text in Debezium's form: UTC, always with microseconds."""
    # The usual text is ISO in UTC already, and lacks only T, the fraction's zeros and Z, so slices
    # suffice. `datetime` would parse and print the same characters again.
    if text[-3:] == "+00" and 22 <= len(text) <= 29 and text[4] == text[7] == "-":
        return encode_text(f"{text[:10]}T{text[11:19]}.{text[20:-3]:0<6}Z")
    if text in _MOMENTS_US:
        return encode_text(text)
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return encode_text(_zoned_beyond(text))
    return encode_text(moment.isoformat(timespec="microseconds")[:-6] + "Z")


def _zoned_beyond(text: str) -> str:
    """Years beyond `datetime` in ISO 8601's form, with a sign."""
    # Postgres's text has no year 0 and ISO 8601 has one: 1 BC is 0000.
    before = text.endswith(" BC")
    date_text, _, clock = text.removesuffix(" BC").partition(" ")
    year, month, day = date_text.split("-")
    if not clock.endswith("+00"):
        raise ValueError(f"{text!r} is not in UTC")
    whole, _, fraction = clock.removesuffix("+00").partition(".")
    number = 1 - int(year) if before else int(year)
    shown = f"-{-number:04d}" if number < 0 else f"+{number}" if number > 9999 else f"{number:04d}"
    return f"{shown}-{month}-{day}T{whole}.{fraction:0<6}Z"


def _zoned_time(text: str) -> bytes:
    """With its offset as written, because 24:00 and an offset's seconds have no other form."""
    # The offset begins at the last sign: a time has no sign before it, and zones are sent without
    # names.
    at = max(text.rfind("+"), text.rfind("-"))
    us, offset = time_text_us(text)
    if offset.total_seconds() == 0 and us < _DAY_US:
        return encode_text(f"{text[:at]}Z")
    return encode_text(text if ":" in text[at:] else f"{text}:00")


def _bits(text: str) -> bytes:
    """A bit string of fixed length: the lowest bits first, in as few bytes as possible."""
    return encode_bytes(int(text, 2).to_bytes((len(text) + 7) // 8, "little"))


@dataclass(frozen=True, slots=True)
class _Interval:
    """The fields of an interval, in the three parts that PostgreSQL stores."""

    months: int
    days: int
    us: int


#: A part of an interval as `intervalstyle postgres` writes it: "2 mons", "-03:04:05.6".
_INTERVAL = re.compile(
    r"(?:(?P<number>[+-]?\d+) (?P<unit>year|mon|day)s?"
    r"|(?P<sign>[+-]?)(?P<hours>\d+):(?P<minutes>\d\d):(?P<seconds>\d\d)(?:\.(?P<part>\d+))?)"
    r"(?: |$)"
)
_UNITS = {"year": (12, 0), "mon": (1, 0), "day": (0, 1)}


def _interval(text: str) -> _Interval:
    months = days = us = position = 0
    while position < len(text):
        found = _INTERVAL.match(text, position)
        if found is None:
            raise ValueError(f"{text!r} is no interval")
        position = found.end()
        if found["unit"]:
            of_months, of_days = _UNITS[found["unit"]]
            months += int(found["number"]) * of_months
            days += int(found["number"]) * of_days
            continue
        seconds = (int(found["hours"]) * 60 + int(found["minutes"])) * 60 + int(found["seconds"])
        clock_us = seconds * 1_000_000 + int((found["part"] or "").ljust(6, "0"))
        us = -clock_us if found["sign"] == "-" else clock_us
    return _Interval(months, days, us)


def _micro_duration(text: str) -> bytes:
    """Microseconds, with days of 24 hours. Months are refused, because a month has no fixed length;
    Debezium takes 30.44 days, which readers cannot tell from a duration of that length.
    """
    interval = _interval(text)
    if interval.months:
        raise ValueError(
            f"interval {text!r} has months, which are no number of microseconds; send intervals as"
            " text (--intervals string)"
        )
    return encode_long(interval.days * _DAY_US + interval.us)


def _iso_interval(text: str) -> bytes:
    """As Debezium's io.debezium.time.Interval: P1Y2M3DT4H5M6.78S."""
    interval = _interval(text)
    years, months = _parts(interval.months, 12)
    hours, rest = _parts(interval.us, 3_600_000_000)
    minutes, us = _parts(rest, 60_000_000)
    sign = "-" if us < 0 else ""
    whole, part = divmod(abs(us), 1_000_000)
    seconds = f"{sign}{whole}.{f'{part:06d}'.rstrip('0') or '0'}"
    return encode_text(f"P{years}Y{months}M{interval.days}DT{hours}H{minutes}M{seconds}S")


def _parts(number: int, unit: int) -> tuple[int, int]:
    """Quotient and remainder, both with the number's sign (divmod rounds down instead)."""
    whole, rest = divmod(abs(number), unit)
    return (-whole, -rest) if number < 0 else (whole, rest)


def write_array(item: Callable[[str], bytes], null: bytes) -> Callable[[str], bytes]:
    """A function from an array's text to Avro: one block of items. `item` writes an item with its
    branch in front, `null` is the branch of NULL.

    Debezium's arrays have one dimension and no bounds; others raise ValueError.
    """

    def write(text: str) -> bytes:
        # Items become bytes while the text is read, which avoids a temporary list of values.
        items = read_array(text, item)
        if text[:1] == "[" or any(isinstance(each, list) for each in items):
            raise ValueError(
                "an array of several dimensions, or with bounds of its own, has no form in"
                " Debezium's arrays"
            )
        # An empty array is only its end: a block of no items would itself be an end, followed by
        # another.
        if not items:
            return b"\x00"
        written = b"".join([null if each is None else each for each in items])
        return encode_long(len(items)) + written + b"\x00"

    return write


def _double(text: str) -> bytes:
    return _DOUBLE.pack(float(text))


def _float(text: str) -> bytes:
    value = _FLOAT.pack(float(text))
    if math.isfinite(float(text)) and math.isinf(_FLOAT.unpack(value)[0]):
        raise ValueError(f"{text} is no float4")
    return value


#: By `connect.name`, else by Avro's own type.
WRITERS: Mapping[str, Callable[[str], bytes]] = {
    "boolean": _truth,
    "int": _integer,
    "long": _integer,
    "float": _float,
    "double": _double,
    "string": encode_text,
    "bytes": _bytea,
    "io.debezium.data.VariableScaleDecimal": _variable_decimal,
    "io.debezium.time.Date": _date,
    "io.debezium.time.Time": _time(1000),
    "io.debezium.time.MicroTime": _time(1),
    "io.debezium.time.Timestamp": _timestamp(1000),
    "io.debezium.time.MicroTimestamp": _timestamp(1),
    "io.debezium.time.ZonedTimestamp": _zoned,
    "io.debezium.time.ZonedTime": _zoned_time,
    "io.debezium.time.MicroDuration": _micro_duration,
    "io.debezium.time.Interval": _iso_interval,
    "io.debezium.data.Bits": _bits,
}

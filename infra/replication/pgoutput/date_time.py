"""Dates and times as Postgres sends them, as text or in binary form, for every year of its
calendar.

All functions raise ValueError or ArithmeticError for input that is not of the type. PostgreSQL
documentation, "Date/Time Types"; for the binary forms src/backend/utils/adt/{date,timestamp}.c.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone

from infra.replication.pgoutput.scalar import integer

_EPOCH = datetime(1970, 1, 1)
_ORDINAL = _EPOCH.toordinal()
#: Days or microseconds from 1970, where Python counts from, to 2000, where the binary form does.
_DAYS_TO_2000 = 10_957
_US_TO_2000 = _DAYS_TO_2000 * 86_400_000_000
_DAY_US = 86_400_000_000
#: The Gregorian calendar repeats after this many years and days: a year that `date` lacks is moved
#: by whole cycles into one that it has.
_CYCLE_YEARS, _CYCLE_DAYS = 400, 146_097
#: The binary forms of infinity for a timestamp and for a date.
_INT64_MOST, _INT32_MOST = 2**63 - 1, 2**31 - 1


@dataclass(frozen=True, slots=True)
class Beyond:
    """A date or time that `datetime` cannot hold: before the year 1, after 9999, or 24:00.

    `number` counts days since 1970 for a date, microseconds since 1970 UTC for a timestamp, and
    microseconds since midnight for a time.
    """

    type: str
    number: int


def days_text(text: str) -> tuple[int, str]:
    """A date's days since 1970, and the text behind it; the era is at the end of the whole text."""
    before = text.endswith(" BC")
    text = text.removesuffix(" BC")
    year_text, month, rest = text.split("-", 2)
    year = 1 - int(year_text) if before else int(year_text)
    # `date` has the years 1 to 9999. The calendar repeats every 400 years, so the day is counted in
    # a cycle that `date` has, and the other cycles are added: no own table of leap years.
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


def date_of(text: str) -> date | Beyond | float:
    """A date from its text."""
    # Nearly all years have four digits, which C reads. "infinity" and eras have other lengths.
    if len(text) == 10:
        return date.fromisoformat(text)
    infinite = _infinite(text)
    return _day(days_text(text)[0]) if infinite is None else infinite


def date_binary(value: bytes) -> date | Beyond | float:
    """A date from date_send: days since 2000."""
    days = integer(4)(value)
    if days in (_INT32_MOST, -_INT32_MOST - 1):
        return math.inf if days > 0 else -math.inf
    return _day(days + _DAYS_TO_2000)


def time_text_us(text: str) -> tuple[int, timedelta]:
    """Microseconds since midnight, and the zone's offset."""
    at = next((index for index, character in enumerate(text) if character in "+-"), len(text))
    hours, minutes, seconds = text[:at].split(":")
    whole, _, fraction = seconds.partition(".")
    # Postgres leaves out a fraction's final zeros; padded on the right, it is a number of
    # microseconds.
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


def time_of(text: str) -> time | Beyond:
    """A time from its text."""
    return _clock(time_text_us(text)[0])


def timetz_of(text: str) -> time | Beyond:
    """A timetz from its text."""
    us, offset = time_text_us(text)
    return _clock(us, timezone(offset))


def time_binary(value: bytes) -> time | Beyond:
    """A time from time_send: microseconds since midnight."""
    return _clock(integer(8)(value))


def timetz_binary(value: bytes) -> time | Beyond:
    """A timetz from timetz_send: microseconds since midnight, and the zone in seconds."""
    us, west_s = struct.unpack(">qi", value) if len(value) == 12 else (-1, 0)
    if us < 0:
        raise ValueError(f"{len(value)} bytes are no timetz")
    # The server counts zones towards the west of Greenwich, Python towards the east.
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


def timestamp_of(text: str) -> datetime | Beyond | float:
    """A timestamp from its text."""
    # `fromisoformat` is C and reads all years of four digits; for eras, longer years and infinity
    # it raises ValueError, so the usual case is looked at only once.
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return _moment_text(text, None)


def timestamptz_of(text: str) -> datetime | Beyond | float:
    """A timestamptz from its text, in UTC."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return _moment_text(text, UTC)


def timestamp_binary(zone: timezone | None) -> Callable[[bytes], datetime | Beyond | float]:
    """A function for timestamp_send or timestamptz_send: microseconds since 2000."""

    def convert(value: bytes) -> datetime | Beyond | float:
        us = integer(8)(value)
        if us in (_INT64_MOST, -_INT64_MOST - 1):
            return math.inf if us > 0 else -math.inf
        return _moment(us + _US_TO_2000, zone)

    return convert

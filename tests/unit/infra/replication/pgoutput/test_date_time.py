"""Dates and times at the ends of their types, and of Python's."""

from __future__ import annotations

import math
import struct
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any

import pytest

from infra.replication.pgoutput.date_time import (
    Beyond,
    date_binary,
    date_of,
    days_text,
    time_binary,
    time_of,
    time_text_us,
    timestamp_binary,
    timestamp_of,
    timestamptz_of,
    timetz_binary,
    timetz_of,
)

DAY_US = 86_400_000_000
TO_2000 = 10_957


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("1970-01-01", 0),
        ("1969-12-31", -1),
        ("2000-02-29", 11_016),
        ("0001-01-01", -719_162),
        ("0001-12-31 BC", -719_163),
        ("0001-02-29 BC", -719_469),
        ("9999-12-31", 2_932_896),
        ("10000-01-01", 2_932_897),
        ("4713-01-01 BC", -2_440_550),
        ("5874897-12-31", 2_145_042_905),
    ],
)
def test_days_are_counted_through_every_year_that_there_is(text: str, days: int) -> None:
    found = date_of(text)

    assert days_text(text) == (days, "")
    assert found == date_binary(struct.pack(">i", days - TO_2000))
    assert isinstance(found, date) == (-719_162 <= days <= 2_932_896)


@pytest.mark.parametrize(
    "text",
    ["", "2026", "2026-02-29", "2026-13-01", "2026-00-01", "x-01-01", "a" * 10],
)
def test_what_is_no_date_is_an_error(text: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        date_of(text)


@pytest.mark.parametrize("sign", [1, -1])
def test_infinity_is_known_in_both_forms_and_its_neighbour_is_a_moment(sign: int) -> None:
    shown = "infinity" if sign > 0 else "-infinity"
    most = 2**63 - 1 if sign > 0 else -(2**63)

    assert date_of(shown) == timestamp_of(shown) == timestamptz_of(shown) == sign * math.inf
    assert timestamp_binary(None)(struct.pack(">q", most)) == sign * math.inf
    beside = timestamp_binary(None)(struct.pack(">q", most - sign))
    assert isinstance(beside, Beyond)
    assert beside.type == "timestamp"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02 03:04:05", datetime(2026, 1, 2, 3, 4, 5)),
        ("2026-01-02 03:04:05.1", datetime(2026, 1, 2, 3, 4, 5, 100_000)),
        ("2026-01-02 03:04:05.000001", datetime(2026, 1, 2, 3, 4, 5, 1)),
        ("0001-01-01 00:00:00", datetime(1, 1, 1)),
        ("9999-12-31 23:59:59.999999", datetime(9999, 12, 31, 23, 59, 59, 999_999)),
        ("10000-01-01 00:00:00", Beyond("timestamp", 2_932_897 * DAY_US)),
        ("0001-12-31 23:59:59.5 BC", Beyond("timestamp", -719_162 * DAY_US - 500_000)),
    ],
)
def test_a_timestamp_is_read_in_every_year(text: str, expected: Any) -> None:
    assert timestamp_of(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02 03:04:05+00", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02 03:04:05+05:30", datetime(2026, 1, 1, 21, 34, 5, tzinfo=UTC)),
        ("1880-01-01 00:00:00+00:53:28", datetime(1879, 12, 31, 23, 6, 32, tzinfo=UTC)),
        ("0001-01-01 00:30:00+01", Beyond("timestamptz", -719_162 * DAY_US - 1_800_000_000)),
        ("9999-12-31 23:30:00-01", Beyond("timestamptz", 2_932_897 * DAY_US + 1_800_000_000)),
        ("0001-12-31 23:30:00-01 BC", datetime(1, 1, 1, 0, 30, tzinfo=UTC)),
    ],
)
def test_a_moment_is_in_utc_also_across_the_ends_of_the_calendar(text: str, expected: Any) -> None:
    assert timestamptz_of(text) == expected


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("00:00:00", 0),
        ("23:59:59.999999", DAY_US - 1),
        ("12:00:00.5", DAY_US // 2 + 500_000),
        ("12:00:00.05", DAY_US // 2 + 50_000),
    ],
)
def test_a_time_has_its_microseconds(text: str, us: int) -> None:
    found = time_of(text)

    assert time_text_us(text) == (us, timedelta())
    assert found == time_binary(struct.pack(">q", us))
    assert isinstance(found, time)


def test_the_last_moment_of_a_day_is_beyond_python_and_what_follows_is_no_time() -> None:
    assert time_of("24:00:00") == time_binary(struct.pack(">q", DAY_US)) == Beyond("time", DAY_US)
    for us in (-1, DAY_US + 1):
        with pytest.raises(ValueError, match="no time of day"):
            time_binary(struct.pack(">q", us))


@pytest.mark.parametrize(
    ("text", "west_s"),
    [
        ("12:00:00+00", 0),
        ("12:00:00+02", -7200),
        ("12:00:00-02:30", 9000),
        ("12:00:00+15:59:59", -57_599),
        ("12:00:00-15:59:59", 57_599),
    ],
)
def test_a_zone_is_to_the_east_whatever_the_form(text: str, west_s: int) -> None:
    found = timetz_of(text)

    assert found == timetz_binary(struct.pack(">qi", DAY_US // 2, west_s))
    assert isinstance(found, time)
    assert found.tzinfo == timezone(timedelta(seconds=-west_s))


@pytest.mark.parametrize("data", [b"", bytes(11), bytes(13), struct.pack(">qi", -1, 0)])
def test_what_is_no_time_with_a_zone_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="timetz"):
        timetz_binary(data)

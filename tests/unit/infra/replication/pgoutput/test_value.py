"""Values of every type: text and binary forms written here are read as the same Python value."""

from __future__ import annotations

import contextlib
import math
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.replication.pgoutput.array_text import read_array, read_range
from infra.replication.pgoutput.date_time import Beyond
from infra.replication.pgoutput.event import Type
from infra.replication.pgoutput.value import RangeValue, ValueKinds

KINDS = ValueKinds()
EPOCH = datetime(2000, 1, 1)


def text(oid: int, value: str) -> Any:
    convert = KINDS.kind(oid).text
    return value if convert is None else convert(value)


def binary(oid: int, value: bytes) -> Any:
    return KINDS.kind(oid).binary(value)


@pytest.mark.parametrize(("oid", "layout"), [(21, ">h"), (23, ">i"), (20, ">q")])
@given(st.data())
def test_integers(oid: int, layout: str, data: st.DataObject) -> None:
    bits = 8 * struct.calcsize(layout)
    number = data.draw(st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))

    assert text(oid, str(number)) == binary(oid, struct.pack(layout, number)) == number


@given(st.floats(allow_nan=False))
def test_doubles(number: float) -> None:
    shown = repr(number).replace("inf", "Infinity")

    assert text(701, shown) == binary(701, struct.pack(">d", number)) == number


def numeric_send(value: Decimal) -> bytes:
    """As the server writes it: digits of base 10,000 without zeros at either end."""
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    scale = max(0, -exponent)
    whole = int("".join(map(str, digits))) * 10 ** (exponent + scale)
    padded = whole * 10 ** (-scale % 4)
    groups: list[int] = []
    while padded:
        padded, group = divmod(padded, 10_000)
        groups.insert(0, group)
    weight = len(groups) - 1 - (scale + 3) // 4
    while groups and groups[-1] == 0:
        groups.pop()
    sign_word = 0x4000 if sign and groups else 0
    return struct.pack(
        f">HhHH{len(groups)}H", len(groups), weight if groups else 0, sign_word, scale, *groups
    )


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=None, min_value=-(10**40), max_value=10**40
    )
)
def test_numerics_keep_value_and_scale(value: Decimal) -> None:
    value = Decimal(f"{value:f}")
    value = abs(value) if value == 0 else value

    assert (
        text(1700, f"{value:f}").as_tuple()
        == binary(1700, numeric_send(value)).as_tuple()
        == value.as_tuple()
    )


@pytest.mark.parametrize(
    ("groups", "weight", "scale", "shown"),
    [
        ([1], 1250, 0, "1" + "0" * 5000),
        ([12, 3456], 32_767, 0, "123456" + "0" * (4 * 32_766)),
        ([9999] * 2000, 999, 4000, "9999" * 1000 + "." + "9999" * 1000),
        ([1], -1250, 5000, "0." + "0" * 4999 + "1"),
    ],
    ids=["wide", "widest", "both", "small"],
)
def test_numerics_of_thousands_of_digits(
    groups: list[int], weight: int, scale: int, shown: str
) -> None:
    """PostgreSQL has 131,072 digits before the point; Python prints no integer of 4,300."""
    sent = struct.pack(f">HhHH{len(groups)}H", len(groups), weight, 0x4000, scale, *groups)

    assert binary(1700, sent).as_tuple() == text(1700, f"-{shown}").as_tuple()


@pytest.mark.parametrize(
    ("groups", "weight", "scale", "shown"),
    [
        ([], 0, 3, "0.000"),
        ([1], 0, 0, "1"),
        ([1], 1, 2, "10000.00"),
        ([1000], -1, 1, "0.1"),
        ([1], -1, 4, "0.0001"),
        ([1], -2, 8, "0.00000001"),
        ([1], -2, 3, "0.000"),
        ([1, 5000], 0, 1, "1.5"),
    ],
)
def test_a_numerics_weight_says_where_its_point_is(
    groups: list[int], weight: int, scale: int, shown: str
) -> None:
    sent = struct.pack(f">HhHH{len(groups)}H", len(groups), weight, 0, scale, *groups)

    assert binary(1700, sent).as_tuple() == Decimal(shown).as_tuple()


def test_numerics_that_are_no_numbers() -> None:
    for shown, sign in (("NaN", 0xC000), ("Infinity", 0xD000), ("-Infinity", 0xF000)):
        sent = binary(1700, struct.pack(">HhHH", 0, 0, sign, 0))
        assert str(text(1700, shown)) == str(sent) == shown


@given(st.datetimes())
def test_timestamps(moment: datetime) -> None:
    us = (moment - EPOCH) // timedelta(microseconds=1)
    shown = moment.isoformat(" ")

    assert text(1114, shown) == binary(1114, struct.pack(">q", us)) == moment
    assert (
        text(1184, shown + "+00")
        == binary(1184, struct.pack(">q", us))
        == moment.replace(tzinfo=UTC)
    )


@given(st.integers(-4713, 294_000), st.integers(1, 12), st.integers(1, 28))
def test_dates_of_all_years_agree_with_the_number_of_days(year: int, month: int, day: int) -> None:
    # The days of a year like this one, moved by whole cycles of 400 years.
    cycles, like = divmod(year - 1, 400)
    days = (date(like + 1, month, day) - date(2000, 1, 1)).days + cycles * 146_097
    shown = (
        f"{year:04d}-{month:02d}-{day:02d}"
        if year > 0
        else f"{1 - year:04d}-{month:02d}-{day:02d} BC"
    )

    assert text(1082, shown) == binary(1082, struct.pack(">i", days))
    assert isinstance(text(1082, shown), date if 1 <= year <= 9999 else Beyond)


def test_times_and_their_extremes() -> None:
    zone = timezone(timedelta(hours=5, minutes=30))

    assert (
        text(1083, "12:30:00.5")
        == binary(1083, struct.pack(">q", 45_000_500_000))
        == time(12, 30, 0, 500_000)
    )
    assert (
        text(1083, "24:00:00")
        == binary(1083, struct.pack(">q", 86_400_000_000))
        == Beyond("time", 86_400_000_000)
    )
    assert text(1266, "01:02:03+05:30") == binary(1266, struct.pack(">qi", 3_723_000_000, -19_800))
    assert text(1266, "01:02:03+05:30") == time(1, 2, 3, tzinfo=zone)
    for oid, layout, most in (
        (1114, ">q", 2**63 - 1),
        (1184, ">q", 2**63 - 1),
        (1082, ">i", 2**31 - 1),
    ):
        assert text(oid, "infinity") == binary(oid, struct.pack(layout, most)) == math.inf
        assert text(oid, "-infinity") == binary(oid, struct.pack(layout, -most - 1)) == -math.inf
    assert text(1184, "0001-01-01 00:30:00+01") == Beyond("timestamptz", -62_135_598_600_000_000)


def quote(item: str | None) -> str:
    """As array_out does where quoting is needed."""
    return "NULL" if item is None else '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'


items = st.one_of(
    st.none(), st.text(st.characters(exclude_characters="\0"), max_size=8), st.just("NULL")
)


@given(st.lists(items, max_size=5))
def test_arrays_of_text_come_back_from_their_text(listed: list[str | None]) -> None:
    assert text(1009, "{" + ",".join(map(quote, listed)) + "}") == listed


@given(st.integers(1, 3), st.integers(1, 3), st.data())
def test_arrays_have_their_dimensions(height: int, width: int, data: st.DataObject) -> None:
    numbers = st.lists(st.integers(-9, 9), min_size=width, max_size=width)
    rows = data.draw(st.lists(numbers, min_size=height, max_size=height))
    shown = "{" + ",".join("{" + ",".join(map(str, row)) + "}" for row in rows) + "}"
    elements = b"".join(struct.pack(">ii", 4, number) for row in rows for number in row)
    sent = struct.pack(">iiIiiii", 2, 0, 23, height, 1, width, 1) + elements

    assert (
        text(1007, shown)
        == text(1007, f"[1:{height}][0:{width - 1}]={shown}")
        == binary(1007, sent)
        == rows
    )


@pytest.mark.parametrize(
    "shown",
    ["", "{", "}", "{1", "1}", "{1}}", "{1,}", "{,1}", "{1 {2}}", "{1}{2}", "{{1},}", '{"}'],
)
def test_texts_that_are_no_arrays_are_refused(shown: str) -> None:
    with pytest.raises(ValueError, match=r"array|element"):
        read_array(shown, str)


def test_ranges_with_quotes_and_without_bounds() -> None:
    assert read_range('["a,""b\\\\","c d")') == ('a,"b\\', "c d")
    assert (
        text(3904, "[1,)")
        == binary(3904, b"\x12" + struct.pack(">ii", 4, 1))
        == RangeValue(1, None, lower_included=True)
    )
    assert text(3904, "empty") == binary(3904, b"\1") == RangeValue(empty=True)
    with pytest.raises(ValueError, match="is no range"):
        read_range("[1,2")


def test_uuid_bytea_json_and_bool() -> None:
    number = UUID(int=2**100 + 7)

    assert text(2950, str(number)) == binary(2950, number.bytes) == number
    assert text(17, "\\x00ff") == binary(17, b"\0\xff") == b"\0\xff"
    assert text(3802, '{"a": [1, null]}') == binary(3802, b'\1{"a": [1, null]}') == {"a": [1, None]}
    assert [text(16, "t"), text(16, "f"), binary(16, b"\1"), binary(16, b"\0")] == [
        True,
        False,
        True,
        False,
    ]


def test_own_types_are_known_from_the_catalogue_or_the_stream() -> None:
    kinds = ValueKinds()
    kinds.learn_catalogue(
        [(90001, "a", 90002), (90002, "d", 90003), (90003, "e", 0), (90004, "r", 23), (23, "d", 25)]
    )
    kinds.learn(Type(90005, "", "int4"))
    kinds.learn(Type(90006, "public", "int4"))
    read: Callable[[str], Any] | None = kinds.kind(90001).text

    assert read is not None
    assert read("{calm,NULL}") == ["calm", None]
    assert kinds.kind(90003).binary("é".encode()) == "é"
    assert kinds.kind(90005).binary(b"\0\0\0\1") == 1
    assert kinds.kind(90006).binary(b"\0\0\0\1") == b"\0\0\0\1"
    assert kinds.kind(23).binary(b"\0\0\0\1") == 1


@given(st.sampled_from(sorted(KINDS._kinds)), st.binary(max_size=40), st.text(max_size=40))
def test_nothing_but_an_error_comes_of_what_is_no_value(oid: int, data: bytes, shown: str) -> None:
    with contextlib.suppress(ValueError, ArithmeticError):
        binary(oid, data)
    with contextlib.suppress(ValueError, ArithmeticError):
        text(oid, shown)

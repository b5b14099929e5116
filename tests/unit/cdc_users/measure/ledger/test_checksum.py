"""The canonical form of values, and the checksum over it."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.ledger.checksum import Json, canonical, checksum

#: docs/probe.md has the forms: each value, and the bytes that stand for it.
FORMS = [
    (None, b"n;"),
    ("", b"t0:;"),
    ("\u00e4", b"t2:\xc3\xa4;"),
    (True, b"b1;"),
    (False, b"b0;"),
    (0, b"d0;"),
    (-7, b"d-7;"),
    (1.0, b"d1;"),
    (-0.0, b"d0;"),
    (1e21, b"d1000000000000000000000;"),
    (float("nan"), b"dnan;"),
    (float("-inf"), b"d-infinity;"),
    (Decimal("1.500"), b"d1.5;"),
    (Decimal("-0.00"), b"d0;"),
    (Decimal("1E+3"), b"d1000;"),
    (
        Decimal("1234567890123456789012345678901234567890.10"),
        b"d1234567890123456789012345678901234567890.1;",
    ),
    (b"\x00a", b"x2:\x00a;"),
    (bytearray(b"a"), b"x1:a;"),
    (memoryview(b"a"), b"x1:a;"),
    (date(1969, 12, 31), b"e-1;"),
    (datetime(1970, 1, 1, 0, 0, 0, 1), b"z1;"),
    (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), b"z-1;"),
    (time(1, 2, 3, 4), b"h3723000004;"),
    (time(1, 0, tzinfo=timezone(timedelta(hours=2))), b"h82800000000;"),
    (timedelta(days=-1, microseconds=1), b"i-86399999999;"),
    (UUID(int=1), b"t36:00000000-0000-0000-0000-000000000001;"),
    ([1, None, "a"], b"a3:d1;n;t1:a;;"),
    ((), b"a0:;"),
    ({"b": 1.0, "a": [True, None, "x"]}, b'j32:{"a":[true,null,"x"],"b":1};'),
]


@pytest.mark.parametrize(("value", "form"), FORMS)
def test_a_value_has_the_form_of_the_page(value: object, form: bytes) -> None:
    if form.startswith(b"j"):
        form = b"j%d:" % (len(form) - len(b"j32:;")) + form[4:]
    assert canonical(value) == form


@given(st.lists(st.none() | st.text(max_size=3) | st.binary(max_size=3) | st.integers(-9, 9)))
def test_nothing_that_differs_runs_together(values: list[object]) -> None:
    joined = b"".join(map(canonical, values))

    assert canonical(values) == b"a%d:%s;" % (len(values), joined)
    for place in range(len(values)):
        for other in (None, "", "n;", 10, b"t0:"):
            if other != values[place] or type(other) is not type(values[place]):
                changed = [*values[:place], other, *values[place + 1 :]]
                assert b"".join(map(canonical, changed)) != joined


def test_a_json_document_is_its_content() -> None:
    one = Json.parse('{"a": 1.50, "b": [1e2, "x"]}')

    assert canonical(one) == canonical({"b": [100, "x"], "a": Decimal("1.5")})
    assert canonical(Json("x")) != canonical("x")
    assert canonical(Json(1)) != canonical(1)


def test_what_has_no_form_is_refused_by_its_type() -> None:
    with pytest.raises(TypeError, match="complex has no canonical form"):
        canonical(1j)
    with pytest.raises(ValueError, match="1000000000 digits has no canonical form"):
        canonical(Decimal("1e1000000000"))


def test_the_checksum_does_not_depend_on_how_a_value_is_written() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    elsewhere = moment.astimezone(timezone(timedelta(hours=5, minutes=30)))

    assert checksum(1, 1, [Decimal("1.50"), moment]) == checksum(1, 1, [Decimal("1.5"), elsewhere])


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ([None], ["null"]),
        ([None], [""]),
        (["ab", "c"], ["a", "bc"]),
        (["1"], [1]),
        ([Decimal("0.1")], [Decimal("0.10000001")]),
        (["a" * 255], ["a" * 256]),
        ([b"a"], ["a"]),
    ],
)
def test_the_checksum_tells_values_apart(left: list[object], right: list[object]) -> None:
    assert checksum(1, 1, left) != checksum(1, 1, right)


def test_the_checksum_covers_key_and_version() -> None:
    assert len({checksum(1, 1, ["a"]), checksum(2, 1, ["a"]), checksum(1, 2, ["a"])}) == 3

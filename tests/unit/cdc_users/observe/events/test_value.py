"""A row's checksum holds whatever carried the row; a value changed on the way does not pass."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.ledger.checksum import Json, canonical, checksum
from cdc_users.measure.ledger.ledger import RowCheck
from cdc_users.measure.ledger.probe import Operation, Probe, format_probe
from cdc_users.observe.events.value import check, value_of
from infra.avro.kind import PLACEHOLDER, UNAVAILABLE, ColumnKind

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
#: One value as its writer has it, and as Avro, JSON, PostgreSQL's text and Arrow may bring it.
CARRIED: list[tuple[ColumnKind, Any, list[Any]]] = [
    (ColumnKind.TEXT, "Zoë", ["Zoë"]),
    (ColumnKind.INT64, 2**62, [2**62, str(2**62)]),
    (ColumnKind.DECIMAL, Decimal("1.50"), [Decimal("1.5"), "1.50", "1.5", 1.5]),
    (ColumnKind.FLOAT64, 0.1, [0.1, "0.1"]),
    (ColumnKind.FLOAT32, 0.1, [float(np.float32(0.1)), 0.1, "0.1"]),
    (ColumnKind.BOOLEAN, True, [True]),
    (
        ColumnKind.ZONED_TIMESTAMP,
        MOMENT,
        [MOMENT, "2026-01-02T03:04:05.000678Z", "2026-01-02 05:04:05.000678+02"],
    ),
    (ColumnKind.INSTANT_US, MOMENT, [int(MOMENT.timestamp()) * 1_000_000 + 678]),
    (
        ColumnKind.TIMESTAMP_US,
        MOMENT.replace(tzinfo=None),
        ["2026-01-02 03:04:05.000678", MOMENT.replace(tzinfo=None)],
    ),
    (ColumnKind.DATE, date(2026, 1, 2), ["2026-01-02", 20_455, date(2026, 1, 2)]),
    (
        ColumnKind.TIME_US,
        time(3, 4, 5, 678),
        ["03:04:05.000678", 11_045_000_678, time(3, 4, 5, 678)],
    ),
    (ColumnKind.UUID, UUID(int=5), [UUID(int=5), "00000000-0000-0000-0000-000000000005"]),
    (
        ColumnKind.JSON,
        Json({"b": [1, None], "a": "x"}),
        ['{"a": "x", "b": [1.0, null]}', {"b": [1, None], "a": "x"}],
    ),
    (ColumnKind.BYTES, b"\x00ab", [b"\x00ab", "AGFi", "\\x006162", memoryview(b"\x00ab")]),
]


@pytest.mark.parametrize(("kind", "written", "carried"), CARRIED, ids=lambda value: str(value)[:20])
def test_a_value_has_one_canonical_form_whatever_carried_it(
    kind: ColumnKind, written: Any, carried: list[Any]
) -> None:
    assert {canonical(value_of(kind, value)) for value in carried} == {canonical(written)}


def probe_of(values: list[Any], key: int = 7) -> str:
    return format_probe(
        Probe("abcd1234", 1, 1, 1, 0, 1, 3, Operation.UPDATE, 0, checksum(key, 3, values))
    )


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["Ada", "1.50"], RowCheck.GOOD),
        (["Ada", "1.51"], RowCheck.CORRUPT),
        (["Ada", None], RowCheck.CORRUPT),
        (["Ada ", "1.5"], RowCheck.CORRUPT),
        (["Ada", "a lot"], RowCheck.CORRUPT),
        (["Ada", UNAVAILABLE], RowCheck.UNCHECKABLE),
        ([PLACEHOLDER, "1.5"], RowCheck.UNCHECKABLE),
    ],
)
def test_a_row_is_checked_against_its_own_probe(values: list[Any], found: RowCheck) -> None:
    kinds = [ColumnKind.TEXT, ColumnKind.DECIMAL]

    assert check(probe_of(["Ada", Decimal("1.5")]), 7, kinds, values) is found


def test_a_row_under_another_key_is_corrupt() -> None:
    assert check(probe_of(["Ada"]), 8, [ColumnKind.TEXT], ["Ada"]) is RowCheck.CORRUPT


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=20, min_value=-(10**30), max_value=10**30
    )
)
def test_no_digit_of_a_decimal_is_rounded_away(value: Decimal) -> None:
    text = canonical(value)[1:-1].decode()

    assert Decimal(text) == value
    assert not text.endswith(("0", ".")) or "." not in text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_keeps_all_its_bits(value: float) -> None:
    assert float(canonical(value)[1:-1]) == value


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (Json("1"), Json(1)),
        (Json({}), Json([])),
        (Json({"a": 1}), '{"a":1}'),
        (["a", "b"], ["ab"]),
        (date(1970, 1, 2), 1),
        (time(0, 0, 0, 1), 1),
        (float("nan"), None),
        (float("inf"), float("-inf")),
    ],
)
def test_values_that_differ_have_forms_that_differ(left: Any, right: Any) -> None:
    assert canonical(left) != canonical(right)

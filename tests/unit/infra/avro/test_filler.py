"""Rows of which the source sent the key alone are told from rows that it sent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from infra.platform.sinks.batch import Poison
from tests.batches import Partition
from tests.change_events import DECIMAL, VARIABLE, ZONED, Event

DATE = {"type": "int", "connect.name": "io.debezium.time.Date"}
JSON = {"type": "string", "connect.name": "io.debezium.data.Json"}
COLUMNS: dict[str, tuple[Any, bool]] = {
    "id": ("long", False),
    "name": ("string", False),
    "balance": (DECIMAL, False),
    "free": (VARIABLE, False),
    "born": (DATE, False),
    "active": ("boolean", False),
    "ratio": ("double", False),
    "at": (ZONED, False),
    "document": (JSON, False),
    "tags": ({"type": "array", "items": "string"}, False),
    "note": ("string", True),
}
EPOCH = "1970-01-01T00:00:00Z"
FILLED: tuple[Any, ...] = (
    1,
    "",
    Decimal(0),
    {"scale": 0, "value": b"\0"},
    0,
    False,
    0.0,
    EPOCH,
    "",
    [],
    None,
)


def key_only(*rows: tuple[Any, ...]) -> list[bool]:
    batch = Partition(columns=COLUMNS).batch([Event("d", 1, None, row) for row in rows])
    found: list[bool] = batch.key_only().tolist()
    return found


def test_a_row_of_zeros_and_nulls_beside_its_key_was_not_sent() -> None:
    assert key_only(FILLED, (2**40, *FILLED[1:])) == [True, True]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (1, "Ada"), (2, Decimal(1)), (3, {"scale": 1, "value": b"\x0f"}), (4, 1), (5, True),
        (6, -0.5), (7, "2026-01-02T03:04:05Z"), (8, "{}x"), (9, ["a"]), (10, ""),
    ],
)  # fmt: skip
def test_a_row_with_any_value_was_sent(place: int, value: Any) -> None:
    row = tuple(value if number == place else known for number, known in enumerate(FILLED))

    assert key_only(FILLED, row, FILLED) == [True, False, True]


@pytest.mark.parametrize(
    "text",
    ["", "0", "0.00", "1970-01-01Z", "1970-01-01T00:00:00Z", "00:00:00Z"],
)
def test_a_text_may_stand_for_a_decimal_a_date_or_a_time(text: str) -> None:
    """Debezium sends these as texts where it is asked to, and fills in their zeros."""
    assert key_only((1, text, *FILLED[2:]), (1, f"{text}1", *FILLED[2:])) == [True, False]


def test_an_interval_of_nothing_stands_for_none() -> None:
    interval = {"type": "string", "connect.name": "io.debezium.time.Interval"}
    partition = Partition(columns={"id": ("long", False), "pause": (interval, False)})
    rows = [(1, "P0Y0M0DT0H0M0S"), (1, "P0Y0M1DT0H0M0S")]
    batch = partition.batch([Event("d", 1, None, row) for row in rows])

    assert batch.key_only().tolist() == [True, False]


def test_an_event_without_a_row_before_it_has_sent_none() -> None:
    batch = Partition(columns=COLUMNS).batch([Event("c", 1, FILLED)])

    assert batch.key_only().tolist() == [False]


def test_a_default_of_the_column_stands_for_what_was_not_sent() -> None:
    partition = Partition(columns={"id": ("long", False), "state": ("string", False, "new")})
    rows = [(1, "new"), (1, ""), (1, "old")]
    batch = partition.batch([Event("d", 1, None, row) for row in rows])

    assert batch.key_only().tolist() == [True, False, False]


def test_a_default_stands_in_a_column_that_may_be_null_too() -> None:
    """Kafka Connect gives out a column's default where its value is NULL; of now() Debezium makes
    the beginning of 1970, and of a free numeric a record.
    """
    zero = {"scale": 0, "value": "\0"}
    partition = Partition(
        columns={
            "id": ("long", False),
            "made": (ZONED, True, EPOCH),
            "free": (VARIABLE, True, zero),
            "state": ("string", True, "new"),
            "note": ("string", True),
        }
    )
    free = {"scale": 0, "value": b"\0"}
    rows: list[tuple[Any, ...]] = [
        (1, EPOCH, free, "new", None),
        (1, None, None, None, None),
        (1, "2026-01-02T03:04:05Z", free, "new", None),
        (1, EPOCH, free, "old", None),
        (1, EPOCH, free, "new", ""),
    ]
    batch = partition.batch([Event("d", 1, None, row) for row in rows])

    assert batch.key_only().tolist() == [True, True, False, False, False]


IDENTITY: dict[str, tuple[Any, bool]] = {
    "tenant": ("long", False),
    "id": ("long", False),
    "code": ("string", False),
    "size": ("long", False),
    "note": ("string", True),
}


@pytest.mark.parametrize(
    ("row", "made_up"),
    [
        ((0, 0, "a", 0, None), True),  # the identity is (code)
        ((7, 0, "a", 0, None), True),  # (tenant, code)
        ((7, 1, "a", 0, None), False),  # (tenant, id, code)
        ((0, 0, "", 0, None), False),  # the primary key, (0, 0)
        ((0, 0, "a", 5, "n"), False),  # FULL, (0, 0)
        ((7, 1, "a", 5, None), False),  # FULL
    ],
)
def test_a_key_that_was_not_sent_is_told_from_one_of_zeros(
    row: tuple[Any, ...], made_up: bool
) -> None:
    key = {"tenant": IDENTITY["tenant"], "id": IDENTITY["id"]}
    partition = Partition(columns=IDENTITY, key=key)
    event = Event("d", 0, None, row)
    (item,) = partition.items([(partition.encoder.key(event), partition.encoder.value(event))])

    assert isinstance(item, Poison) is made_up

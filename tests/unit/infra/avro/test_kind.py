"""What Debezium sends for infinities is known, whatever the precision, and in arrays."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from infra.avro.kind import Column, ColumnKind, UnknownMomentError, date_value
from tests.batches import Partition
from tests.change_events import ZONED, Event

DATE = {"type": "int", "connect.name": "io.debezium.time.Date"}
MILLIS = {"type": "long", "connect.name": "io.debezium.time.Timestamp"}
MICROS = {"type": "long", "connect.name": "io.debezium.time.MicroTimestamp"}
BITS = {
    "type": "bytes",
    "connect.name": "io.debezium.data.Bits",
    "connect.parameters": {"length": "3"},
}


def values_of(kind: Any, *values: Any) -> list[Any]:
    columns = {"id": ("long", False), "v": (kind, True)}
    events = [Event("c", key, (key, value)) for key, value in enumerate(values)]
    return Partition(columns=columns).batch(events).rows.values("after", "v")


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        (DATE, (-2147472692, -2147472691)),
        (DATE, (-622191234, -625821272)),
        (MILLIS, (9223372036825200, -9223372036832400)),
        (MICROS, (9223372036825200000, -9223372036832400000)),
        (ZONED, ("infinity", "-infinity")),
        (ZONED, ("infinity", "+292269055-12-02T23:00:00.000000Z")),
    ],
)
def test_infinities_are_known_at_every_precision(kind: Any, numbers: tuple[Any, Any]) -> None:
    assert values_of(kind, *numbers) == ["infinity", "-infinity"]
    array = {"type": "array", "items": ["null", kind]}
    assert values_of(array, [*numbers, None]) == [["infinity", "-infinity", None]]


def test_a_number_that_is_no_date_of_postgresql_is_not_taken_for_one() -> None:
    assert date_value(-735_160) == "0044-03-15 BC"
    assert date_value(-719_162) == date(1, 1, 1)
    with pytest.raises(UnknownMomentError, match="-2147472690 days"):
        date_value(-2147472690)


def test_a_column_knows_its_bits_and_its_items() -> None:
    columns = {
        "id": ("long", False),
        "b": (BITS, True),
        "a": ({"type": "array", "items": ["null", DATE]}, True),
    }
    batch = Partition(columns=columns).batch([Event("c", 1, (1, b"\3", [1]))])

    assert batch.rows.columns[1].bits == 3
    assert batch.rows.columns[2].item == Column("", ColumnKind.DATE, True)

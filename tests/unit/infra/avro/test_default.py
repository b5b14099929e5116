"""A column's default is known as far as its schema tells it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from infra.avro.row_columns import RowColumns
from infra.avro.walk import AvroSchema
from tests.change_events import DECIMAL, VARIABLE, ZONED

UUID = {"type": "string", "connect.name": "io.debezium.data.Uuid"}
DATE = {"type": "int", "connect.name": "io.debezium.time.Date"}
MILLIS = {"type": "long", "connect.name": "io.debezium.time.Timestamp"}
SOME = "00112233-4455-6677-8899-aabbccddeeff"


def known_columns(kind: Any, default: Any) -> RowColumns:
    fields = [
        {"name": "v", "type": [kind, "null"], "default": default},
        {"name": "note", "type": ["null", "string"], "default": None},
    ]
    row = {"type": "record", "name": "Value", "fields": fields}
    return RowColumns(AvroSchema(row), row)


@pytest.mark.parametrize(
    ("kind", "declared", "default"),
    [
        ("int", 5, 5),
        ("boolean", False, False),
        ("string", "", ""),
        ("bytes", "\x00\xff", b"\x00\xff"),
        (DECIMAL, "\x00\x96", Decimal("1.50")),
        (VARIABLE, {"scale": 1, "value": "\x0f"}, Decimal("1.5")),
        (UUID, SOME, SOME),
        (DATE, 20_000, date(2024, 10, 4)),
        (MILLIS, 1_577_836_800_000, datetime(2020, 1, 1)),
        (ZONED, "2020-01-01T00:00:00.000000Z", datetime(2020, 1, 1, tzinfo=UTC)),
        # What Debezium makes of now(), CURRENT_DATE and gen_random_uuid() is no default.
        (ZONED, "1970-01-01T00:00:00.000000Z", None),
        (DATE, 0, None),
        (UUID, "00000000-0000-0000-0000-000000000000", None),
        ({"type": "array", "items": "int"}, [], None),
    ],
)
def test_a_default_is_read_as_a_value_of_its_column(kind: Any, declared: Any, default: Any) -> None:
    known = known_columns(kind, declared)

    assert known.column("v").default == default
    assert known.column("note").default is None
    assert known.hiding_null == ("v",)


def test_a_default_of_another_form_is_not_known() -> None:
    assert known_columns(DECIMAL, 5).column("v").default is None

"""Arrays and maps in every sink: what was not sent is known as such, and items are what columns of
their kind are.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from infra.avro.kind import PLACEHOLDER, UNAVAILABLE
from infra.platform.sinks.batch import Batch
from infra.platform.sinks.iceberg.arrow import row_arrays
from infra.platform.sinks.postgres.array import elements
from infra.platform.sinks.postgres.conversion import json_text
from infra.platform.sinks.webhook.document import documents, encode
from tests.batches import Partition
from tests.change_events import DECIMAL, VARIABLE, ZONED, Event

DATE = {"type": "int", "connect.name": "io.debezium.time.Date"}
PLACEHOLDER_NUMBERS = list(PLACEHOLDER.encode())
MAP = {"type": "map", "values": ["null", "string"]}


def array_of(item: Any) -> dict[str, Any]:
    return {"type": "array", "items": ["null", item]}


def batch_of(kind: Any, value: Any) -> Batch:
    columns = {"id": ("long", False), "many": (kind, True)}
    return Partition(columns=columns).batch([Event("u", 1, (1, value))])


#: As the real connector wrote them (tests/integration/test_placeholder.py); the maps are by its
#: code.
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (array_of("int"), PLACEHOLDER_NUMBERS),
        (array_of("long"), PLACEHOLDER_NUMBERS),
        (array_of(DATE), PLACEHOLDER_NUMBERS),
        (array_of("string"), [PLACEHOLDER]),
        (array_of("bytes"), [PLACEHOLDER.encode()]),
        (array_of("string"), ["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]),
        (MAP, {PLACEHOLDER: PLACEHOLDER}),
        ("string", f'{{"{PLACEHOLDER}":"{PLACEHOLDER}"}}'),
        ("string", PLACEHOLDER),
        ("bytes", PLACEHOLDER.encode()),
    ],
)
def test_every_form_of_the_placeholder_means_not_sent(kind: Any, value: Any) -> None:
    batch = batch_of(kind, value)
    arrays, not_sent = row_arrays(batch)

    assert batch.rows.values("after", "many") == [UNAVAILABLE]
    assert elements(batch.rows, "after", batch.rows.columns[1], json_text) == [UNAVAILABLE]
    assert (arrays[1].to_pylist(), not_sent) == ([None], [["many"]])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (array_of("int"), PLACEHOLDER_NUMBERS[1:]),
        (array_of("string"), [PLACEHOLDER, "more"]),
        (array_of("string"), []),
        (MAP, {PLACEHOLDER: "else"}),
    ],
)
def test_what_only_looks_like_a_placeholder_is_a_value(kind: Any, value: Any) -> None:
    assert batch_of(kind, value).rows.values("after", "many") == [value]


@pytest.mark.parametrize(
    ("item", "wire", "value"),
    [
        (DECIMAL, Decimal("1.50"), Decimal("1.50")),
        (VARIABLE, {"scale": 1, "value": b"\x19"}, Decimal("2.5")),
        (DATE, 18263, date(2020, 1, 2)),
        (ZONED, "2020-01-02T03:04:05.000000Z", datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ],
)
def test_items_are_made_as_columns_of_their_kind_are(item: Any, wire: Any, value: Any) -> None:
    assert batch_of(array_of(item), [wire, None]).rows.values("after", "many") == [[value, None]]


@pytest.mark.parametrize(
    ("item", "wire", "inside", "in_postgres"),
    [
        (DECIMAL, Decimal("1.50"), "1.50", "1.50"),
        (DECIMAL, Decimal("-0.01"), "-0.01", "-0.01"),
        (VARIABLE, {"scale": 1, "value": b"\x19"}, "2.5", "2.5"),
        ("double", 1.5, 1.5, 1.5),
        ("double", float("nan"), "NaN", "NaN"),
        ("double", float("inf"), "Infinity", "Infinity"),
        ("float", float("-inf"), "-Infinity", "-Infinity"),
        ("bytes", b"\x00\xff", "AP8=", "\\x00ff"),
        (DATE, 18263, "2020-01-02", "2020-01-02"),
        (
            ZONED,
            "2020-01-02T03:04:05.5Z",
            "2020-01-02T03:04:05.500000Z",
            "2020-01-02T03:04:05.500000Z",
        ),
        ("string", 'x"\\', 'x"\\', 'x"\\'),
        ("long", 2**53 + 1, 2**53 + 1, 2**53 + 1),
    ],
)
def test_items_are_whole_in_every_sink(item: Any, wire: Any, inside: Any, in_postgres: Any) -> None:
    batch = batch_of(array_of(item), [wire, None])

    (text,) = elements(batch.rows, "after", batch.rows.columns[1], json_text)
    assert isinstance(text, bytes)
    assert _strict(text) == [in_postgres, None]
    (arrow_text,) = row_arrays(batch)[0][1].to_pylist()
    assert _strict(arrow_text) == [inside, None]
    assert _strict(encode(documents(batch)))[0]["after"]["many"] == [inside, None]


def _strict(text: str | bytes) -> Any:
    """JSON as its standard has it, without Python's NaN."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_a_decimal_without_a_scale_is_its_digits_in_iceberg() -> None:
    assert row_arrays(batch_of(VARIABLE, {"scale": -2, "value": b"\x19"}))[0][1].to_pylist() == [
        "2500"
    ]

"""Messages of a partition become batches of one schema each, of rows and of keys."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from infra.platform.consume.decode import Decoder
from infra.platform.consume.registry import NO_AVRO
from infra.platform.sinks.batch import Batch, Chunk, Poison
from tests.change_events import Columns, Encoder, Event, envelope_schema, key_schema

COLUMNS: Columns = {"tenant": ("long", False), "id": ("long", False)}


def test_a_key_that_changes_alone_begins_a_batch_of_its_own() -> None:
    narrow, wide = Encoder(COLUMNS), Encoder(COLUMNS, key_id=3, key_columns=COLUMNS)
    decoder = Decoder()
    decoder.learn(1, envelope_schema(COLUMNS, narrow.namespace))
    decoder.learn(2, key_schema(narrow.namespace))
    decoder.learn(3, key_schema(narrow.namespace, COLUMNS))
    events = [Event("c", key, (7, key)) for key in range(5)]
    encoders = [narrow, narrow, wide, wide, narrow]
    keys = [each.key(event) for each, event in zip(encoders, events, strict=True)]
    values = [narrow.value(event) for event in events]

    found = decoder.read(("t", 0), Chunk(values, [*keys[:4], None], range(5), [0] * 5, [0] * 5))

    batches = [batch for batch in found if isinstance(batch, Batch)]
    assert [len(batch) for batch in batches] == [2, 2, 1]
    readers = [batch.key_reader for batch in batches]
    assert [
        None if reader is None else [column.name for column in reader.columns] for reader in readers
    ] == [["id"], ["tenant", "id"], None]
    assert [batch.end for batch in batches] == [2, 4, 5]


def test_columns_of_which_nulls_come_as_their_default_are_named_once() -> None:
    columns: Columns = {"id": ("long", False), "state": ("string", True, "new")}
    encoder, decoder = Encoder(columns), Decoder()
    decoder.learn(1, envelope_schema(columns, encoder.namespace))
    decoder.learn(2, key_schema(encoder.namespace))
    event = Event("c", 1, (1, "new"))
    chunk = Chunk([encoder.value(event)], [encoder.key(event)], [0], [0], [0])
    with capture_logs() as logs:
        for _ in range(2):
            decoder.read(("t", 0), chunk)

    assert [(entry["event"], entry["columns"]) for entry in logs] == [
        ("platform.schema.null_is_default", ("state",))
    ]


NODE = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}
HEARTBEAT = {
    "type": "record",
    "name": "Heartbeat",
    "namespace": "io.debezium.connector.common",
    "fields": [{"name": "ts_ms", "type": "long"}],
}
DEEP: dict[str, Any] = {"type": "array", "items": "null"}
for _ in range(3000):
    DEEP = {"type": "array", "items": DEEP}


@pytest.mark.parametrize(
    "schema",
    [
        "string",
        NO_AVRO,
        ["null", "string"],
        5,
        {},
        {"type": "record", "name": "E", "fields": 5},
        HEARTBEAT,
        envelope_schema({"id": ("long", False), "v": (NODE, True)}, "cdc.test.customers"),
        envelope_schema({"id": ("long", False), "v": (DEEP, True)}, "cdc.test.customers"),
        envelope_schema({"id": ("long", False), "v": ("Nowhere", True)}, "cdc.test.customers"),
    ],
)
def test_a_schema_of_anything_else_makes_a_poisoned_message_and_no_end(schema: Any) -> None:
    decoder = Decoder()
    decoder.learn(9, schema)
    value = bytes([0, 0, 0, 0, 9]) + b"\x02\x04\x06"

    (poison,) = decoder.read(
        ("t", 0), Chunk([value], [bytes([0, 0, 0, 0, 9]) + b"\x02"], [7], [1], [1])
    )

    assert isinstance(poison, Poison)
    assert "event t[0]@7 cannot be read" in str(poison.cause)


@pytest.mark.parametrize(
    "value", [b"", b"\x00", b'{"before": null}', b"\x01\x00\x00\x00\x01x", b"\xff" * 40]
)
def test_what_is_not_in_confluents_format_is_poison(value: bytes) -> None:
    (poison,) = Decoder().read(("t", 0), Chunk([value], [None], [7], [1], [1]))

    assert isinstance(poison, Poison)
    assert "not in Confluent's wire format" in str(poison.cause)

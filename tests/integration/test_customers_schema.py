"""Our schemas, keys and rows are those that the real connector writes, byte for byte."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import requests

from infra.avro.encoder import ChangeOrigin, EnvelopeEncoder
from infra.schemas.debezium import AvroDefinition, customers_schemas, row_schema, with_column
from infra.schemas.envelope import HEADER_BYTES, schema_id
from infra.stack.endpoints import Endpoints
from tests.integration.debezium_capture import captured_customers

MICROSECONDS = datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
WHOLE = datetime(2026, 1, 1, tzinfo=UTC)
HALF = datetime(1970, 1, 1, 0, 0, 0, 500000, tzinfo=UTC)
LATE = datetime(9999, 12, 31, 23, 59, 59, 120000, tzinfo=UTC)
ROWS = (
    (
        1,
        "Ada",
        "Lovelace",
        "a@b",
        "+49 30 1",
        Decimal("12.50"),
        MICROSECONDS,
        "a note, 'quoted', with ünïcode",
        "P1",
    ),
    (2, "", "\\", '"', None, None, WHOLE, None, None),
    (-3, "Zoë", "😀", "x" * 300, "", Decimal("-0.01"), HALF, "", "P2"),
    (2**62, "a", "b", "c", None, Decimal("-1.28"), LATE, "n", "P3"),
)
INSERT = "INSERT INTO {} VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"


def schema_of(endpoints: Endpoints, message: bytes) -> AvroDefinition:
    answer = requests.get(
        f"{endpoints.schema_registry_url}/schemas/ids/{schema_id(message)}", timeout=10
    )
    schema: AvroDefinition = json.loads(answer.json()["schema"])
    return schema


def test_the_connector_writes_what_our_files_and_our_encoder_say(stack: Endpoints) -> None:
    with captured_customers(stack) as capture:
        capture.execute(INSERT, *ROWS)
        capture.execute("UPDATE {} SET notes = NULL, balance = 0 WHERE id = 1")
        capture.execute("DELETE FROM {} WHERE id = 1")
        capture.execute("ALTER TABLE {} ADD COLUMN tier text")
        capture.execute(
            "INSERT INTO {} VALUES (9, 'a', 'b', 'c', NULL, NULL, now(), NULL, NULL, 'gold')"
        )
        records = capture.records(len(ROWS) + 4)

        schemas = customers_schemas(capture.topic)
        values = [record.value() or b"" for record in records]
        keys = [record.key() or b"" for record in records]
        assert schema_of(stack, keys[0]) == schemas.key
        assert schema_of(stack, values[0]) == schemas.value
        assert schema_of(stack, values[-1]) == with_column(schemas, "tier").value

    ours = EnvelopeEncoder(schemas, schema_id(keys[0]), schema_id(values[0]), ChangeOrigin())
    updated = (*ROWS[0][:5], Decimal(0), MICROSECONDS, None, "P1")
    changes = [("c", None, row) for row in ROWS] + [("u", ROWS[0], updated), ("d", updated, None)]
    for key, value, (operation, before, after) in zip(keys, values, changes, strict=False):
        assert key == ours.key(after or before or ())
        envelope = ours.value(operation, before, after, (1, 1), ours.moment(0))
        rows = (
            len(envelope)
            - len(ours.value(operation, None, None, (1, 1), ours.moment(0)))
            + HEADER_BYTES
            + 2
        )
        assert value[:rows] == envelope[:rows]
    # The tombstone that follows the delete.
    assert (keys[len(changes)], records[len(changes)].value()) == (keys[0], None)
    assert row_schema(schemas.value)["fields"][0]["name"] == "id"

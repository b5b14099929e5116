"""What the real connector sends for large values that were not changed is read as not sent."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
import requests
from confluent_kafka import Message

from infra.avro.kind import UNAVAILABLE
from infra.avro.row import Rows
from infra.avro.row_reader import RowReader
from infra.schemas.envelope import schema_id
from infra.stack.endpoints import Endpoints
from tests.integration.debezium_capture import captured_customers

#: By column: its type, and one item of it.
ARRAYS = {
    "ints": ("int[]", "7"),
    "longs": ("bigint[]", "8"),
    "days": ("date[]", "'2020-01-02'"),
    "uuids": ("uuid[]", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"),
    "words": ("text[]", "'word'"),
    "short_words": ("varchar(10)[]", "'word'"),
    "blobs": ("bytea[]", "'\\x00ff'"),
    "documents": ("jsonb[]", "'[1]'"),
}
COLUMNS = ARRAYS | {"document": ("jsonb", "'x'"), "blob": ("bytea", "'x'")}


def test_unchanged_large_values_are_known_as_not_sent(stack: Endpoints) -> None:
    with captured_customers(stack) as capture:
        # With the old row in the log the connector would know the values.
        capture.execute("ALTER TABLE {} REPLICA IDENTITY DEFAULT")
        for name, (kind, _) in COLUMNS.items():
            capture.execute(f"ALTER TABLE {{}} ADD COLUMN {name} {kind}")
            capture.execute(f"ALTER TABLE {{}} ALTER COLUMN {name} SET STORAGE EXTERNAL")
        values = [f"array_fill({item}::{kind[:-2]}, ARRAY[3000])" for kind, item in ARRAYS.values()]
        values += ["to_jsonb(repeat('x', 2998))", "decode(repeat('00', 3000), 'hex')"]
        capture.execute(
            f"INSERT INTO {{}} (id, first_name, last_name, email, created_at, {', '.join(COLUMNS)})"
            f" VALUES (1, 'a', 'b', 'c', now(), {', '.join(values)})"
        )
        capture.execute("UPDATE {} SET phone = '1'")
        rows = rows_of(stack, capture.records(2))

    found = {name: rows.values("after", name) for name in COLUMNS}

    assert {name: len(whole) for name, (whole, _) in found.items()} == dict.fromkeys(COLUMNS, 3000)
    assert {name: unchanged for name, (_, unchanged) in found.items()} == dict.fromkeys(
        COLUMNS, UNAVAILABLE
    )
    assert rows.values("after", "phone") == [None, "1"]


@pytest.mark.parametrize(("identity", "sent"), [("DEFAULT", UNAVAILABLE), ("FULL", "x" * 3000)])
def test_a_row_under_a_new_key_has_its_large_values_where_the_old_row_is_sent(
    stack: Endpoints, identity: str, sent: object
) -> None:
    with captured_customers(stack) as capture:
        capture.execute(f"ALTER TABLE {{}} REPLICA IDENTITY {identity}")
        capture.execute("ALTER TABLE {} ALTER COLUMN notes SET STORAGE EXTERNAL")
        capture.execute(
            "INSERT INTO {} (id, first_name, last_name, email, created_at, notes)"
            " VALUES (1, 'a', 'b', 'c', now(), repeat('x', 3000))"
        )
        capture.execute("UPDATE {} SET id = 2")
        rows = rows_of(stack, capture.records(4))

    assert bytes(rows.operation) == b"cdc"
    assert rows.values("after", "notes") == ["x" * 3000, None, sent]


def rows_of(stack: Endpoints, records: Sequence[Message]) -> Rows:
    """What records without a tombstone say, all of one schema."""
    messages = [value for record in records if (value := record.value()) is not None]
    url = f"{stack.schema_registry_url}/schemas/ids/{schema_id(messages[0])}"
    reader = RowReader(json.loads(requests.get(url, timeout=10).json()["schema"]))
    return reader.read(messages)

"""What the real connector sends for large values that were not changed is read as not sent."""

from __future__ import annotations

import json

import requests

from infra.avro.kind import UNAVAILABLE
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
        messages = [record.value() or b"" for record in capture.records(2)]
        url = f"{stack.schema_registry_url}/schemas/ids/{schema_id(messages[0])}"
        reader = RowReader(json.loads(requests.get(url, timeout=10).json()["schema"]))

    rows = reader.read(messages)
    found = {name: rows.values("after", name) for name in COLUMNS}

    assert {name: len(whole) for name, (whole, _) in found.items()} == dict.fromkeys(COLUMNS, 3000)
    assert {name: unchanged for name, (_, unchanged) in found.items()} == dict.fromkeys(
        COLUMNS, UNAVAILABLE
    )
    assert rows.values("after", "phone") == [None, "1"]

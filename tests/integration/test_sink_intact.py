"""A wide row with NULLs, a megabyte of text, and types at their extremes reaches every sink as it
was.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from pyiceberg.catalog import load_catalog

from infra.platform.sinks.batch import Batch
from infra.platform.sinks.iceberg.sink import CATALOG, IcebergSink, local_properties
from infra.platform.sinks.postgres.sink import PostgresSink
from infra.platform.sinks.webhook.document import documents, encode
from infra.stack.endpoints import Endpoints
from tests.batches import Partition
from tests.change_events import ZONED, Event

DECIMAL = {
    "type": "bytes",
    "scale": 10,
    "precision": 38,
    "connect.name": "org.apache.kafka.connect.data.Decimal",
    "logicalType": "decimal",
}
DATE = {"type": "int", "connect.name": "io.debezium.time.Date"}
MICROS = {"type": "long", "connect.name": "io.debezium.time.MicroTimestamp"}
COLUMNS: dict[str, tuple[Any, bool]] = {
    "id": ("long", False),
    "words": ("string", True),
    "amount": (DECIMAL, True),
    "moment": (ZONED, True),
    "plain": (MICROS, True),
    "day": (DATE, True),
    "flag": ("boolean", True),
    "ratio": ("double", True),
    "data": ("bytes", True),
    "probe": ("string", True),
}
NASTY = (
    '\\0 \\x00 \\N \\. \'single\' "double" {a,NULL,"b"} \t\r\n \\\\ \u2028 e\u0301 🐘👩‍👩‍👧'
    " \x01\x7f"
)
MOST = Decimal("9" * 28 + "." + "9" * 10)
ROWS: list[tuple[Any, ...]] = [
    (
        1,
        "plain",
        Decimal("1.5000000000"),
        "2026-01-02T03:04:05.678901Z",
        0,
        0,
        True,
        1.5,
        b"\x00\x01\xff",
        "p",
    ),
    (2, None, None, None, None, None, None, None, None, None),
    (
        -(2**63),
        NASTY,
        MOST.copy_negate(),
        "0001-01-01T00:00:00.000000Z",
        -(2**53),
        -719_162,
        False,
        -0.0,
        b"",
        "",
    ),
    (
        2**63 - 1,
        "x" * 1_000_000,
        MOST,
        "9999-12-31T23:59:59.999999Z",
        2**53,
        2_932_896,
        True,
        1e308,
        b"\\x00",
        "p",
    ),
    (
        5,
        "",
        Decimal("-1E-10"),
        "infinity",
        9223372036825200000,
        0,
        False,
        5e-324,
        bytes(range(256)),
        "p",
    ),
    (6, "__debezium", Decimal(0), "-infinity", -9223372036832400000, 0, False, 0.1, b"'", "p"),
    (7, "far", Decimal(1), "+12026-01-02T03:04:05.678901Z", 1, 1, None, float("inf"), None, None),
    (8, "before", Decimal(-1), "-0043-03-15T12:00:00Z", -1, -1, None, float("-inf"), None, None),
]


@pytest.fixture
def batch() -> Batch:
    return Partition(columns=COLUMNS).batch([Event("c", row[0], row) for row in ROWS])


@pytest.fixture
def schema(stack: Endpoints) -> Iterator[str]:
    name = f"cdc_sinks_{uuid.uuid4().hex[:8]}"
    yield name
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")


async def test_postgres_holds_every_row_as_its_source_would(
    stack: Endpoints, schema: str, batch: Batch
) -> None:
    sink = PostgresSink(stack.postgres_dsn, f"{schema}.rows")
    await sink.open()
    try:
        await sink.write(batch)
    finally:
        await sink.close()

    with psycopg.connect(stack.postgres_dsn) as connection:
        connection.execute("SET timezone TO 'UTC'")
        connection.execute(f"CREATE TABLE {schema}.source (LIKE {schema}.rows)")
        with connection.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO {schema}.source VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                map(as_source, ROWS),
            )
        lost = connection.execute(f"TABLE {schema}.source EXCEPT TABLE {schema}.rows").fetchall()
        made_up = connection.execute(f"TABLE {schema}.rows EXCEPT TABLE {schema}.source").fetchall()
        (count,) = connection.execute(f"SELECT count(*) FROM {schema}.rows").fetchone() or (0,)

    assert (lost, made_up) == ([], [])
    assert count == len(ROWS)


#: PostgreSQL's own spelling of what Debezium writes otherwise, by column.
SPELLING: dict[str, dict[Any, str]] = {
    "moment": {
        "+12026-01-02T03:04:05.678901Z": "12026-01-02 03:04:05.678901+00",
        "-0043-03-15T12:00:00Z": "0044-03-15 12:00+00 BC",
    },
    "plain": {9223372036825200000: "infinity", -9223372036832400000: "-infinity"},
    "day": {
        -719_162: "0001-01-01",
        2_932_896: "9999-12-31",
        -1: "1969-12-31",
        0: "1970-01-01",
        1: "1970-01-02",
    },
}


def as_source(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """What one would insert to get such an event."""
    whole = {
        name: SPELLING.get(name, {}).get(value, value)
        for name, value in zip(COLUMNS, row, strict=True)
    }
    if isinstance(whole["plain"], int):
        whole["plain"] = datetime(1970, 1, 1) + timedelta(microseconds=whole["plain"])
    return tuple(whole.values())


async def test_iceberg_holds_every_row(tmp_path: Path, batch: Batch) -> None:
    properties = local_properties(str(tmp_path))
    sink = IcebergSink(properties, "test.rows")
    await sink.open()
    await sink.write(batch)
    await sink.flush()
    await sink.close()

    catalog = load_catalog(CATALOG, **properties)
    rows = catalog.load_table("test.rows").scan().to_arrow().sort_by("cdc_offset")
    catalog.close()
    for name, place in (
        ("id", 0),
        ("words", 1),
        ("amount", 2),
        ("flag", 6),
        ("ratio", 7),
        ("data", 8),
        ("probe", 9),
    ):
        assert rows[name].to_pylist() == [row[place] for row in ROWS], name
    assert rows["plain"].cast(pa.int64()).to_pylist() == [row[4] for row in ROWS]
    assert rows["day"].cast(pa.int32()).to_pylist() == [row[5] for row in ROWS]
    micros = rows["moment"].cast(pa.int64()).to_pylist()
    assert micros[:4] == [1767323045678901, None, -62135596800000000, 253402300799999999]
    assert micros[4:6] == [9223372036825200000, -9223372036832400000]
    assert micros[6:] == [317336843045678901, -63517780800000000]


async def test_json_holds_every_row(batch: Batch) -> None:
    events = json.loads(encode(documents(batch)))

    for event, row in zip(events, ROWS, strict=True):
        after = event["after"]
        assert (event["key"], after["id"]) == ({"id": row[0]}, row[0])
        assert after["words"] == row[1]
        assert (None if after["amount"] is None else Decimal(after["amount"])) == row[2]
        assert after["moment"] == row[3]
        assert after["flag"] == row[6]
        assert (None if after["ratio"] is None else float(after["ratio"])) == row[7]
        assert (None if after["data"] is None else base64.b64decode(after["data"])) == row[8]
    assert events[4]["after"]["plain"] == "infinity"
    assert events[3]["after"]["day"] == "9999-12-31"
    assert events[0]["source"]["offset"] == 0

"""The direct reader's Avro on a real server: the platform writes of it what the source has."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import psycopg
import pytest

from cdc_users.pipeline.provision.kafka_topics import delete_subjects
from infra.platform.sinks.batch import Batch, Chunk
from infra.platform.sinks.postgres.sink import PostgresSink
from infra.platform.transports.transport import Record
from infra.platform.wal.error import SetupError
from infra.stack.endpoints import Endpoints
from tests.batches import decoded
from tests.integration.wal_source import Source, await_that, reading

#: Columns, and the values of two rows; {} stands for the source's name.
COLUMNS = {
    "ints": ("int[]", "'{1,NULL,3}'"),
    "texts": ("text[]", '\'{a,NULL,"NULL","b,c",""}\''),
    "nums": ("numeric(10,2)[]", "'{1.50,NULL}'"),
    "days": ("date[]", "'{2026-01-02,infinity,0044-03-15 BC}'"),
    "clocks": ("time[]", "'{24:00}'"),
    "moments": ("timestamptz[]", "'{2026-01-02 03:04:05+00}'"),
    "octets": ("bytea[]", "'{\"\\\\x00ff\"}'"),
    "span": ("int4range", "'[1,10)'"),
    "spans": ("int4range[]", "'{\"[1,3)\"}'"),
    "pause": ("interval", "'1 year 2 mons -3 days -04:05:06.789'"),
    "mood": ("{}_mood", "'calm'"),
    "moods": ("{}_mood[]", "'{calm,NULL}'"),
    "small": ("{}_small", "12.3"),
    "flag": ("bit(1)", "B'1'"),
    "flags": ("bit(12)", "B'000100000010'"),
    "code": ("char(5)", "'ab'"),
    "place": ("inet", "'10.0.0.1/8'"),
    "words": ("tsvector", "'a:1 b:2'"),
}


@dataclass(frozen=True, slots=True)
class AvroSource:
    """A source with all these columns, and the registry."""

    source: Source
    stack: Endpoints

    @property
    def name(self) -> str:
        return self.source.name

    def settings(self) -> dict[str, object]:
        registry = self.stack.schema_registry_url
        return {"format": "avro", "schema_registry": registry, "intervals": "string"}


@pytest.fixture
def avro(stack: Endpoints) -> Iterator[AvroSource]:
    source = Source(stack.postgres_dsn, f"cdc_wal_{uuid.uuid4().hex[:8]}")
    source.execute(f"CREATE TYPE {source.name}_mood AS ENUM ('calm', 'glad')")
    source.execute(f"CREATE DOMAIN {source.name}_small AS numeric(6,1)")
    for name, (kind, _) in COLUMNS.items():
        source.execute(f"ALTER TABLE {source.name} ADD COLUMN {name} {kind.format(source.name)}")
    yield AvroSource(source, stack)
    source.execute(
        f"DROP TABLE IF EXISTS {source.name}, {source.name}_own, {source.name}_own_offsets"
    )
    source.execute(f"DROP DOMAIN {source.name}_small")
    source.execute(f"DROP TYPE {source.name}_mood")
    source.remove()
    delete_subjects(stack.schema_registry_url, f"cdc.public.{source.name}")


def batches(stack: Endpoints, records: Sequence[Record]) -> list[Batch]:
    """Records as the platform decodes them."""
    size = len(records)
    keys = [None if record.keyless else record.key for record in records]
    times = [0] * size
    chunk = Chunk([record.data for record in records], keys, list(range(size)), times, times)
    return decoded(stack.schema_registry_url, ("avro", 0), chunk)


async def written(dsn: str, table: str, events: Sequence[Batch]) -> None:
    sink = PostgresSink(dsn, table)
    await sink.open()
    try:
        for batch in events:
            await sink.write(batch)
    finally:
        await sink.close()


def test_the_sinks_own_table_is_the_source(avro: AvroSource) -> None:
    source, stack = avro.source, avro.stack
    names, values = ", ".join(COLUMNS), ", ".join(value for _, value in COLUMNS.values())
    with reading(source, **avro.settings()) as service:
        source.execute(
            f"INSERT INTO {source.name} (id, {names}) VALUES (1, {values}), (2, {values})"
        )
        source.execute(f"INSERT INTO {source.name} (id) VALUES (3)")
        source.execute(f"UPDATE {source.name} SET version = 2 WHERE id = 2")
        source.execute(f"DELETE FROM {source.name} WHERE id = 1")
        await_that(lambda: len(service.list.records) == 5, "changes are missing")
    asyncio.run(
        written(
            stack.postgres_dsn, f"public.{source.name}_own", batches(stack, service.list.records)
        )
    )
    with closing(psycopg.connect(stack.postgres_dsn)) as connection:
        of_each = ", ".join(f"{name}::text" for name in ("id", "version", *COLUMNS))
        one, other = (
            connection.execute(f"SELECT {of_each} FROM {table} ORDER BY id".encode()).fetchall()
            for table in (source.name, f"{source.name}_own")
        )
        types: dict[str, str] = dict(
            connection.execute(
                "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
                " WHERE attrelid = %s::regclass AND attnum > 0",
                (f"{source.name}_own",),
            ).fetchall()
        )

    assert other == one
    assert [types[name] for name in ("flag", "flags", "code", "place", "pause", "ints")] == [
        "bit(1)", "bit(12)", "character(5)", "inet", "interval", "integer[]",
    ]  # fmt: skip


def test_tables_without_a_key_and_truncates_have_records_without_one(avro: AvroSource) -> None:
    source = avro.source
    source.execute(f"ALTER TABLE {source.name} DROP CONSTRAINT {source.name}_pkey")
    with reading(source, **avro.settings()) as service:
        source.execute(f"INSERT INTO {source.name} (id) VALUES (1)")
        source.execute(f"TRUNCATE {source.name}")
        await_that(lambda: len(service.list.records) == 2, "changes are missing")
    (batch,) = batches(avro.stack, service.list.records)

    assert [record.keyless for record in service.list.records] == [True, True]
    assert batch.rows.operation.tobytes() == b"ct"
    assert batch.rows.values("after", "id") == [1, None]


def test_what_has_no_form_is_refused_at_the_start_column_by_column(avro: AvroSource) -> None:
    source = avro.source
    source.execute(f"ALTER TABLE {source.name} ADD COLUMN corner box, ADD COLUMN price money")
    with pytest.raises(SetupError) as refused, reading(source, **avro.settings()):
        pass

    assert f"column corner of public.{source.name} is box" in str(refused.value)
    assert f"column price of public.{source.name} is money" in str(refused.value)

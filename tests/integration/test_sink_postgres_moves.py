"""What the Postgres sink does when source, topic or key are not what they were: it follows, or it
stops by name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from infra.platform.process.error import ConfigError, RefusedError, TableRefusedError
from infra.platform.sinks.connector import WriteStatus
from infra.platform.sinks.postgres import sink as sink_module
from infra.platform.sinks.postgres.sink import PostgresSink
from infra.stack.endpoints import Endpoints
from tests.batches import Partition
from tests.change_events import DECIMAL, Columns, Event

COLUMNS: Columns = {"id": ("long", False), "state": ("string", True)}
TENANTS: Columns = {"tenant": ("long", False), "id": ("long", False), "note": ("string", True)}
BOTH: Columns = {"tenant": ("long", False), "id": ("long", False)}


def rows_of(stack: Endpoints, table: str, columns: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(stack.postgres_dsn) as connection:
        return connection.execute(f"SELECT {columns} FROM {table} ORDER BY id".encode()).fetchall()


def execute(stack: Endpoints, *statements: str) -> None:
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def type_of(stack: Endpoints, table: str, column: str) -> str:
    with psycopg.connect(stack.postgres_dsn) as connection:
        (kind,) = connection.execute(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid ="
            " %s::regclass AND attname = %s",
            (table, column),
        ).fetchone() or ("",)
        return str(kind)


@asynccontextmanager
async def opened(stack: Endpoints, table: str) -> AsyncIterator[PostgresSink]:
    sink = PostgresSink(stack.postgres_dsn, table)
    await sink.open()
    try:
        yield sink
    finally:
        await sink.close()


def records(partition: Partition, *events: Event) -> list[tuple[bytes | None, bytes | None]]:
    return [(partition.encoder.key(event), partition.encoder.value(event)) for event in events]


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_source_on_a_new_cluster_is_followed(
    stack: Endpoints, schema: str, given: bool, restarted: bool
) -> None:
    """Its log begins anew, lower than before; also in the middle of a batch."""
    table = f"{schema}.rows"
    if given:
        execute(
            stack, f"CREATE TABLE {table} (id bigint PRIMARY KEY, state text, cdc_version bigint)"
        )
    partition = Partition(columns=COLUMNS, lsn=0x5_0000_0000)
    async with opened(stack, table) as sink:
        await sink.write(partition.batch([Event("c", key, (key, "new")) for key in (1, 2, 3)]))
        if restarted:
            await sink.close()
            await sink.open()
        old = records(partition, Event("u", 1, (1, "sent")))
        partition.encoder.lsn = 0x190_0000
        new = records(partition, Event("u", 1, (1, "paid")), Event("d", 2, None, (2, "new")))
        (batch,) = partition.items([*old, *new])
        await sink.write(batch)
        later = [Event("u", 3, (3, "shipped")), Event("c", 4, (4, "new"))]
        await sink.write(partition.batch(later))
        await sink.write(partition.batch([Event("u", 1, (1, "returned"))]))

    assert rows_of(stack, table, "id, state") == [(1, "returned"), (3, "shipped"), (4, "new")]


async def test_a_topic_of_another_name_goes_over_what_the_table_holds(
    stack: Endpoints, schema: str
) -> None:
    """The new cluster has a connector, and so a topic, of its own."""
    table = f"{schema}.rows"
    async with opened(stack, table) as sink:
        first = Partition(columns=COLUMNS, lsn=0x5_0000_0000)
        await sink.write(first.batch([Event("c", 1, (1, "old"))]))
    async with opened(stack, table) as sink:
        second = Partition("other", columns=COLUMNS, lsn=0x190_0000)
        await sink.positions([("other", 0)])
        await sink.write(second.batch([Event("u", 1, (1, "new"))]))

    assert rows_of(stack, table, "id, state") == [(1, "new")]


async def test_a_topic_that_was_made_again_is_noticed(stack: Endpoints, schema: str) -> None:
    table = f"{schema}.rows"
    async with opened(stack, table) as sink:
        await sink.identify({"test": "one"})
        await sink.positions([("test", 0)])
        await sink.write(Partition(columns=COLUMNS).batch([Event("c", 1, (1, "old"))]))
    async with opened(stack, table) as sink:
        await sink.identify({"test": "one"})
        with pytest.raises(ConfigError, match="'test' was deleted and made again"):
            await sink.identify({"test": "two"})


async def test_a_table_that_is_gone_is_not_begun_in_the_middle(
    stack: Endpoints, schema: str
) -> None:
    table, partition = f"{schema}.rows", Partition(columns=COLUMNS)
    async with opened(stack, table) as sink:
        await sink.write(partition.batch([Event("c", 1, (1, "old"))]))
        execute(stack, f"DROP TABLE {table}")
        with pytest.raises(TableRefusedError, match="is gone"):
            await sink.write(partition.batch([Event("c", 2, (2, "new"))]))


async def test_books_of_an_older_release_are_gone_on_with(stack: Endpoints, schema: str) -> None:
    table = f"{schema}.rows"
    execute(
        stack,
        f"CREATE TABLE {table}_offsets (topic text, partition int, next_offset bigint NOT NULL,"
        " PRIMARY KEY (topic, partition))",
        f"COMMENT ON TABLE {table}_offsets IS 'locust-cdc: sink'",
        f"INSERT INTO {table}_offsets VALUES ('test', 0, 1)",
        f"CREATE TABLE {table} (id bigint PRIMARY KEY, state text, cdc_version bigint)",
    )
    async with opened(stack, table) as sink:
        assert await sink.positions([("test", 0)]) == {("test", 0): 1}
        partition = Partition(columns=COLUMNS)
        await sink.write(partition.batch([Event("c", 1, (1, "done")), Event("c", 2, (2, "new"))]))

    assert rows_of(stack, table, "id, state") == [(2, "new")]


def tenants(*rows: tuple[int, int, str], lsn: int = 1000, key: Columns = BOTH) -> Any:
    return Partition(columns=TENANTS, lsn=lsn, key=key).batch(
        [Event("c", row[1], row) for row in rows]
    )


async def test_a_key_that_has_become_wider_is_followed_in_the_sinks_own_table(
    stack: Endpoints, schema: str
) -> None:
    table = f"{schema}.rows"
    async with opened(stack, table) as sink:
        narrow = Partition(columns=TENANTS)
        await sink.write(narrow.batch([Event("c", 1, (1, 1, "one of tenant 1"))]))
        wide = Partition(columns=TENANTS, lsn=2000, key=BOTH)
        wide.offset = 1
        row, gone = (2, 1, "one of tenant 2"), (1, 1, "one of tenant 1")
        await sink.write(wide.batch([Event("c", 1, row), Event("d", 1, None, gone)]))

    assert rows_of(stack, table, "tenant, id, note") == [row]


async def test_a_key_that_moves_rows_to_other_partitions_stops_by_name(
    stack: Endpoints, schema: str
) -> None:
    async with opened(stack, f"{schema}.rows") as sink:
        await sink.positions([("test", 0), ("test", 1)])
        narrow = Partition(columns=TENANTS)
        await sink.write(narrow.batch([Event("c", 1, (1, 1, "one of tenant 1"))]))
        wide = Partition(columns=TENANTS, lsn=2000, key=BOTH)
        wide.offset = 1
        with pytest.raises(TableRefusedError, match="the order of their changes is lost"):
            await sink.write(wide.batch([Event("c", 1, (2, 1, "one of tenant 2"))]))


async def test_a_key_that_the_rows_do_not_allow_stops_by_name(
    stack: Endpoints, schema: str
) -> None:
    table = f"{schema}.rows"
    async with opened(stack, table) as sink:
        await sink.write(tenants((1, 1, "a"), (2, 1, "b")))
        narrow = Partition(columns=TENANTS, lsn=2000)
        narrow.offset = 2
        with pytest.raises(TableRefusedError, match=r'ADD PRIMARY KEY \("id"\)'):
            await sink.write(narrow.batch([Event("u", 1, (1, 1, "c"))]))

    assert rows_of(stack, table, "tenant, id, note") == [(1, 1, "a"), (2, 1, "b")]


@pytest.mark.parametrize("key", [["id"], ["note"], ["tenant", "id", "note"]])
async def test_a_given_table_with_another_key_is_refused(
    stack: Endpoints, schema: str, key: list[str]
) -> None:
    table = f"{schema}.rows"
    execute(
        stack,
        f"CREATE TABLE {table} (tenant bigint, id bigint, note text)",
        f"ALTER TABLE {table} ADD PRIMARY KEY ({', '.join(key)})",
    )
    async with opened(stack, table) as sink:
        with pytest.raises(TableRefusedError, match=r"their key is \(tenant, id\)"):
            await sink.write(tenants((1, 1, "a"), (2, 1, "b")))

    assert rows_of(stack, table, "id") == []


async def test_events_that_have_lost_their_key_are_refused(stack: Endpoints, schema: str) -> None:
    table, partition = f"{schema}.rows", Partition(columns=COLUMNS)
    async with opened(stack, table) as sink:
        await sink.write(partition.batch([Event("c", 1, (1, "new"))]))
        value = partition.encoder.value(Event("c", 1, (1, "another row")))
        (keyless,) = partition.items([(None, value)])
        with pytest.raises(TableRefusedError, match="events without a key"):
            await sink.write(keyless)


async def test_a_table_takes_one_table_of_the_source(stack: Endpoints, schema: str) -> None:
    table = f"{schema}.rows"
    async with opened(stack, table) as sink:
        await sink.write(Partition(columns=COLUMNS).batch([Event("c", 1, (1, "of one"))]))
        other = Partition("other", columns=COLUMNS, table="orders_2026")
        with pytest.raises(ConfigError, match=r"test\.customers and test\.orders_2026"):
            await sink.write(other.batch([Event("c", 1, (1, "of another"))]))

    assert rows_of(stack, table, "id, state") == [(1, "of one")]


def decimal(precision: int, scale: int) -> dict[str, Any]:
    return DECIMAL | {"precision": precision, "scale": scale}


def array(item: Any) -> dict[str, Any]:
    return {"type": "array", "items": ["null", item]}


DATE = {"type": "int", "connect.name": "io.debezium.time.Date"}
MICROS = {"type": "long", "connect.name": "io.debezium.time.MicroTimestamp"}
ZONED = {"type": "string", "connect.name": "io.debezium.time.ZonedTimestamp"}
JSON = {"type": "string", "connect.name": "io.debezium.data.Json"}
SHORT = {"type": "int", "connect.type": "int16"}
#: From a kind and a value, to another: what the column becomes, and what both rows read.
FOLLOWED: dict[str, tuple[Any, Any, Any, Any, str, list[str]]] = {
    "scale": (decimal(10, 2), "1.25", decimal(12, 4), "1.2345", "numeric(12,4)",
        ["1.2500", "1.2345"]),
    "digits": (decimal(6, 2), "1.25", decimal(12, 2), "1234567.25", "numeric(12,2)",
        ["1.25", "1234567.25"]),
    "both ways": (decimal(10, 2), "12345678.25", decimal(6, 4), "1.2345", "numeric(12,4)",
        ["12345678.2500", "1.2345"]),
    "double": ("float", 1.5, "double", 1.23456789012345, "double precision",
        ["1.5", "1.23456789012345"]),
    "bigger": ("int", 7, "long", 3_000_000_000, "bigint", ["7", "3000000000"]),
    "small": (SHORT, 7, "int", 70_000, "integer", ["7", "70000"]),
    "fraction": ("int", 7, decimal(10, 2), "7.25", "numeric(10,2)", ["7.00", "7.25"]),
    "words": ("int", 7, "string", "seven", "text", ["7", "seven"]),
    "many": (array("int"), [7, None], array("long"), [3_000_000_000], "bigint[]",
        ["{7,NULL}", "{3000000000}"]),
    "many of another scale": (array(decimal(10, 2)), [Decimal("1.25")], array(decimal(12, 4)),
        [Decimal("1.2345")], "numeric(12,4)[]", ["{1.2500}", "{1.2345}"]),
    "moment": (DATE, 0, MICROS, 1_000_000, "timestamp without time zone",
        ["1970-01-01 00:00:00", "1970-01-01 00:00:01"]),
}  # fmt: skip


@pytest.mark.parametrize("case", FOLLOWED)
async def test_a_type_that_has_become_wider_is_followed_in_the_sinks_own_table(
    stack: Endpoints, schema: str, case: str
) -> None:
    old, first, new, second, kind, expected = FOLLOWED[case]
    table = f"{schema}.rows"
    async with opened(stack, table) as sink:
        await put(sink, old, first, 1)
        await put(sink, new, second, 2)

    assert type_of(stack, table, "v") == kind
    assert [row[0] for row in rows_of(stack, table, "v::text")] == expected


async def put(sink: PostgresSink, kind: Any, value: Any, key: int) -> None:
    partition = Partition(columns={"id": ("long", False), "v": (kind, True)}, lsn=key * 1000)
    partition.offset = key - 1
    made = Decimal(value) if isinstance(kind, dict) and kind.get("scale") else value
    await sink.write(partition.batch([Event("c", key, (key, made))]))


@pytest.mark.parametrize(
    ("old", "first", "new", "second"),
    [
        (decimal(12, 4), Decimal("1.2345"), decimal(10, 2), Decimal("1.23")),
        ("double", 0.1, "float", 0.5),
        ("string", "007", "int", 7),
        (array("double"), [0.1], array("float"), [0.5]),
    ],
)
async def test_a_type_that_holds_less_stops_by_name(
    stack: Endpoints, schema: str, old: Any, first: Any, new: Any, second: Any
) -> None:
    """The source's ALTER TABLE has changed the rows that are there, of which no event tells."""
    table, key = f"{schema}.rows", ("long", False)
    before = Partition(columns={"id": key, "v": (old, True)})
    after = Partition(columns={"id": key, "v": (new, True)})
    after.offset = 1
    async with opened(stack, table) as sink:
        await sink.write(before.batch([Event("c", 1, (1, first))]))
        with pytest.raises(TableRefusedError, match=r"no longer hold .* in v \("):
            await sink.write(after.batch([Event("c", 2, (2, second))]))


async def test_a_column_that_may_have_another_name_stops_by_name(
    stack: Endpoints, schema: str
) -> None:
    """Once the operator has said what it was, the events go on."""
    table = f"{schema}.rows"
    before, after = (
        Partition(columns=COLUMNS),
        Partition(columns={"id": ("long", False), "status": ("string", True)}),
    )
    after.offset = 2
    async with opened(stack, table) as sink:
        await sink.write(before.batch([Event("c", key, (key, "old")) for key in (1, 2)]))
        batch = after.batch([Event("u", 1, (1, "new"))])
        with pytest.raises(TableRefusedError, match=r"renamed a column .* \(state to status\)"):
            await sink.write(batch)
        execute(stack, f"ALTER TABLE {table} RENAME COLUMN state TO status")
        await sink.write(batch)

    assert rows_of(stack, table, "id, status") == [(1, "new"), (2, "old")]


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_column_may_be_dropped_and_another_of_its_type_added_later(
    stack: Endpoints, schema: str, restarted: bool
) -> None:
    """Nothing was new when it was gone, so it was not renamed; also after a restart in between."""
    table = f"{schema}.rows"
    text = ("string", True)
    shapes: list[Columns] = [
        COLUMNS,
        {"id": ("long", False)},
        {"id": ("long", False), "status": text},
        {"id": ("long", False), "status": text, "state": text},
    ]
    batches = []
    for offset, columns in enumerate(shapes):
        partition = Partition(columns=columns)
        partition.offset = offset
        batches.append(partition.batch([Event("c", offset, (offset, *["v"] * (len(columns) - 1)))]))
    parts = [batches[:2], batches[2:]] if restarted else [batches]
    for part in parts:
        async with opened(stack, table) as sink:
            for batch in part:
                await sink.positions([batch.place])
                assert await sink.write(batch) is WriteStatus.DURABLE

    assert rows_of(stack, table, "id, state, status") == [
        (0, "v", None),
        (1, None, None),
        (2, None, "v"),
        (3, "v", "v"),
    ]


async def test_rows_have_the_default_of_a_column_that_is_new(stack: Endpoints, schema: str) -> None:
    """ADD COLUMN ... DEFAULT gives it to rows of which no event tells."""
    table = f"{schema}.rows"
    added: Columns = {
        "whole": ("int", False, 7),
        "amount": (DECIMAL, True, "\u0000\u0096"),
        "said": ("string", True, "it's"),
        "made": (ZONED, True, "1970-01-01T00:00:00.000000Z"),
    }
    before, after = Partition(columns=COLUMNS), Partition(columns={**COLUMNS, **added})
    after.offset = 1
    async with opened(stack, table) as sink:
        await sink.write(before.batch([Event("c", 1, (1, "old"))]))
        row = (2, "new", 8, None, None, "2026-01-02T03:04:05Z")
        await sink.write(after.batch([Event("c", 2, row)]))

    assert rows_of(stack, table, "id, whole, amount, said, made IS NULL") == [
        (1, 7, Decimal("1.50"), "it's", True),
        (2, 8, None, None, False),
    ]


async def test_a_zone_that_nobody_knows_is_not_made_up(stack: Endpoints, schema: str) -> None:
    async with opened(stack, f"{schema}.rows") as sink:
        await put(sink, MICROS, 0, 1)
        with pytest.raises(TableRefusedError, match="column v is timestamp without time zone"):
            await put(sink, ZONED, "2026-01-02T03:04:05Z", 2)


#: A type of a given table, a kind of column, a value that fits exactly, and one that does not.
PROVED: dict[str, tuple[str, Any, Any, Any]] = {
    "numeric scale": ("numeric(10,2)", decimal(12, 4), "1.2500", "1.2345"),
    "numeric scale 0": ("numeric(10,0)", decimal(12, 4), "7.0000", "7.5000"),
    "integer": ("integer", "long", 7, 3_000_000_000),
    "real": ("real", "double", 1.5, 1.23456789012345),
    "real of a long": ("double precision", "long", 2**53, 2**53 + 1),
    "date": ("date", MICROS, 86_400_000_000, 1),
    "timestamp": ("timestamp(3)", MICROS, 1000, 1),
    "timestamptz": ("timestamptz(0)", ZONED, "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.5Z"),
    "varchar": ("varchar(3)", "string", "abc", "abcd"),
    "varchar, blanks": ("varchar(3)", "string", "abc", "abc "),
    "char": ("char(3)", "string", "abc", "ab"),
    "jsonb": ("jsonb", JSON, '{"a": 1}', '{"b": 1,  "a": 2}'),
    "jsonb, twice": ("jsonb", JSON, "[1.10]", '{"a": 1, "a": 2}'),
    "jsonb, nul": ("jsonb", JSON, '"x"', '"\\u0000"'),
    "inet": ("inet", "string", "10.0.0.1", "10.0.0.1/32"),
    "range": ("int4range", "string", "[1,10)", "[1,9]"),
    "numeric[]": ("numeric(10,2)[]", {"type": "array", "items": decimal(12, 4)}, ["1.2500"],
        ["1.2345"]),
    "domain": ("{s}.cents", decimal(12, 4), "1.2500", "1.2345"),
}  # fmt: skip


@pytest.mark.parametrize("case", PROVED)
async def test_a_value_that_the_column_would_change_refuses_its_event(
    stack: Endpoints, schema: str, case: str
) -> None:
    kind, sent, fitting, changed = PROVED[case]
    table = f"{schema}.rows"
    execute(stack, f"CREATE DOMAIN {schema}.cents AS numeric(10,2)")
    execute(stack, f"CREATE TABLE {table} (id bigint PRIMARY KEY, v {kind.replace('{s}', schema)})")
    async with opened(stack, table) as sink:
        partition = Partition(columns={"id": ("long", False), "v": (sent, True)})
        values = [_decimals(sent, value) for value in (fitting, None)]
        await sink.write(partition.batch([Event("c", k, (k, v)) for k, v in enumerate(values)]))
        with pytest.raises(RefusedError):
            await sink.write(partition.batch([Event("c", 9, (9, _decimals(sent, changed)))]))

    assert len(rows_of(stack, table, "id")) == 2


def _decimals(kind: Any, value: Any) -> Any:
    if isinstance(value, list):
        return [_decimals(kind["items"], each) for each in value]
    return (
        Decimal(value)
        if value is not None and isinstance(kind, dict) and "scale" in kind
        else value
    )


@pytest.mark.parametrize(
    "value",
    [
        '{"a": "x\\u0000y"}',
        '{"a": 1e200000}',
        '{"b": 1, "a": 2, "b": 3}',
        "[1.10,  2]",
        '"\\ud800"',
    ],
)
async def test_json_stays_as_it_was_written(stack: Endpoints, schema: str, value: str) -> None:
    table = f"{schema}.rows"
    async with opened(stack, table) as sink:
        await put(sink, JSON, value, 1)

    assert rows_of(stack, table, "v::text") == [(value,)]


async def test_a_large_batch_goes_in_several_statements(
    stack: Endpoints, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, sizes = f"{schema}.rows", []
    monkeypatch.setattr(sink_module, "STATEMENT_BYTES", 10_000)

    class Counting(PostgresSink):
        async def _apply(self, connection: Any, batch: Any, target: Any) -> Any:
            sizes.append(batch.bytes)
            return await super()._apply(connection, batch, target)

    sink = Counting(stack.postgres_dsn, table)
    await sink.open()
    events = [Event("c", key, (key, "x" * 1000)) for key in range(100)]
    await sink.write(Partition(columns=COLUMNS).batch(events))
    await sink.close()

    assert len(rows_of(stack, table, "id")) == 100
    assert sum(sizes) > 100_000
    assert max(sizes) <= 10_000

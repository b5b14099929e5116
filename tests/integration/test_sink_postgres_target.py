"""The target's own catalogue decides how each value is written; what cannot be is said first."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import psycopg
import pytest

from infra.platform.process.error import RefusedError, TableRefusedError
from infra.platform.sinks.postgres.sink import PostgresSink
from infra.stack.endpoints import Endpoints
from tests.batches import Partition
from tests.change_events import DECIMAL, Columns, Event

COLUMNS: Columns = {"id": ("long", False), "name": ("string", True), "cents": ("int", True)}
BITS = {
    "type": "bytes",
    "connect.name": "io.debezium.data.Bits",
    "connect.parameters": {"length": "4"},
}
POINT = {
    "type": "record",
    "name": "Point",
    "namespace": "io.debezium.data.geometry",
    "fields": [{"name": "x", "type": "double"}, {"name": "y", "type": "double"}],
}


async def written(
    stack: Endpoints, schema: str, ddl: str, columns: Columns, *events: Event
) -> list[tuple[Any, ...]]:
    """What a table of this DDL holds after these events, one batch each."""
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        connection.execute(ddl.replace("{t}", f"{schema}.t").replace("{s}", schema).encode())
        sink = PostgresSink(stack.postgres_dsn, f"{schema}.t")
        partition = Partition(columns=columns)
        try:
            await sink.open()
            for event in events:
                await sink.write(partition.batch([event]))
        finally:
            await sink.close()
        return connection.execute(f"SELECT * FROM {schema}.t ORDER BY id").fetchall()


@pytest.mark.parametrize("version", ["", ", cdc_version bigint"])
async def test_a_table_of_the_sources_own_ddl_takes_its_events(
    stack: Endpoints, schema: str, version: str
) -> None:
    ddl = (
        "CREATE TABLE {t} (euros numeric GENERATED ALWAYS AS (cents / 100.0) STORED, id int"
        " GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, cents int"
        f" {version})"
    )
    found = await written(
        stack,
        schema,
        ddl,
        COLUMNS,
        Event("c", 1, (1, "a", 150)),
        Event("c", 2, (2, "b", 200)),
        Event("u", 1, (1, "a", 300)),
        Event("d", 2, None, (2, "b", 200)),
    )

    assert [(float(row[0]), *row[1:4]) for row in found] == [(3.0, 1, "a", 300)]


#: Leaves out what is bad, and every delete of what is kept.
TRIGGER = (
    "CREATE TABLE {t} (id bigint PRIMARY KEY, name text, cents int, cdc_version bigint);"
    " CREATE FUNCTION {s}.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " IF TG_OP = 'DELETE' THEN RETURN CASE WHEN OLD.name <> 'kept' THEN OLD END; END IF;"
    " RETURN CASE WHEN NEW.name <> 'bad' THEN NEW END; END $$;"
    " CREATE TRIGGER t BEFORE INSERT OR UPDATE OR DELETE ON {t} FOR EACH ROW"
    " EXECUTE FUNCTION {s}.f()"
)


async def test_a_trigger_that_leaves_nothing_out_is_none_of_the_sinks_business(
    stack: Endpoints, schema: str
) -> None:
    found = await written(
        stack,
        schema,
        TRIGGER,
        COLUMNS,
        Event("c", 1, (1, "a", 150)),
        Event("c", 2, (2, "b", 200)),
        Event("u", 1, (1, "a", 300)),
        Event("d", 2, None, (2, "b", 200)),
        Event("d", 3, None, (3, "never there", 1)),
    )

    assert [row[:3] for row in found] == [(1, "a", 300)]


@pytest.mark.parametrize(
    "event",
    [
        Event("c", 2, (2, "bad", 1)),
        Event("u", 1, (1, "bad", 2)),
        Event("d", 1, None, (1, "kept", 1)),
    ],
)
async def test_a_row_that_a_trigger_leaves_out_refuses_its_event(
    stack: Endpoints, schema: str, event: Event
) -> None:
    with pytest.raises(RefusedError, match=f"{event.key} is the key of a row that a trigger"):
        await written(stack, schema, TRIGGER, COLUMNS, Event("c", 1, (1, "kept", 1)), event)


async def test_a_key_whose_index_has_other_columns_beside_it(stack: Endpoints, schema: str) -> None:
    ddl = "CREATE TABLE {t} (id bigint, name text, cents int, PRIMARY KEY (id) INCLUDE (name))"
    events = Event("c", 1, (1, "a", 1)), Event("u", 1, (1, "b", 2))

    assert await written(stack, schema, ddl, COLUMNS, *events) == [(1, "b", 2)]


async def test_a_partitioned_table_and_names_that_need_quotes(
    stack: Endpoints, schema: str
) -> None:
    columns: Columns = {"id": ("long", False), 'odd "100%"': ("string", True)}
    ddl = (
        'CREATE TABLE {t} (id bigint PRIMARY KEY, "odd ""100%""" text) PARTITION BY HASH (id);'
        " CREATE TABLE {t}_0 PARTITION OF {t} FOR VALUES WITH (MODULUS 1, REMAINDER 0)"
    )
    events = Event("c", 1, (1, "a")), Event("u", 1, (1, "b"))

    assert await written(stack, schema, ddl, columns, *events) == [(1, "b")]


@pytest.mark.parametrize(
    ("type_name", "kind", "value", "expected"),
    [
        ("bit(1)", "boolean", True, "1"),
        ("bit(4)", BITS, b"\x03", "0011"),
        ("varbit(4)", BITS, b"\x0b", "1011"),
        ("point", POINT, {"x": 1.5, "y": -2.0}, "(1.5,-2)"),
        ("int[]", {"type": "array", "items": ["null", "int"]}, [1, None, 3], "{1,NULL,3}"),
        ("text[]", {"type": "array", "items": ["null", "string"]}, ['a"b\\', "NULL", None, ""],
         '{"a\\"b\\\\","NULL",NULL,""}'),
        ("boolean[]", {"type": "array", "items": ["null", "boolean"]}, [True, None], "{t,NULL}"),
        ("{s}.mood", "string", "calm", "calm"),
        ("{s}.mood[]", {"type": "array", "items": "string"}, ["calm"], "{calm}"),
        ("{s}.positive", "int", 7, "7"),
        ("tsvector", "string", "'a':1", "'a':1"),
    ],
)  # fmt: skip
async def test_each_type_is_written_as_it_reads(
    stack: Endpoints, schema: str, type_name: str, kind: Any, value: Any, expected: str
) -> None:
    ddl = (
        "CREATE TYPE {s}.mood AS ENUM ('calm');"
        " CREATE DOMAIN {s}.positive AS int CHECK (VALUE > 0);"
        f" CREATE TABLE {{t}} (id bigint PRIMARY KEY, v {type_name})"
    )
    columns: Columns = {"id": ("long", False), "v": (kind, True)}
    await written(stack, schema, ddl, columns, Event("c", 1, (1, value)), Event("c", 2, (2, None)))

    with psycopg.connect(stack.postgres_dsn) as connection:
        found = connection.execute(f"SELECT v::text FROM {schema}.t ORDER BY id").fetchall()
    assert found == [(expected,), (None,)]


REFUSED = {
    "a column that must be sent": (
        "CREATE TABLE {t} (id bigint PRIMARY KEY, name text, cents int, more int NOT NULL)",
        "column more may not be NULL",
    ),
    "a column that is missing": (
        "CREATE TABLE {t} (id bigint PRIMARY KEY, name text)",
        "it has no column cents",
    ),
    "a type that cannot be": (
        "CREATE TABLE {t} (id bigint PRIMARY KEY, name text, cents bytea, cdc_version text)",
        r"column cents is bytea.*column cdc_version is text",
    ),
    "an identity that changes": (
        "CREATE TABLE {t} (id bigint PRIMARY KEY, name text, cents int GENERATED ALWAYS AS"
        " IDENTITY)",
        "column cents is GENERATED ALWAYS AS IDENTITY",
    ),
    "rules": (
        "CREATE TABLE {t} (id bigint PRIMARY KEY, name text, cents int);"
        " CREATE RULE r AS ON UPDATE TO {t} DO ALSO NOTIFY n",
        "has rules",
    ),
    "a key checked later": (
        "CREATE TABLE {t} (id bigint PRIMARY KEY DEFERRABLE, name text, cents int)",
        "deferrable primary key",
    ),
    "a view": (
        "CREATE VIEW {t} AS SELECT 1::bigint AS id, ''::text AS name, 1 AS cents",
        "is a view",
    ),
    "no key": ("CREATE TABLE {t} (id bigint, name text, cents int)", "has no primary key"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_cannot_be_written_is_said_before_the_first_event(
    stack: Endpoints, schema: str, case: str
) -> None:
    ddl, reason = REFUSED[case]

    with pytest.raises(TableRefusedError, match=reason):
        await written(stack, schema, ddl, COLUMNS, Event("c", 1, (1, "a", 1)))

    with psycopg.connect(stack.postgres_dsn) as connection:
        offsets = connection.execute(f"SELECT count(*) FROM {schema}.t_offsets").fetchone()
    assert offsets == (0,)


CUT = (
    "CREATE FUNCTION {s}.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
    " CREATE TRIGGER t BEFORE INSERT OR UPDATE OR DELETE ON {at} FOR EACH ROW EXECUTE FUNCTION"
    " {s}.f()"
)
MOMENT = {"type": "long", "connect.name": "io.debezium.time.MicroTimestamp"}
ALTERED: Columns = {"id": ("long", False), "cents": (DECIMAL, True), "at": (MOMENT, True)}
LATER = (2, Decimal("1.25"), 1_767_323_045_678_901)


PARTS = " PARTITION BY HASH (id)"


@pytest.mark.parametrize(
    ("form", "change", "refused", "match"),
    [
        ("", "ALTER TABLE {t} ALTER cents TYPE numeric(12)", RefusedError, "1.25 is not held"),
        (PARTS, "ALTER TABLE {t} ALTER cents TYPE numeric(12)", RefusedError, "1.25 is not held"),
        ("", "ALTER TABLE {t} ALTER at TYPE date", RefusedError, "not held exactly by column at"),
        ("", CUT.replace("{at}", "{t}"), RefusedError, "2 is the key of a row that a trigger"),
        (PARTS, CUT.replace("{at}", "{t}_0"), RefusedError, "2 is the key of a row that a trigger"),
        ("", "CREATE RULE r AS ON DELETE TO {t} DO INSTEAD NOTHING", TableRefusedError, "rules"),
        ("", "ALTER TABLE {t} DROP cents", TableRefusedError, "no column cents"),
    ],
)
async def test_a_target_that_is_altered_while_it_is_written_to_is_looked_at_again(
    stack: Endpoints, schema: str, form: str, change: str, refused: type[Exception], match: str
) -> None:
    table = f"{schema}.t"
    makes = [
        f"CREATE TABLE {table} (id bigint PRIMARY KEY, cents numeric(12,2), at timestamp){form}"
    ]
    if form:
        part = "FOR VALUES WITH (MODULUS 1, REMAINDER 0)"
        makes.append(f"CREATE TABLE {table}_0 PARTITION OF {table} {part}")
    sink, partition = PostgresSink(stack.postgres_dsn, table), Partition(columns=ALTERED)
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        connection.execute("; ".join(makes).encode())
        await sink.open()
        try:
            await sink.write(partition.batch([Event("c", 1, (1, *LATER[1:]))]))
            connection.execute(change.replace("{t}", table).replace("{s}", schema).encode())

            with pytest.raises(refused, match=match):
                await sink.write(partition.batch([Event("c", 2, LATER)]))
        finally:
            await sink.close()
        assert connection.execute(f"SELECT id FROM {table}").fetchall() == [(1,)]
        marks = connection.execute(f"SELECT next_offset FROM {table}_offsets").fetchall()
        assert marks == [(1,)]


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_target_that_was_made_again_is_not_what_its_offsets_are_about(
    stack: Endpoints, schema: str, restarted: bool
) -> None:
    table = f"{schema}.t"
    make = f"CREATE TABLE {table} (id bigint PRIMARY KEY, name text, cents int)"
    sink, partition = PostgresSink(stack.postgres_dsn, table), Partition(columns=COLUMNS)
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        connection.execute(make.encode())
        await sink.open()
        await sink.write(partition.batch([Event("c", 1, (1, "a", 1))]))
        connection.execute(f"DROP TABLE {table}; {make}".encode())
        if restarted:
            await sink.close()
            sink = PostgresSink(stack.postgres_dsn, table)
            await sink.open()
        try:
            with pytest.raises(TableRefusedError, match=f"{table} was dropped and made again"):
                await sink.write(partition.batch([Event("c", 2, (2, "b", 2))]))
            connection.execute(f"UPDATE {table}_offsets SET target = NULL".encode())
            await sink.positions([("test", 0)])
            await sink.close()
            sink = PostgresSink(stack.postgres_dsn, table)
            await sink.open()
            await sink.write(partition.batch([Event("c", 3, (3, "c", 3))]))
        finally:
            await sink.close()
        assert connection.execute(f"SELECT id FROM {table}").fetchall() == [(3,)]

"""The decoder and the assembler on what a real server sends, against what SELECT says of the same
rows.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from infra.replication.pgoutput.assembler import TransactionAssembler
from infra.replication.pgoutput.date_time import Beyond
from infra.replication.pgoutput.decoder import PgOutputDecoder
from infra.replication.pgoutput.event import (
    UNCHANGED,
    Delete,
    Insert,
    Message,
    Streamed,
    Truncate,
    Update,
)
from infra.replication.pgoutput.form import LazyChange, LazyForm, RowForm, TextForm, ValueForm
from infra.replication.pgoutput.value import CATALOGUE, SESSION, RangeValue, ValueKinds
from infra.stack.endpoints import Endpoints

#: Each type with values as SQL literals; NULL is added to every one.
VALUES: dict[str, Sequence[str]] = {
    "int2": ("0", "-32768", "32767"),
    "int4": ("0", "-2147483648", "2147483647"),
    "int8": ("0", "-9223372036854775808", "9223372036854775807"),
    "numeric": (
        "0",
        "0.00",
        "-1234567.8900",
        "1e30",
        "1e-20",
        "NaN",
        "Infinity",
        "-Infinity",
        "10000",
        "0.0001",
    ),
    "numeric(12,2)": ("0", "-99.90", "1234567890.12"),
    "float4": ("1.1", "-0", "3.4028235e38", "NaN", "Infinity", "-Infinity"),
    "float8": ("1.1", "1e-300", "0.1", "NaN", "Infinity", "-Infinity"),
    "bool": ("t", "f"),
    "text": ("", 'ü€𝄞 "quoted" \\ back\nline', "x" * 300),
    "varchar(20)": ("", "some"),
    "char(5)": ("ab", "üé"),
    "bytea": ("", "\\x00ff80", "\\x5c78"),
    "json": ('{"a": [1, 2.5, null],  "b": "ü"}', "3"),
    "jsonb": ('{"a": [1, 2.5, null], "b": "ü"}', '"text"'),
    "uuid": ("00112233-4455-6677-8899-aabbccddeeff",),
    "int4[]": ("{}", "{1,-2,NULL}", "{{1,2},{3,4}}", "[0:1]={5,6}"),
    "text[]": ("{}", '{a,"b,c","d\\"e","f\\\\g",NULL,"NULL",""," "}', '{{"{"},{"}"}}'),
    "numeric[]": ("{1.50,NaN}",),
    "timestamptz[]": ('{"2026-01-02 03:04:05+00",infinity}',),
    "date": ("2026-11-24", "infinity", "-infinity", "4713-01-01 BC", "5874897-12-31", "0001-01-01"),
    "time": ("00:00:00", "23:59:59.999999", "24:00:00"),
    "timetz": ("12:30:00+05:30", "00:00:00.5-08"),
    "timestamp": (
        "2026-11-24 07:03:40.123456",
        "infinity",
        "0044-03-15 12:00:00 BC",
        "294276-12-31 23:59:59.999999",
    ),
    "timestamptz": (
        "2026-11-24 07:03:40.12+02",
        "-infinity",
        "0044-03-15 12:00:00+00 BC",
        "10000-01-01 00:00:00+00",
    ),
    "mood": ("calm", "très content"),
    "positive": ("1", "2147483647"),
    "mood[]": ("{calm}",),
    "int4range": ("empty", "[1,10)", "(,5)", "[7,)", "(,)"),
    "numrange": ("(1.5,2.50]",),
    "daterange": ("[2026-01-01,infinity]",),
    "tstzrange": ('["2026-01-02 03:04:05+00",)',),
    "span": ("[1.5,2.5)",),
}
#: What some of these must be, where psycopg cannot say it or says it in another way.
EXPECTED: dict[tuple[str, str], Any] = {
    ("date", "infinity"): math.inf,
    ("date", "-infinity"): -math.inf,
    ("date", "4713-01-01 BC"): Beyond("date", -2440550),
    ("date", "5874897-12-31"): Beyond("date", 2145042905),
    ("time", "24:00:00"): Beyond("time", 86_400_000_000),
    ("timestamp", "infinity"): math.inf,
    ("timestamp", "0044-03-15 12:00:00 BC"): Beyond("timestamp", -63_517_780_800_000_000),
    ("timestamp", "294276-12-31 23:59:59.999999"): Beyond("timestamp", 9_224_318_015_999_999_999),
    ("timestamptz", "-infinity"): -math.inf,
    ("timestamptz", "0044-03-15 12:00:00+00 BC"): Beyond("timestamptz", -63_517_780_800_000_000),
    ("timestamptz", "10000-01-01 00:00:00+00"): Beyond("timestamptz", 253_402_300_800_000_000),
    ("timestamptz[]", '{"2026-01-02 03:04:05+00",infinity}'): [
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        math.inf,
    ],
    ("mood[]", "{calm}"): ["calm"],
    ("int4range", "empty"): RangeValue(empty=True),
    ("int4range", "[1,10)"): RangeValue(1, 10, lower_included=True),
    ("int4range", "(,5)"): RangeValue(None, 5),
    ("int4range", "[7,)"): RangeValue(7, None, lower_included=True),
    ("int4range", "(,)"): RangeValue(),
    ("numrange", "(1.5,2.50]"): RangeValue(Decimal("1.5"), Decimal("2.50"), upper_included=True),
    ("daterange", "[2026-01-01,infinity]"): RangeValue(
        date(2026, 1, 1), math.inf, lower_included=True, upper_included=True
    ),
    ("tstzrange", '["2026-01-02 03:04:05+00",)'): RangeValue(
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), None, lower_included=True
    ),
    ("span", "[1.5,2.5)"): RangeValue(1.5, 2.5, lower_included=True),
}


class Server:
    """A schema, a publication and a temporary slot of one test."""

    def __init__(self, dsn: str) -> None:
        options = " ".join(f"-c {name}={value}" for name, value in SESSION.items())
        self.name = f"cdc_decoder_{uuid.uuid4().hex[:8]}"
        self.connection = psycopg.connect(
            dsn, autocommit=True, options=f"{options} -c search_path={self.name}"
        )
        self.run(f"CREATE SCHEMA {self.name}")
        self.run(f"CREATE PUBLICATION {self.name} FOR TABLES IN SCHEMA {self.name}")

    def start(self) -> None:
        self.run(f"SELECT pg_create_logical_replication_slot('{self.name}', 'pgoutput', true)")

    def run(self, statement: str) -> list[Any]:
        cursor = self.connection.execute(statement)
        return cursor.fetchall() if cursor.description else []

    def messages(self, **options: str) -> list[bytes]:
        """What was sent since the last call."""
        given = {"proto_version": "1", "publication_names": self.name, **options}
        listed = ", ".join(f"'{name}', '{value}'" for name, value in given.items())
        function = (
            "pg_logical_slot_peek_binary_changes"
            if "binary" in options
            else "pg_logical_slot_get_binary_changes"
        )
        return [
            bytes(row[0])
            for row in self.run(f"SELECT data FROM {function}('{self.name}', NULL, NULL, {listed})")
        ]

    def close(self) -> None:
        self.run(f"DROP PUBLICATION {self.name}; DROP SCHEMA {self.name} CASCADE")
        self.connection.close()


@pytest.fixture
def server(stack: Endpoints) -> Iterator[Server]:
    made = Server(stack.postgres_dsn)
    yield made
    made.close()


def same(left: Any, right: Any) -> bool:
    """Equal, where NaN equals itself and types are the same too."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, (float, Decimal)) and left != left:
        return type(left) is type(right) and right != right
    if isinstance(left, Decimal) and left.is_finite():
        return isinstance(right, Decimal) and left.as_tuple() == right.as_tuple()
    return type(left) is type(right) and bool(left == right)


def changes(messages: Sequence[bytes], form: RowForm) -> list[Any]:
    decoder = PgOutputDecoder(form)
    return [
        event
        for event in map(decoder.decode, messages)
        if isinstance(event, (Insert, Update, Delete))
    ]


def catalogue(server: Server) -> ValueKinds:
    kinds = ValueKinds()
    kinds.learn_catalogue(server.run(CATALOGUE))
    return kinds


def test_every_common_type_is_read_from_text_and_from_binary_as_select_says(server: Server) -> None:
    server.run("CREATE TYPE mood AS ENUM ('calm', 'très content')")
    server.run("CREATE DOMAIN positive AS int4 CHECK (VALUE > 0)")
    server.run("CREATE TYPE span AS RANGE (SUBTYPE = float8)")
    literals = [(kind, literal) for kind, listed in VALUES.items() for literal in listed]
    columns = ", ".join(f"c{place} {kind}" for place, (kind, _) in enumerate(literals))
    server.run(f"CREATE TABLE everything (id int PRIMARY KEY, {columns})")
    server.start()
    quoted = ", ".join("'" + literal.replace("'", "''") + "'" for _, literal in literals)
    server.run(
        f"INSERT INTO everything VALUES (1, {quoted}), (2, {', '.join(['NULL'] * len(literals))})"
    )
    as_binary, as_text = server.messages(binary="true"), server.messages()

    texts = changes(as_text, TextForm())
    selected = server.run(
        f"SELECT id::text, {', '.join(f'c{n}::text' for n in range(len(literals)))} FROM everything"
    )
    # A character of fixed width is sent with its padding, which the cast to text drops; a boolean
    # is sent in short.
    shown = {"char(5)": lambda text: text.ljust(5), "bool": lambda text: text[0]}
    expected = [
        shown.get(kind, str)(text)
        for (kind, _), text in zip(literals, selected[0][1:], strict=True)
    ]
    assert [change.after for change in texts] == [("1", *expected), ("2", *[None] * len(literals))]

    from_text = changes(as_text, ValueForm(catalogue(server)))
    from_binary = changes(as_binary, ValueForm(catalogue(server)))
    assert as_binary != as_text
    assert from_text[1].after == from_binary[1].after == (2, *[None] * len(literals))
    for place, (kind, literal) in enumerate(literals):
        value, other = from_text[0].after[place + 1], from_binary[0].after[place + 1]
        assert same(value, other), (kind, literal, value, other)
        if (kind, literal) in EXPECTED:
            wanted = EXPECTED[kind, literal]
        else:
            wanted = server.run(f"SELECT c{place} FROM everything WHERE id = 1")[0][0]
        assert same(value, wanted), (kind, literal, value, wanted)


def test_a_domain_is_known_from_the_stream_alone(server: Server) -> None:
    server.run("CREATE DOMAIN amount AS numeric(8, 2)")
    server.run("CREATE TABLE bills (id int PRIMARY KEY, amount amount)")
    server.start()
    server.run("INSERT INTO bills VALUES (1, 12.5)")

    assert changes(server.messages(binary="true"), ValueForm())[0].after == (1, Decimal("12.50"))


def test_old_rows_keys_and_values_that_were_not_sent_are_told_apart(server: Server) -> None:
    server.run("CREATE TABLE keyed (a text, id int, b text, PRIMARY KEY (id))")
    server.run(
        "CREATE TABLE whole (a text, id int PRIMARY KEY); ALTER TABLE whole REPLICA IDENTITY FULL"
    )
    server.run("ALTER TABLE keyed ALTER b SET STORAGE EXTERNAL")
    server.start()
    server.run(
        "INSERT INTO keyed VALUES (NULL, 1, repeat('x', 10000)); UPDATE keyed SET a = 'n'; UPDATE"
        " keyed SET id = 2;DELETE FROM keyed; INSERT INTO whole VALUES ('n', 1); UPDATE whole SET a"
        " = NULL; DELETE FROM whole"
    )
    read = changes(server.messages(), TextForm())
    keyed, whole = read[0].relation, read[4].relation

    assert read == [
        Insert(keyed, (None, "1", "x" * 10000)),
        Update(keyed, ("n", "1", UNCHANGED)),
        Update(keyed, ("n", "2", UNCHANGED), None, ("1",)),
        Delete(keyed, None, ("2",)),
        Insert(whole, ("n", "1")),
        Update(whole, (None, "1"), ("n", "1")),
        Delete(whole, (None, "1")),
    ]
    assert (keyed.identity, whole.identity) == ("d", "f")


def test_truncate_messages_and_changed_tables_are_understood(server: Server) -> None:
    server.run(
        'CREATE TABLE "Ünder.score-d" (id int PRIMARY KEY); CREATE TABLE other (id int PRIMARY KEY)'
    )
    server.start()
    server.run('INSERT INTO "Ünder.score-d" VALUES (1)')
    server.run(
        'ALTER TABLE "Ünder.score-d" ADD note text; INSERT INTO "Ünder.score-d" VALUES (2, $$b$$)'
    )
    server.run('TRUNCATE "Ünder.score-d", other RESTART IDENTITY CASCADE')
    server.run("SELECT pg_logical_emit_message(true, 'greeting', 'hällo'::bytea)")
    decoder = PgOutputDecoder()
    events = decoder.decode_many(server.messages(messages="true"))

    assert [event.after for event in events if isinstance(event, Insert)] == [("1",), ("2", "b")]
    (truncate,) = [event for event in events if isinstance(event, Truncate)]
    assert {relation.table for relation in truncate.relations} == {"Ünder.score-d", "other"}
    assert (truncate.cascade, truncate.restart_identity) == (True, True)
    (message,) = [event for event in events if isinstance(event, Message)]
    assert (message.prefix, message.content.decode(), message.transactional) == (
        "greeting",
        "hällo",
        True,
    )


def test_streamed_transactions_come_whole_without_what_was_rolled_back(server: Server) -> None:
    server.run("CREATE TABLE big (id int PRIMARY KEY, note text)")
    server.run("SET logical_decoding_work_mem = '64kB'")
    server.start()
    rows = "INSERT INTO big SELECT g, repeat('x', 200) FROM generate_series({}, {}) g"
    server.run(
        f"BEGIN; {rows.format(1, 1000)}; SAVEPOINT a; {rows.format(1001, 2000)}; ROLLBACK TO a;"
        f"ALTER TABLE big ADD extra int DEFAULT 7; {rows.format(3001, 4000)}; COMMIT"
    )
    server.run(f"BEGIN; {rows.format(5001, 6000)}; ROLLBACK")
    server.run("INSERT INTO big VALUES (9999, 'small', 8)")
    messages = server.messages(proto_version="2", streaming="on")
    alone = PgOutputDecoder().decode_many(messages)
    with_lazy = PgOutputDecoder(LazyForm()).decode_many(messages)

    assembler, decoder = TransactionAssembler(memory_bytes=50_000), PgOutputDecoder()
    read = []
    for transaction in assembler.feed_many(messages):
        with transaction:
            read.append(
                [event.after for event in transaction.events(decoder) if isinstance(event, Insert)]
            )

    assert any(isinstance(event, Streamed) for event in alone)
    assert [
        event.event.text().after if isinstance(event, Streamed) else event.text().after
        for event in with_lazy
        if isinstance(getattr(event, "event", event), LazyChange)
    ] == [
        getattr(event, "event", event).after
        for event in alone
        if isinstance(getattr(event, "event", event), Insert)
    ]
    assert [len(rows) for rows in read] == [2000, 1]
    assert {int(row[0]) for rows in read for row in rows} == {
        row[0] for row in server.run("SELECT id FROM big")
    }
    assert read[1] == [("9999", "small", "8")]
    assert assembler.memory_bytes == assembler.spilled_bytes == 0

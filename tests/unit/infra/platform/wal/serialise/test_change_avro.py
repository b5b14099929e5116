"""Changes as Avro: byte for byte what fastavro writes for the same rows, and readable by the
platform's own readers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infra.avro.encoder import encode_text
from infra.avro.kind import PLACEHOLDER, UNAVAILABLE
from infra.avro.row_reader import RowReader
from infra.platform.wal.serialise.change_avro import (
    AvroRecord,
    ChangeAvro,
    Registered,
)
from infra.platform.wal.serialise.commit_source import CommitSource
from infra.platform.wal.serialise.table_schema import TableFacts, table_schemas
from infra.replication.error import DecodeError
from infra.replication.pgoutput.event import UNCHANGED, Relation, RelationColumn
from infra.schemas.debezium import customers_schemas
from infra.schemas.envelope import HEADER
from tests.avro_decimal import shortest_decimals
from tests.benchmark import baseline
from tests.unit.infra.replication.pgoutput import wire
from tests.unit.infra.replication.pgoutput.wire import Value

SCHEMAS = customers_schemas("cdc.public.customers")
SOURCE = CommitSource(lsn=100, commit_us=1_700_000_000_000_001, xid=5)
COLUMNS = [
    ("id", 20, True),
    ("first_name", 25, False),
    ("last_name", 25, False),
    ("email", 25, False),
    ("phone", 25, False),
    ("balance", 1700, False),
    ("created_at", 1184, False),
    ("notes", 25, False),
    ("probe", 25, False),
]
RELATION = wire.relation(7, COLUMNS, "public", "customers", "f")
CONSTANT = {
    "version": "3.6.3.Final",
    "connector": "postgresql",
    "name": "cdc",
    "snapshot": "false",
    "db": "postgres",
}

texts = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), st.just("x" * 300)
)
optional = st.one_of(st.none(), texts)
moments = st.datetimes(datetime(1000, 1, 1), datetime(9999, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=UTC).isoformat(" ").replace("+00:00", "+00")
)
balances = st.decimals(-(10**10) + 1, 10**10 - 1, places=2).map(lambda number: f"{number:f}")
rows = st.tuples(
    st.integers(-(2**63), 2**63 - 1).map(str),
    *[texts] * 3,
    optional,
    st.one_of(st.none(), balances),
    moments,
    optional,
    optional,
)
ROW: list[Value] = ["1", "a", "b", "c", None, "1.50", "2026-11-24 07:03:40.12+00", None, "p"]


def serialise(messages: Sequence[bytes]) -> list[bytes]:
    return ChangeAvro(lambda _: Registered(SCHEMAS, 1, 2), "cdc", "postgres").serialise(
        SOURCE, messages
    )


@pytest.fixture(autouse=True, scope="module")
def _as_debezium() -> Iterator[None]:
    with shortest_decimals():
        yield


LEAST = ("1", "a", "b", "c", None, "-1.28", "2000-01-01 00:00:00+00", None, None)


@given(st.lists(rows, min_size=1, max_size=5), rows)
@example([LEAST], LEAST)
def test_the_bytes_are_fastavros(listed: list[Any], old: Any) -> None:
    messages = [RELATION]
    for row in listed:
        before = (row[0], *old[1:])
        messages += [wire.insert(7, row), wire.update(7, row, before), wire.delete(7, row)]
    decoder = baseline.Decoder()
    decoder.decode(RELATION)
    writer = baseline.AvroWriter(dict(SCHEMAS.value), HEADER.pack(0, 2), CONSTANT)

    assert serialise(messages) == [
        writer.write(decoder.decode(message), SOURCE.fields()) for message in messages[1:]
    ]


def test_the_platforms_reader_finds_probe_and_commit_time() -> None:
    written = serialise([RELATION, wire.insert(7, ROW), wire.delete(7, ROW)])

    rows = RowReader(SCHEMAS.value).read(written)

    assert rows.operation.tobytes() == b"cd"
    assert rows.values("after", "probe") == ["p", None]
    assert rows.values("before", "probe") == [None, "p"]
    assert rows.committed_us.tolist() == [SOURCE.commit_us, SOURCE.commit_us]


@pytest.mark.parametrize("again", [[RELATION], []], ids=["described-again", "described-once"])
def test_a_later_transaction_has_its_own_position_and_time(again: list[bytes]) -> None:
    serialiser = ChangeAvro(lambda _: Registered(SCHEMAS, 1, 2), "cdc", "postgres")
    later = CommitSource(lsn=900, commit_us=SOURCE.commit_us + 5_000_000, xid=6)
    serialiser.serialise(SOURCE, [RELATION, wire.insert(7, ROW)])

    (written,) = serialiser.serialise(later, [*again, wire.insert(7, ROW)])

    assert RowReader(SCHEMAS.value).read([written]).committed_us.tolist() == [later.commit_us]


def test_a_value_that_was_not_sent_is_debeziums_placeholder() -> None:
    row = [*ROW[:7], UNCHANGED, ROW[8]]
    (written,) = serialise([RELATION, wire.update(7, row)])

    assert PLACEHOLDER.encode() in written


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (0, "x", "invalid literal"),
        (1, None, "is NULL, but its schema allows none"),
        (2, b"\xff", "codec can't decode"),
        (5, "1.234", "does not fit"),
        (5, "NaN", "not of its column's type"),
        (6, "yesterday", "not of its column's type"),
    ],
)
def test_what_the_schema_cannot_carry_is_refused(place: int, value: Value, reason: str) -> None:
    row = [*ROW[:place], value, *ROW[place + 1 :]]
    with pytest.raises(DecodeError, match=reason):
        serialise([RELATION, wire.insert(7, row)])


def test_numbers_are_carried_whatever_their_scale() -> None:
    read = [
        serialise([RELATION, wire.insert(7, [*ROW[:5], text, *ROW[6:]])])
        for text in ("5", "5.0", "5.00")
    ]

    assert read[0] == read[1] == read[2]


def records(messages: Sequence[bytes]) -> list[AvroRecord]:
    form = ChangeAvro(lambda _: Registered(SCHEMAS, 1, 2), "cdc", "postgres", "probe")
    return form.records(SOURCE, messages)


@pytest.mark.parametrize(("kind", "identity"), [("O", "f"), ("K", "d")])
def test_a_changed_key_is_a_delete_of_the_old_one_and_a_new_row(kind: str, identity: str) -> None:
    relation = wire.relation(7, COLUMNS, "public", "customers", identity)
    old = ["0", *ROW[1:]] if kind == "O" else ["0", *[None] * 8]
    gone, come = records([relation, wire.update(7, ROW, old, kind)])

    assert (gone.deleted, come.deleted) == (True, False)
    assert [gone.key, come.key] == [HEADER.pack(0, 1) + b"\x00", HEADER.pack(0, 1) + b"\x02"]
    assert come.probe.endswith(b"p")


def test_a_delete_of_which_only_the_key_was_sent_makes_nothing_up() -> None:
    relation = wire.relation(7, COLUMNS, "public", "customers", "d")
    (gone,) = records([relation, wire.delete(7, ["1", *[None] * 8], "K")])

    assert gone.key == HEADER.pack(0, 1) + b"\x02"
    assert gone.value[5:7] == b"\x00\x00"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("infinity", "infinity"),
        ("-infinity", "-infinity"),
        ("0044-03-15 12:00:00+00 BC", "-0043-03-15T12:00:00.000000Z"),
        ("12026-01-01 00:00:00.5+00", "+12026-01-01T00:00:00.500000Z"),
    ],
)
def test_times_beyond_a_datetime_are_written_as_debezium_does(text: str, written: str) -> None:
    (value,) = serialise([RELATION, wire.insert(7, [*ROW[:6], text, *ROW[7:]])])

    assert encode_text(written) in value


def test_a_truncate_is_an_event_without_key_and_rows() -> None:
    truncate = b"T" + struct.pack(">IBI", 1, 0, 7)
    _, emptied, come = records(
        [RELATION, wire.insert(7, ROW), truncate, wire.insert(7, ["2", *ROW[1:]])]
    )
    rows = RowReader(SCHEMAS.value).read([emptied.value, come.value])

    assert (emptied.keyless, emptied.deleted) == (True, False)
    assert rows.operation.tobytes() == b"tc"
    assert not rows.present("before").any()
    assert rows.present("after").tolist() == [False, True]
    assert rows.committed_us.tolist() == [SOURCE.commit_us] * 2


def test_a_table_without_a_key_has_records_without_one() -> None:
    schemas = table_schemas(
        Relation(7, "public", "log", "f", (RelationColumn("note", 25, -1, True),)),
        TableFacts((), frozenset(), {}),
        "cdc.public.log",
    )
    form = ChangeAvro(lambda _: Registered(schemas, 0, 2), "cdc", "postgres")
    described = wire.relation(7, [("note", 25, True)], "public", "log", "f")
    made = form.records(
        SOURCE,
        [
            described,
            wire.insert(7, ["a"]),
            wire.update(7, ["b"], ["a"]),
            wire.delete(7, ["b"]),
        ],
    )
    rows = RowReader(schemas.value).read([record.value for record in made])

    assert [record.keyless for record in made] == [True] * 3
    assert [record.deleted for record in made] == [False, False, True]
    assert rows.values("before", "note") == [None, "a", "b"]
    assert rows.values("after", "note") == ["a", "b", None]


def read_back(type_oid: int, *texts: Value, intervals: str = "numeric") -> list[Any]:
    """What the platform reads of a column's texts."""
    column = RelationColumn("v", type_oid, -1, False)
    schemas = table_schemas(
        Relation(7, "public", "t", "f", (RelationColumn("id", 23, -1, True), column)),
        TableFacts(("id",), frozenset(), {}),
        "cdc.public.t",
        intervals,
    )
    form = ChangeAvro(lambda _: Registered(schemas, 1, 2), "cdc", "postgres")
    described = wire.relation(7, [("id", 23, True), ("v", type_oid, False)], "public", "t", "f")
    values = form.serialise(SOURCE, [described, *(wire.insert(7, ["1", text]) for text in texts)])
    return RowReader(schemas.value).read(values).values("after", "v")


@pytest.mark.parametrize(
    ("type_oid", "text", "value"),
    [
        (1007, "{1,NULL,-3}", [1, None, -3]),
        (1009, '{a,NULL,"NULL","b,c",""}', ["a", None, "NULL", "b,c", ""]),
        (1009, "{}", []),
        (1000, "{t,f,NULL}", [True, False, None]),
        (1001, '{"\\\\x00ff"}', [b"\x00\xff"]),
        (1231, "{1.50,-2}", [Decimal("1.50"), Decimal(-2)]),
        (1182, '{2026-01-02,infinity}', [date(2026, 1, 2), "infinity"]),
        (1182, '{"0044-03-15 BC"}', ["0044-03-15 BC"]),
        (1115, '{"2026-01-02 03:04:05"}', [datetime(2026, 1, 2, 3, 4, 5)]),
        (1185, '{"2026-01-02 03:04:05+00"}', [datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)]),
        (1183, "{24:00:00}", ["24:00:00"]),
        (3905, '{"[1,3)"}', ["[1,3)"]),
        (3904, "[1,10)", "[1,10)"),
        (3910, '["2026-01-02 03:04:05+00",)', '["2026-01-02 03:04:05+00",)'),
        (1186, "2 days -03:04:05.6", 2 * 86_400_000_000 - 11_045_600_000),
        (1186, "00:00:00", 0),
        (3614, "'a':1 'b':2", "'a':1 'b':2"),
    ],
)  # fmt: skip
def test_the_platform_reads_what_the_source_wrote(type_oid: int, text: str, value: object) -> None:
    assert read_back(type_oid, text, None) == [value, None]


@pytest.mark.parametrize("digits", [4300, 4301, 131_072])
def test_a_numeric_of_thousands_of_digits_is_written_with_all_of_them(digits: int) -> None:
    """Python reads no integer of more than 4,300 out of a text."""
    number = "-" + "7" * digits + ".25"

    assert read_back(1700, number) == [Decimal(number)]


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("1 year 2 mons 3 days 04:05:06.789", "P1Y2M3DT4H5M6.789S"),
        ("-1 years -2 mons +3 days -04:05:06", "P-1Y-2M3DT-4H-5M-6.0S"),
        ("00:00:00", "P0Y0M0DT0H0M0.0S"),
    ],
)
def test_intervals_may_be_text(text: str, iso: str) -> None:
    assert read_back(1186, text, intervals="string") == [iso]


@pytest.mark.parametrize(
    ("type_oid", "text", "reason"),
    [
        (1186, "1 mon", "--intervals string"),
        (1186, "@ 1 day", "is no interval"),
        (1007, "{{1,2},{3,4}}", "several dimensions"),
        (1007, "[0:1]={1,2}", "bounds of its own"),
        (1231, "{NaN}", "has no form in Debezium's decimals"),
    ],
)
def test_what_debeziums_forms_cannot_carry_is_refused(
    type_oid: int, text: str, reason: str
) -> None:
    with pytest.raises(DecodeError, match=reason):
        read_back(type_oid, text)


@pytest.mark.parametrize(("type_oid", "known"), [(1009, True), (1001, True), (1231, False)])
def test_an_array_that_was_not_sent_is_debeziums_placeholder_or_refused(
    type_oid: int, known: bool
) -> None:
    if known:
        assert read_back(type_oid, UNCHANGED) == [UNAVAILABLE]
        return
    with pytest.raises(DecodeError, match="REPLICA IDENTITY FULL"):
        read_back(type_oid, UNCHANGED)


def test_a_value_that_was_not_sent_is_the_old_rows_where_that_is_whole() -> None:
    changed: list[Value] = [*ROW[:2], "new", "c", None, UNCHANGED, ROW[6], UNCHANGED, "p"]
    old: list[Value] = [*ROW[:7], "x" * 3000, "p"]
    moved: list[Value] = ["2", *changed[1:]]

    written = serialise([RELATION, wire.update(7, changed, old), wire.update(7, moved, old)])

    rows = RowReader(SCHEMAS.value).read(written)
    assert rows.operation.tobytes() == b"udc"
    assert rows.values("after", "notes") == ["x" * 3000, None, "x" * 3000]
    assert rows.values("after", "balance") == [Decimal("1.50"), None, Decimal("1.50")]
    assert rows.values("after", "last_name") == ["new", None, "new"]
    (alone,) = serialise([RELATION, wire.update(7, [*changed[:5], "1.50", *changed[6:]])])
    assert RowReader(SCHEMAS.value).read([alone]).values("after", "notes") == [UNAVAILABLE]

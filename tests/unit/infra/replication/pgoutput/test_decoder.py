"""The decoder on messages made here: every kind of message, every way to read a row, and what is
malformed.
"""

from __future__ import annotations

import pickle
import struct
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.replication.error import DecodeError
from infra.replication.pgoutput import event as events
from infra.replication.pgoutput.decoder import PgOutputDecoder
from infra.replication.pgoutput.event import (
    UNCHANGED,
    Delete,
    Insert,
    Relation,
    RelationColumn,
    Streamed,
    Update,
)
from infra.replication.pgoutput.form import LazyForm, ValueForm
from infra.replication.pgoutput.tuple_reader import Form
from tests.unit.infra.replication.pgoutput import wire
from tests.unit.infra.replication.pgoutput.wire import Binary, Value

TEXT, INT4, NUMERIC, BYTEA = 25, 23, 1700, 17
#: One number whose bytes are all ASCII, and one as real ones often are.
OIDS = (0x4141, 0x408F)


def decoder_of(
    oid: int, columns: int, form: Form | None = None, keys: int = 1
) -> tuple[PgOutputDecoder, Relation]:
    decoder = PgOutputDecoder(form)
    relation = decoder.decode(
        wire.relation(
            oid, [(f"c{number}", TEXT, number < keys) for number in range(columns)], "s", "t"
        )
    )
    assert isinstance(relation, Relation)
    return decoder, relation


def read_by_the_book(data: bytes) -> tuple[list[Any], bytes]:
    """A row, and what follows it; the plain reading of the documentation that the compiled one is
    held against.
    """
    (count,) = struct.unpack_from(">H", data)
    data = data[2:]
    values: list[Any] = []
    for _ in range(count):
        kind, data = data[:1], data[1:]
        if kind in (b"n", b"u"):
            values.append(None if kind == b"n" else UNCHANGED)
            continue
        if kind not in (b"t", b"b") or len(data) < 4:
            raise ValueError(kind)
        (length,) = struct.unpack_from(">I", data)
        if len(data) < 4 + length:
            raise ValueError(length)
        value = data[4 : 4 + length]
        values.append(value.decode() if kind == b"t" else value)
        data = data[4 + length :]
    return values, data


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=300)
long_texts = st.sampled_from(
    ["", "a" * 127, "b" * 128, "c" * 255, "d" * 256, "é" * 128, "t" * 116, "x" * 3_000]
)
values = st.one_of(
    texts,
    st.text("tnub\x01 ", max_size=6),
    long_texts,
    st.none(),
    st.just(UNCHANGED),
    st.binary(max_size=20).map(Binary),
)
rows = st.lists(values, max_size=9)


def plain(row: list[Value]) -> tuple[Any, ...]:
    return tuple(value.data if isinstance(value, Binary) else value for value in row)


@given(rows, st.sampled_from(OIDS))
def test_any_row_is_read_as_it_was_written(row: list[Value], oid: int) -> None:
    decoder, relation = decoder_of(oid, len(row))

    assert decoder.decode(wire.insert(oid, row)) == Insert(relation, plain(row))
    assert decoder.decode(wire.update(oid, row)) == Update(relation, plain(row))
    assert decoder.decode(wire.delete(oid, row)) == Delete(relation, plain(row))


@given(rows, st.data(), st.sampled_from(OIDS))
def test_an_old_row_and_an_old_key_are_different_things(
    row: list[Value], data: st.DataObject, oid: int
) -> None:
    old = data.draw(st.lists(values, min_size=len(row), max_size=len(row)))
    keys = data.draw(st.integers(0, len(row)))
    decoder, relation = decoder_of(oid, len(row), keys=keys)

    assert decoder.decode(wire.update(oid, row, old)) == Update(
        relation, plain(row), before=plain(old)
    )
    assert decoder.decode(wire.update(oid, row, old, "K")) == Update(
        relation, plain(row), key=plain(old)[:keys]
    )
    assert decoder.decode(wire.delete(oid, old, "K")) == Delete(relation, key=plain(old)[:keys])


@given(rows, st.sampled_from(OIDS))
def test_a_lazy_change_gives_the_same_row_and_the_same_bytes(row: list[Value], oid: int) -> None:
    decoder, relation = decoder_of(oid, len(row), LazyForm())
    lazy = decoder.decode(wire.update(oid, row, row))

    assert lazy.text() == Update(relation, plain(row), plain(row))
    for place, value in enumerate(plain(row)):
        expected = value.encode() if isinstance(value, str) else value
        assert lazy.raw(place) == lazy.raw(place, old=True) == expected


@given(rows, st.sampled_from(OIDS), st.data())
def test_a_mutated_row_is_read_by_the_book_or_refused_with_its_place(
    row: list[Value], oid: int, data: st.DataObject
) -> None:
    decoder, relation = decoder_of(oid, len(row))
    mutated = bytearray(wire.insert(oid, row))
    for _ in range(data.draw(st.integers(1, 3))):
        if len(mutated) > 8:
            place = data.draw(st.integers(8, len(mutated) - 1))
            mutated[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    message = bytes(mutated)
    try:
        expected, rest = read_by_the_book(message[6:])
    except (ValueError, struct.error):
        rest = b"!"
    if rest:
        with pytest.raises(DecodeError) as caught:
            decoder.decode(message)
        assert 0 <= caught.value.offset <= len(message)
    else:
        assert decoder.decode(message) == Insert(relation, tuple(expected))


def test_every_control_message_is_read() -> None:
    decoder, relation = decoder_of(7, 1)
    us = 1_700_000_000_123_456

    assert decoder.decode(wire.begin(5, 100, us)) == events.Begin(100, us, 5)
    assert decoder.decode(wire.commit(100, 108, us)) == events.Commit(100, 108, us)
    assert decoder.decode(b"O" + struct.pack(">Q", 9) + b"origin\0") == events.Origin(9, "origin")
    assert decoder.decode(b"Y" + struct.pack(">I", 9) + b"s\0mood\0") == events.Type(9, "s", "mood")
    truncate = b"T" + struct.pack(">IBII", 2, 3, 7, 7)
    assert decoder.decode(truncate) == events.Truncate(
        (relation, relation), cascade=True, restart_identity=True
    )
    assert decoder.decode(wire.message("p", b"x", transactional=True)) == events.Message(
        True, 50, "p", b"x"
    )
    assert decoder.decode(wire.stream_start(5, first=True)) == events.StreamStart(5, first=True)
    assert decoder.decode(wire.STREAM_STOP) == events.StreamStop()
    assert decoder.decode(wire.stream_commit(5, 1, 2, us)) == events.StreamCommit(5, 1, 2, us)
    assert decoder.decode(wire.stream_abort(5, 6)) == events.StreamAbort(5, 6)
    assert decoder.decode(wire.stream_abort(5, 6) + bytes(16)) == events.StreamAbort(5, 6)
    assert decoder.decode(wire.two_phase("b", 5, "g")) == events.BeginPrepare(
        300, 308, wire.EPOCH_US, 5, "g"
    )
    assert decoder.decode(wire.two_phase("P", 5, "g")) == events.Prepare(
        300, 308, wire.EPOCH_US, 5, "g"
    )
    assert decoder.decode(wire.two_phase("p", 5, "g")) == events.StreamPrepare(
        300, 308, wire.EPOCH_US, 5, "g"
    )
    assert decoder.decode(wire.two_phase("K", 5, "g")) == events.CommitPrepared(
        300, 308, wire.EPOCH_US, 5, "g"
    )
    rolled_back = events.RollbackPrepared(300, 308, wire.EPOCH_US, wire.EPOCH_US, 5, "g")
    assert decoder.decode(wire.rollback_prepared(5, "g")) == rolled_back


def test_a_change_inside_of_a_stream_block_carries_its_transaction() -> None:
    decoder, relation = decoder_of(7, 1)
    messages = [
        wire.stream_start(5, first=True),
        wire.streamed(5, wire.insert(7, ["a"])),
        wire.streamed(6, wire.relation(7, [("x", TEXT, True), ("y", TEXT, False)], "s", "t")),
        wire.streamed(6, wire.insert(7, ["a", "b"])),
        wire.STREAM_STOP,
        wire.insert(7, ["a", "c"]),
    ]
    decoded = decoder.decode_many(messages)
    altered = decoded[2].event

    assert decoded[1] == Streamed(5, Insert(relation, ("a",)))
    assert decoded[3] == Streamed(6, Insert(altered, ("a", "b")))
    assert decoded[5] == Insert(altered, ("a", "c"))


def test_a_transaction_number_is_never_taken_for_a_relation() -> None:
    # Read without its transaction, this message would have the head of an insert into relation
    # 0x4E000100.
    decoder, relation = decoder_of(0x4E000100, 1)
    xid = 0x4E000100
    decoder.decode(wire.insert(0x4E000100, ["first"]))
    decoder.decode(wire.stream_start(xid, first=True))

    assert decoder.decode(wire.streamed(xid, wire.insert(0x4E000100, ["a"]))) == Streamed(
        xid, Insert(relation, ("a",))
    )


def test_a_relation_that_was_altered_is_read_anew() -> None:
    decoder, before = decoder_of(7, 1)
    decoder.decode(wire.insert(7, ["a"]))
    after = decoder.decode(wire.relation(7, [("c0", TEXT, True), ("d", TEXT, False)], "s", "t"))

    assert decoder.decode(wire.insert(7, ["a", "b"])) == Insert(after, ("a", "b"))
    assert after != before
    with pytest.raises(DecodeError, match=r"the tuple has 1 columns, but s.t has 2"):
        decoder.decode(wire.insert(7, ["a"]))


def test_a_relation_says_its_columns_key_and_identity() -> None:
    relation = PgOutputDecoder().decode(
        wire.relation(7, [("a", TEXT, False), ("b", INT4, True)], "s", "t", "i")
    )

    assert relation == Relation(
        7,
        "s",
        "t",
        "i",
        (RelationColumn("a", TEXT, -1, False), RelationColumn("b", INT4, -1, True)),
    )
    assert (relation.names, relation.key_positions) == (("a", "b"), (1,))


def test_values_come_by_type_whether_sent_as_text_or_binary() -> None:
    decoder = PgOutputDecoder(ValueForm())
    decoder.decode(
        wire.relation(
            7, [("a", INT4, True), ("b", NUMERIC, False), ("c", BYTEA, False), ("d", 99999, False)]
        )
    )
    binary = [
        Binary(b"\xff\xff\xff\xfe"),
        Binary(b"\0\2\0\0\0\0\0\2\0\1\x13\x88"),
        Binary(b"ab"),
        Binary(b"?"),
    ]

    assert decoder.decode(wire.insert(7, ["-2", "1.50", "\\x6162", "é"])).after == (
        -2,
        Decimal("1.50"),
        b"ab",
        "é",
    )
    assert decoder.decode(wire.insert(7, binary)).after == (-2, Decimal("1.50"), b"ab", b"?")
    assert decoder.decode(wire.insert(7, [None, UNCHANGED, None, None])).after == (
        None,
        UNCHANGED,
        None,
        None,
    )


def test_a_value_that_is_not_of_its_type_is_refused_with_its_place() -> None:
    decoder = PgOutputDecoder(ValueForm())
    decoder.decode(wire.relation(7, [("a", TEXT, True), ("b", INT4, False)]))

    listed: list[list[Value]] = [["12345", "x"], ["é234", "x"], ["12345", Binary(b"123")]]
    for row in listed:
        with pytest.raises(DecodeError, match="not of its column's type") as caught:
            decoder.decode(wire.insert(7, row))
        assert caught.value.offset == 23


@pytest.mark.parametrize(
    ("message", "offset", "reason"),
    [
        (b"", 0, "empty"),
        (b"?", 0, "'[?]' is no kind of message"),
        (b"I", 1, "ends in its head"),
        (wire.insert(8, ["a"]), 1, "relation 8 was not described"),
        (b"I\0\0\0\7X\0\1", 5, "'X' is no kind of tuple for 'I'"),
        (b"I\0\0\0\7K\0\1n", 5, "'K' is no kind of tuple for 'I'"),
        (b"I\0\0\0\7N\0\2nn", 6, "has 2 columns, but s.t has 1"),
        (b"I\0\0\0\7N\0\1", 8, "ends in the middle of a row"),
        (b"I\0\0\0\7N\0\1x", 8, "'x' is no kind of value"),
        (b"I\0\0\0\7N\0\1t\0\0\0\2a", 14, "ends in the middle of a row"),
        (b"I\0\0\0\7N\0\1t\xff\xff\xff\xffa", 8, "ends in the middle of a value"),
        (b"I\0\0\0\7N\0\1t\0\0", 8, "ends in the middle of a value"),
        (b"I\0\0\0\7N\0\1nn", 9, "1 bytes follow the row"),
        (b"I\0\0\0\7N\0\1t\0\0\0\1\xff", 13, "not of its column's type or encoding"),
        (b"U\0\0\0\7O\0\1nX\0\1n", 9, "is not the head of a new row"),
        (b"B\0", 2, "21 bytes are needed"),
        (wire.begin(5) + b"!", 21, "21 bytes are needed"),
        (wire.commit() + b"!", 26, "26 bytes are needed"),
        (b"O\0", 1, "8 bytes are needed, 1 are left"),
        (wire.stream_commit(5) + b"!", 30, "1 bytes follow the message"),
        (b"R\0\0\0\7abc", 5, "a string does not end"),
        (b"R\0\0\0\7\xff\0", 5, "a string is not UTF-8"),
        (b"T\xff\xff\xff\xff\0\0\0\0\7", 10, "4 bytes are needed, 0 are left"),
        (b"T\0\0\0\1\0\0\0\0\x08", 6, "relation 8 was not described"),
        (wire.STREAM_STOP, 0, "ends that did not start"),
    ],
)
def test_malformed_messages_are_refused_with_offset_and_reason(
    message: bytes, offset: int, reason: str
) -> None:
    decoder, relation = decoder_of(7, 1)

    with pytest.raises(DecodeError, match=reason) as caught:
        decoder.decode(message)
    assert caught.value.offset == offset
    assert decoder.decode(wire.insert(7, ["still"])) == Insert(relation, ("still",))


def test_the_offset_of_a_streamed_change_counts_its_transaction_too() -> None:
    decoder, _ = decoder_of(7, 1)
    decoder.decode(wire.stream_start(5, first=True))

    with pytest.raises(DecodeError) as caught:
        decoder.decode(wire.streamed(5, b"I\0\0\0\7N\0\1x"))
    assert caught.value.offset == 12
    with pytest.raises(DecodeError, match="inside of another"):
        decoder.decode(wire.stream_start(5, first=False))


def test_unchanged_stays_itself_when_it_is_copied() -> None:
    assert pickle.loads(pickle.dumps(UNCHANGED)) is UNCHANGED
    assert repr(UNCHANGED) == "UNCHANGED"


@pytest.mark.parametrize(
    "odd",
    [None, UNCHANGED, Binary(b"\0\1"), "ü" * 300, "", "x" * 70_000],
    ids=lambda v: repr(v)[:9],
)
def test_many_rows_at_once_are_what_single_ones_are(odd: Value) -> None:
    rows: list[list[Value]] = [
        [f"{row}", None if row % 3 else "näme", "t\\n", "n" * row] for row in range(400)
    ]
    rows[217][1] = odd
    frames = b"C" + bytes(25)
    messages = [message for row in rows for message in (wire.insert(300, row), frames)]
    messages.append(wire.insert(300, ["last", None, None, None]))
    decoder, _ = decoder_of(300, 4)
    single = list(map(decoder.decode, messages))
    assert decoder.decode_many(messages) == single
    assert [event.after for event in single[:-1:2]] == [plain(row) for row in rows]


@pytest.mark.parametrize("bad", [b"\xff", b"\xed\xa0\x80"])
def test_one_malformed_row_among_many_is_refused(bad: bytes) -> None:
    messages = [wire.insert(300, ["a", "b"]) for _ in range(300)]
    decoder, _ = decoder_of(300, 2)
    decoder.decode_many(messages)
    for broken in (wire.insert(300, ["a", bad]), messages[0] + b"x", messages[0][:-1]):
        with pytest.raises(DecodeError):
            decoder.decode_many([*messages, broken, *messages])
    assert decoder.decode_many(messages) == list(map(decoder.decode, messages))

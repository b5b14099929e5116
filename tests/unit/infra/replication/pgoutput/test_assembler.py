"""The assembler: whole transactions, in commit order, without what was rolled back, in bounded
memory.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.replication.error import DecodeError
from infra.replication.pgoutput.assembler import (
    CHUNK_MESSAGES,
    OVERHEAD_BYTES,
    TransactionAssembler,
)
from infra.replication.pgoutput.decoder import PgOutputDecoder
from infra.replication.pgoutput.event import Insert
from tests.unit.infra.replication.pgoutput import wire

OID = 7
RELATION = wire.relation(OID, [("id", 25, True)])


def row(value: object) -> bytes:
    return wire.insert(OID, [str(value)])


def block(xid: int, changes: Iterable[tuple[int, bytes]], *, first: bool) -> list[bytes]:
    """A stream block: changes with the subtransaction of each."""
    inside = [wire.streamed(subxid, message) for subxid, message in changes]
    return [wire.stream_start(xid, first=first), *inside, wire.STREAM_STOP]


def committed(
    messages: Sequence[bytes], assembler: TransactionAssembler | None = None
) -> list[tuple[int, list[str]]]:
    """What comes out: each transaction's number and rows."""
    assembler = assembler or TransactionAssembler()
    decoder = PgOutputDecoder()
    read = []
    for transaction in assembler.feed_many(messages):
        with transaction:
            rows = [
                event.after[0] for event in transaction.events(decoder) if isinstance(event, Insert)
            ]
            read.append((transaction.xid, rows))
    return read


def test_a_transaction_comes_whole_with_where_and_when_it_was_committed() -> None:
    assembler = TransactionAssembler()
    messages = [wire.begin(5, 100, 1_000_000), RELATION, row(1), row(2)]

    assert assembler.feed_many(messages) == []
    transaction = assembler.feed(wire.commit(100, 108, 1_000_000))
    assert transaction is not None
    assert (transaction.xid, transaction.commit_lsn, transaction.end_lsn) == (5, 100, 108)
    assert (transaction.commit_us, len(transaction)) == (1_000_000, 3)
    assert list(transaction.chunks()) == [[RELATION, row(1), row(2)]]
    assert assembler.memory_bytes == 0


def test_streamed_transactions_come_in_the_order_of_their_commits() -> None:
    messages = [
        *block(5, [(5, RELATION), (5, row("a"))], first=True),
        *block(6, [(6, RELATION), (6, row("b"))], first=True),
        wire.begin(7),
        row("c"),
        wire.commit(),
        *block(5, [(5, row("d"))], first=False),
        wire.stream_commit(6),
        wire.stream_commit(5),
    ]
    # The relation of the transaction in between came with an earlier one.
    assert committed([wire.begin(4), RELATION, wire.commit(), *messages]) == [
        (4, []),
        (7, ["c"]),
        (6, ["b"]),
        (5, ["a", "d"]),
    ]


def test_what_was_rolled_back_is_left_out_in_memory_and_on_disk(tmp_path: Path) -> None:
    messages = [
        *block(
            5,
            [(5, RELATION), (5, row("a")), (6, row("b")), (8, row("c")), (5, row("d"))],
            first=True,
        ),
        wire.stream_abort(5, 6),
        *block(9, [(9, RELATION), (9, row("never"))], first=True),
        *block(5, [(6, row("after its abort")), (8, row("e"))], first=False),
        wire.stream_abort(9, 9),
        wire.stream_commit(5),
    ]
    assembler, spilling = (
        TransactionAssembler(),
        TransactionAssembler(memory_bytes=0, directory=tmp_path),
    )

    assert (
        committed(messages, assembler)
        == committed(messages, spilling)
        == [(5, ["a", "c", "d", "e"])]
    )
    assert assembler.memory_bytes == spilling.memory_bytes == spilling.spilled_bytes == 0


def test_nothing_comes_at_prepare_and_all_at_commit_prepared() -> None:
    assembler = TransactionAssembler()
    prepared = [
        wire.two_phase("b", 5, "one", lsn=300),
        RELATION,
        row("a"),
        wire.two_phase("P", 5, "one", lsn=300),
    ]
    streamed = [
        *block(6, [(6, RELATION), (6, row("b"))], first=True),
        wire.two_phase("p", 6, "two", lsn=290),
    ]

    assert assembler.feed_many([*prepared, *streamed]) == []
    assert assembler.hold_lsn == 290
    assert assembler.feed(wire.rollback_prepared(6, "two")) is None
    assert assembler.hold_lsn == 300
    assert committed([wire.two_phase("K", 5, "one")], assembler) == [(5, ["a"])]
    assert assembler.hold_lsn is None
    assert assembler.memory_bytes == 0


def test_a_message_outside_of_transactions_comes_alone_and_confirms_nothing() -> None:
    emitted = wire.message("prefix", b"content", 50, transactional=False)
    transaction = TransactionAssembler().feed(emitted)

    assert transaction is not None
    assert (transaction.xid, transaction.end_lsn, list(transaction.chunks())) == (0, 0, [[emitted]])


def test_chunks_are_bounded_and_can_be_read_again(tmp_path: Path) -> None:
    messages = [
        wire.begin(5),
        *(row(number) for number in range(2 * CHUNK_MESSAGES + 10)),
        wire.commit(),
    ]
    for assembler in (
        TransactionAssembler(),
        TransactionAssembler(memory_bytes=50_000, directory=tmp_path),
    ):
        (transaction,) = assembler.feed_many(messages)
        with transaction:
            once, twice = list(transaction.chunks()), list(transaction.chunks())
        assert once == twice
        assert [message for chunk in once for message in chunk] == messages[1:-1]
        assert max(map(len, once)) <= CHUNK_MESSAGES


def test_memory_stays_within_the_bound_whatever_is_open(tmp_path: Path) -> None:
    bound = 200_000
    assembler = TransactionAssembler(memory_bytes=bound, directory=tmp_path)
    padding = "x" * 400
    tracemalloc.start()
    try:
        for number in range(3):
            assembler.feed_many(block(number + 1, [(number + 1, RELATION)], first=True))
        before = tracemalloc.get_traced_memory()[0]
        for turn in range(30):
            for number in range(3):
                changes = ((number + 1, row(f"{turn} {padding} {at}")) for at in range(100))
                for message in block(number + 1, changes, first=False):
                    assembler.feed(message)
                    assert assembler.memory_bytes <= bound
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert 0.5 * bound < used < 1.5 * bound, "what is counted is what is used"
    assert assembler.spilled_bytes > 10 * bound
    assert [len(rows) for _, rows in committed([wire.stream_commit(2)], assembler)] == [3000]
    assembler.close()
    assert not list(tmp_path.iterdir()), "files have no names, so none can stay behind"


@given(st.data())
@settings(max_examples=60)
def test_any_interleaving_gives_what_was_committed(data: st.DataObject) -> None:
    """Random streams with savepoints against a list a transaction, with and without spilling."""
    expected: list[tuple[int, list[str]]] = []
    open_rows: dict[int, list[tuple[int, str]]] = {}
    messages = [wire.begin(1), RELATION, wire.commit()]
    count = 0
    for _ in range(data.draw(st.integers(1, 30))):
        xid = data.draw(st.integers(10, 13))
        step = data.draw(st.sampled_from(["block", "block", "commit", "abort", "sub", "plain"]))
        rows = open_rows.get(xid)
        if step == "block":
            subxids = data.draw(st.lists(st.integers(0, 3), max_size=4))
            added = [
                (10 * xid + sub if sub else xid, str(count + at)) for at, sub in enumerate(subxids)
            ]
            count += len(added)
            messages += block(
                xid, [(subxid, row(value)) for subxid, value in added], first=rows is None
            )
            open_rows.setdefault(xid, []).extend(added)
        elif step == "plain":
            messages += [wire.begin(9), row(count), wire.commit()]
            expected.append((9, [str(count)]))
            count += 1
        elif rows is not None and step == "commit":
            messages.append(wire.stream_commit(xid))
            expected.append((xid, [value for _, value in open_rows.pop(xid)]))
        elif rows is not None and step == "abort":
            messages.append(wire.stream_abort(xid, xid))
            del open_rows[xid]
        elif rows is not None:
            # A subtransaction's number is not used again once it was rolled back.
            gone = 10 * xid + 3
            if all(subxid != gone for subxid, _ in rows):
                continue
            messages.append(wire.stream_abort(xid, gone))
            open_rows[xid] = [(subxid, value) for subxid, value in rows if subxid != gone]
            messages.append(wire.stream_commit(xid))
            expected.append((xid, [value for _, value in open_rows.pop(xid)]))

    for bound in (10**9, 3 * OVERHEAD_BYTES):
        assembler = TransactionAssembler(memory_bytes=bound)
        assert committed(messages, assembler)[1:] == expected
        assembler.close()


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([b""], "empty"),
        ([row(1)], "outside of a transaction"),
        ([wire.commit()], "committed that did not start"),
        ([wire.begin(5), wire.begin(6)], "inside of another"),
        ([wire.begin(5), wire.stream_start(6, first=True)], "inside of a transaction"),
        ([wire.stream_start(5, first=True), wire.stream_start(6, first=True)], "inside of a"),
        ([wire.stream_start(5, first=False)], "starts in its middle"),
        ([*block(5, [], first=True), wire.stream_start(5, first=True)], "starts twice"),
        ([wire.stream_commit(5)], "stream 5 did not start"),
        ([wire.stream_abort(5, 6)], "stream 5 did not start"),
        ([wire.STREAM_STOP], "did not start"),
        ([wire.begin(5), wire.two_phase("P", 5, "g")], "did not start so"),
        ([wire.two_phase("K", 5, "g")], "'g' was not prepared"),
        ([wire.message("p", b"", transactional=True)], "outside of a transaction"),
    ],
)
def test_messages_out_of_order_are_refused(messages: list[bytes], reason: str) -> None:
    assembler = TransactionAssembler()
    with pytest.raises(DecodeError, match=reason):
        assembler.feed_many(messages)
    assembler.close()


def test_events_are_decoded_when_they_are_read() -> None:
    (transaction,) = TransactionAssembler().feed_many(
        [wire.begin(5), RELATION, b"I\0\0\0\7N\0\1x", wire.commit()]
    )
    decoder: PgOutputDecoder = PgOutputDecoder()
    events: Any = transaction.events(decoder)

    with pytest.raises(DecodeError, match="is no kind of value"):
        list(events)

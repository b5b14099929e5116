"""Messages become chunks of transactions; none of an unexpected kind passes, and a session proves
that its history is the one that was read before.
"""

from __future__ import annotations

import random
import struct

import pytest

from infra.platform.process.error import PlatformError
from infra.platform.wal.error import HistoryError
from infra.platform.wal.replication.intake import HoldingIntake, Intake
from infra.platform.wal.replication.position import CommitMark
from infra.platform.wal.replication.pump import TransactionChunk
from infra.platform.wal.serialise.commit_source import CommitSource
from infra.replication.error import DecodeError
from infra.replication.stream import POSTGRES_EPOCH_US
from tests.unit.infra.replication.pgoutput import wire

RELATION = wire.relation(9, [("id", 20, True)])


def begin(lsn: int, xid: int, commit_us: int = 1_000) -> bytes:
    return b"B" + struct.pack(">QqI", lsn, commit_us - POSTGRES_EPOCH_US, xid)


def insert(number: int) -> bytes:
    return wire.insert(9, (str(number),))


def transaction(lsn: int, xid: int, *messages: bytes) -> list[bytes]:
    return [begin(lsn, xid), *messages, wire.commit(lsn, lsn + 8, 1_000)]


def taken(intake: Intake, messages: list[bytes]) -> list[TransactionChunk]:
    return list(intake.take(messages, 5))


def rows(chunks: list[TransactionChunk]) -> list[tuple[int, bytes]]:
    return [
        (part.source.xid, message)
        for chunk in chunks
        for part in chunk.parts
        for message in part.messages
    ]


def mark(lsn: int, xid: int) -> CommitMark:
    return CommitMark(CommitSource(lsn, 1_000, xid), lsn + 8)


@pytest.mark.parametrize("kind", [Intake, lambda: HoldingIntake(None, 10_000, 10_000)])
def test_however_reads_cut_them_transactions_come_out_whole(kind: type[Intake]) -> None:
    messages = [
        message
        for number in range(50)
        for message in transaction(100 + 10 * number, number, *map(insert, range(number % 4)))
    ]
    whole = rows(taken(kind(), messages))
    intake, chance, start, chunks = kind(), random.Random(1), 0, []
    while start < len(messages):
        end = start + chance.randrange(1, 9)
        chunks += taken(intake, messages[start:end])
        start = end

    assert rows(chunks) == whole
    assert [xid for xid, _ in whole] == [n for n in range(50) for _ in range(n % 4)]
    assert [chunk.mark for chunk in chunks if chunk.mark][-1] == mark(590, 49)
    assert not intake.open


@pytest.mark.parametrize(
    "kind", [b"b", b"P", b"K", b"r", b"p", b"S", b"E", b"c", b"A", b"?", b"\0"]
)
def test_a_message_of_another_kind_is_an_error_with_its_place(kind: bytes) -> None:
    with pytest.raises(DecodeError, match=r"of kind .* is not expected in transaction 7 at 0/64"):
        taken(Intake(), [begin(100, 7), insert(1), kind + bytes(20)])


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([insert(1)], "kind 'I' came outside of a transaction"),
        ([wire.commit(1, 2, 3)], "ends that did not start"),
        ([begin(1, 1), begin(2, 2)], "starts inside of transaction 1"),
        ([b""], "a message is empty"),
        ([b"B\0"], "a Begin of 2 bytes"),
    ],
)
def test_messages_out_of_order_are_an_error(messages: list[bytes], said: str) -> None:
    with pytest.raises(DecodeError, match=said):
        taken(Intake(), messages)


def test_the_transaction_that_was_published_before_only_describes() -> None:
    intake = Intake(mark(100, 7))
    messages = [
        *transaction(100, 7, RELATION, insert(1), insert(2)),
        *transaction(120, 8, insert(3)),
    ]
    assert intake.proving

    chunks = taken(intake, messages[:2]) + taken(intake, messages[2:])

    assert rows(chunks) == [(7, RELATION), (8, insert(3))]
    assert not intake.proving


@pytest.mark.parametrize(
    "first",
    [
        begin(100, 8),  # the same place, another transaction
        begin(100, 7, commit_us=1_001),
        begin(120, 9),  # the place is passed
    ],
)
def test_another_first_transaction_is_another_history(first: bytes) -> None:
    with pytest.raises(HistoryError, match="published before from 0/64, is not in the server's"):
        taken(Intake(mark(100, 7)), [first])


def block(xid: int, *messages: bytes, first: bool = False) -> list[bytes]:
    numbered = [message[:1] + struct.pack(">I", xid) + message[1:] for message in messages]
    return [wire.stream_start(xid, first=first), *numbered, b"E"]


def test_streamed_transactions_come_when_they_are_committed_without_what_was_rolled_back() -> None:
    intake = HoldingIntake(None, 1_000, 10_000_000)
    messages = [
        *block(5, RELATION, insert(1), first=True),
        *transaction(100, 4, RELATION, insert(10)),
        *block(6, RELATION, insert(2), first=True),
        *block(5, *map(insert, range(3, 2_000))),
        wire.stream_abort(6, 6),
        wire.stream_commit(5),
    ]

    chunks = taken(intake, messages)

    assert [row for row in rows(chunks) if row[1][:1] == b"I"] == [
        (4, insert(10)),
        (5, insert(1)),
        *((5, insert(number)) for number in range(3, 2_000)),
    ]
    assert max(chunk.count for chunk in chunks) <= 1_000
    assert [chunk.mark.source.xid for chunk in chunks if chunk.mark] == [4, 5]
    assert intake.assembler.memory_bytes == intake.assembler.spilled_bytes == 0


def test_transactions_in_progress_have_a_bound_on_disk_too() -> None:
    intake = HoldingIntake(None, 1_000, 20_000)

    with pytest.raises(PlatformError, match=r"over the limit of 20000; raise --max-spill-mb"):
        taken(intake, block(5, *map(insert, range(5_000)), first=True))
    intake.close()


def prepared(xid: int, lsn: int, *messages: bytes) -> list[bytes]:
    return [
        wire.two_phase("b", xid, str(xid), lsn),
        *messages,
        wire.two_phase("P", xid, str(xid), lsn),
    ]


def test_prepared_transactions_come_when_they_are_committed_and_hold_the_slot_until_then() -> None:
    intake = HoldingIntake(None, 1_000_000, 10_000_000)
    chunks = taken(
        intake,
        [
            *transaction(100, 1, RELATION, insert(1)),
            *prepared(2, 120, insert(2)),
            *prepared(3, 140, insert(3)),
            *transaction(160, 4, insert(4)),
        ],
    )
    assert [xid for xid, _ in rows(chunks)] == [1, 1, 4]
    assert intake.hold_lsn == 120

    chunks = taken(intake, [wire.rollback_prepared(2, "2")])
    assert intake.hold_lsn == 140
    chunks += taken(intake, [wire.two_phase("K", 3, "3", 180)])

    assert rows(chunks) == [(3, insert(3))]
    assert intake.hold_lsn is None


def test_what_was_published_between_a_prepare_and_its_commit_is_left_out_when_it_comes_again() -> (
    None
):
    """The slot was held before the prepare, so the server sends all of it again."""
    intake = HoldingIntake(mark(160, 4), 1_000_000, 10_000_000)
    chunks = taken(
        intake,
        [
            *prepared(3, 140, insert(3)),
            *transaction(150, 5, RELATION, insert(5)),
            *transaction(160, 4, insert(4)),
            *transaction(170, 6, insert(6)),
            wire.two_phase("K", 3, "3", 180),
        ],
    )

    assert rows(chunks) == [(5, RELATION), (6, insert(6)), (3, insert(3))]


def test_a_table_that_a_prepared_transaction_describes_is_described_to_the_next_one() -> None:
    """The server describes a table once a session, also in a transaction that is rolled back."""
    intake = HoldingIntake(None, 1_000_000, 10_000_000)
    chunks = taken(
        intake, [*prepared(2, 120, RELATION, insert(2)), *transaction(160, 4, insert(4))]
    )

    assert [message for _, message in rows(chunks)] == [RELATION, insert(4)]

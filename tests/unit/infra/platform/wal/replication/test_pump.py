"""The pump: bounded, durable only after a flush, in order, and honest about failures."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from infra.platform.transports.transport import PublishRefusedError, Record, TransportError
from infra.platform.wal.refused import RefusedChanges
from infra.platform.wal.replication.position import CommitMark
from infra.platform.wal.replication.pump import (
    FLUSH_BYTES,
    FLUSH_MESSAGES,
    Encoded,
    Pump,
    PumpBound,
    TransactionChunk,
    TransactionPart,
)
from infra.platform.wal.serialise.commit_source import CommitSource

WAIT_S = 10.0


class Numbered:
    """Makes a record of each message."""

    def encode(self, chunk: TransactionChunk) -> Encoded:
        return [
            [Record("s", message, message) for message in part.messages] for part in chunk.parts
        ]


class Seen:
    """Notes what has become durable."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.times: list[tuple[int, int]] = []

    def durable(
        self, chunk: TransactionChunk, encoded: Encoded, started_us: int, done_us: int
    ) -> None:
        assert chunk.count >= sum(map(len, encoded))  # what was put aside is not among them
        self.data += [record.data for records in encoded for record in records]
        self.times.append((started_us, done_us))


class Gated:
    """A publisher whose flushes wait for the gate, or fail."""

    name = "gated"
    limit_bytes = 1_000
    trouble = ""

    def __init__(self) -> None:
        self.published: list[bytes] = []
        self.flushed = 0
        self.closed = False
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.failure: Exception | None = None

    def refusal(self, record: Record) -> str:
        return "too large" if len(record.data) > 1_500 else ""

    def publish(self, records: Sequence[Record]) -> None:
        self.published += [record.data for record in records]

    def flush(self) -> None:
        self.entered.set()
        assert self.gate.wait(WAIT_S)
        if self.failure is not None:
            raise self.failure
        self.flushed = len(self.published)

    def moved(self) -> str:
        return ""

    def close(self) -> None:
        self.closed = True


class Clock:
    def __init__(self) -> None:
        self.now_us = 0

    def __call__(self) -> int:
        self.now_us += 1
        return self.now_us


class Rig:
    def __init__(
        self, max_messages: int = 100, max_bytes: int = 1_000_000, refused: Path | None = None
    ) -> None:
        self.publisher, self.seen = Gated(), Seen()
        self.pump = Pump(
            self.publisher,
            Numbered(),
            self.seen,
            Clock(),
            PumpBound(max_messages, max_bytes),
        )
        self.pump.refused = RefusedChanges(refused)
        self.pump.start()


def chunk(first: int, count: int, end_lsn: int) -> TransactionChunk:
    messages = [b"%d" % number for number in range(first, first + count)]
    return TransactionChunk(
        [TransactionPart(CommitSource(1, 2, 3), messages)],
        count,
        sum(map(len, messages)),
        0,
        CommitMark(CommitSource(1, 2, 3), end_lsn) if end_lsn else None,
    )


def test_nothing_is_durable_before_its_flush() -> None:
    rig = Rig()
    rig.pump.put(chunk(0, 3, end_lsn=7))
    assert rig.publisher.entered.wait(WAIT_S)

    assert (rig.pump.taken_lsn, rig.pump.durable_lsn, rig.seen.data) == (7, 0, [])
    assert not rig.pump.idle

    rig.publisher.gate.set()
    assert rig.pump.stop(WAIT_S)
    assert rig.pump.durable_lsn == 7
    assert rig.seen.data == [b"0", b"1", b"2"]
    assert rig.pump.idle
    assert rig.publisher.closed


def test_a_chunk_in_the_middle_of_a_transaction_moves_no_position() -> None:
    rig = Rig()
    rig.publisher.gate.set()
    rig.pump.put(chunk(0, 3, end_lsn=7))
    rig.pump.put(chunk(3, 3, end_lsn=0))

    assert rig.pump.stop(WAIT_S)

    assert (rig.pump.taken_lsn, rig.pump.durable_lsn) == (7, 7)
    assert len(rig.seen.data) == 6


def test_room_counts_what_is_being_published() -> None:
    rig = Rig(max_messages=10)
    rig.pump.put(chunk(0, 6, end_lsn=1))
    assert rig.publisher.entered.wait(WAIT_S)
    assert rig.pump.room() == 4

    rig.pump.put(chunk(6, 4, end_lsn=2))
    assert rig.pump.room() == 0

    rig.publisher.gate.set()
    rig.pump.await_room(WAIT_S)
    assert rig.pump.stop(WAIT_S)
    assert rig.pump.room() == 10
    assert rig.pump.high_water == 10


def test_bytes_are_bounded_too() -> None:
    rig = Rig(max_messages=1_000, max_bytes=20)
    rig.pump.put(chunk(100, 7, end_lsn=1))

    assert rig.pump.room() == 0

    rig.publisher.gate.set()
    assert rig.pump.stop(WAIT_S)
    assert rig.pump.room() == 1_000


def test_waiting_chunks_share_a_flush_up_to_its_limit() -> None:
    rig = Rig(max_messages=10 * FLUSH_MESSAGES, max_bytes=10**9)
    rig.pump.put(chunk(0, 1, end_lsn=1))
    assert rig.publisher.entered.wait(WAIT_S)
    for number in range(4):
        rig.pump.put(chunk(number * FLUSH_MESSAGES // 2, FLUSH_MESSAGES // 2, end_lsn=2 + number))

    rig.publisher.gate.set()
    assert rig.pump.stop(WAIT_S)

    assert rig.pump.flushes == 3
    assert rig.pump.published == 1 + 2 * FLUSH_MESSAGES


def test_every_chunk_has_its_own_start_and_its_flush_as_end() -> None:
    rig = Rig()
    rig.pump.put(chunk(0, 1, end_lsn=1))
    assert rig.publisher.entered.wait(WAIT_S)
    rig.pump.put(chunk(1, 1, end_lsn=2))
    rig.pump.put(chunk(2, 1, end_lsn=3))
    rig.publisher.gate.set()
    assert rig.pump.stop(WAIT_S)

    (_, first), (second_start, second), (third_start, third) = rig.seen.times
    assert first < second_start < third_start < second == third


@pytest.mark.parametrize("failure", [TransportError("the service is gone"), KeyError("a bug")])
def test_a_failure_ends_it_and_what_was_not_durable_stays_so(failure: Exception) -> None:
    rig = Rig()
    rig.publisher.failure = failure
    rig.publisher.gate.set()
    rig.pump.put(chunk(0, 3, end_lsn=7))

    assert not rig.pump.stop(WAIT_S)

    assert rig.pump.failure is failure
    assert rig.pump.durable_lsn == 0
    assert rig.seen.data == []
    assert not rig.pump.idle


def test_a_peak_is_told_once_and_the_next_begins_with_what_is_held() -> None:
    rig = Rig()
    rig.pump.put(chunk(0, 6, end_lsn=1))
    assert [rig.pump.peak(), rig.pump.peak()] == [6, 6]

    rig.publisher.gate.set()
    assert rig.pump.stop(WAIT_S)

    assert [rig.pump.peak(), rig.pump.peak(), rig.pump.high_water] == [6, 0, 6]


def large(sizes: Sequence[int]) -> TransactionChunk:
    messages = [b"x" * size for size in sizes]
    source = CommitSource(1, 2, 3)
    return TransactionChunk(
        [TransactionPart(source, messages)], len(sizes), sum(sizes), 0, CommitMark(source, 9)
    )


def test_what_is_too_large_is_put_aside_and_the_others_go_on(tmp_path: Path) -> None:
    """Over the smallest limit (1,000 with its key) a record is looked at; over its own, refused."""
    rig = Rig(refused=tmp_path / "refused")
    rig.publisher.gate.set()
    rig.pump.put(large([10, 1_400, 1_600, 20]))

    assert rig.pump.stop(WAIT_S)

    assert [len(data) for data in rig.publisher.published] == [10, 1_400, 20]
    assert rig.pump.durable_lsn == 9
    (line,) = (tmp_path / "refused").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["bytes"] == 1_600


def test_without_a_place_for_it_what_is_too_large_ends_the_pump_and_nothing_is_durable() -> None:
    rig = Rig()
    rig.publisher.gate.set()
    rig.pump.put(large([10, 1_600]))

    assert not rig.pump.stop(WAIT_S)

    assert isinstance(rig.pump.failure, PublishRefusedError)
    assert rig.pump.durable_lsn == 0


def test_a_flush_is_bounded_in_bytes_too() -> None:
    rig = Rig(max_messages=100, max_bytes=10**9)
    rig.pump.put(chunk(0, 1, end_lsn=1))
    assert rig.publisher.entered.wait(WAIT_S)
    count = FLUSH_BYTES // 1_000 * 3 // 5
    for number in range(4):
        source = CommitSource(number, 2, 3)
        part = TransactionPart(source, [b"x"])
        rig.pump.put(TransactionChunk([part], 1, count * 1_000, 0, None))

    rig.publisher.gate.set()
    assert rig.pump.stop(WAIT_S)

    # Two of them would be over the bound, so each has its own.
    assert rig.pump.flushes == 5

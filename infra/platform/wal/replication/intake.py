"""Sorts raw messages by transaction, and rejects kinds that it does not know; pure.

PostgreSQL documentation, "Logical Replication Message Formats". Only the first byte of a message is
read, and Begin and Commit; the encoder reads the changes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from operator import itemgetter

from infra.platform.process.error import PlatformError
from infra.platform.wal.error import HistoryError
from infra.platform.wal.replication.position import CommitMark
from infra.platform.wal.replication.pump import TransactionChunk, TransactionPart
from infra.platform.wal.serialise.commit_source import CommitSource
from infra.replication.error import DecodeError
from infra.replication.pgoutput.assembler import Transaction, TransactionAssembler
from infra.replication.stream import POSTGRES_EPOCH_US, lsn_text

BEGIN = ord("B")
BEGIN_FIELDS = struct.Struct(">QqI")
COMMIT_END = struct.Struct(">Q")
COMMIT_END_OFFSET = 10
#: The messages that a transaction may contain: changes, and their descriptions.
INSIDE = b"ORYIUDTM"
#: The messages that later changes need, also those of a transaction that is left out.
DESCRIBING = b"RY"
_kind_of = itemgetter(0)
_FRAME = re.compile(rb"[BC]")
#: The starts and ends of held messages: of transactions in progress (S, c, A; protocol version 2),
#: and of prepared ones (b, K, r; a slot with two_phase on).
_HELD = b"ScAbKrp"
_HELD_START = re.compile(b"[" + _HELD + b"]")
_BLOCK_STARTS, _BLOCK_ENDS = b"Sb", b"EP"


class Intake:
    """Sorts one session's messages, in their order, into chunks of transactions.

    With `first`, the session must bring that transaction before any later one. It was published
    before, so only the descriptions in it, and in earlier ones, are passed on. Raises HistoryError
    if the server does not send it, and DecodeError for a message of an unexpected kind.
    """

    #: A position that must not be confirmed yet, because its changes would not be sent again; None
    #: if all may be.
    hold_lsn: int | None = None

    def __init__(self, first: CommitMark | None = None) -> None:
        self.open = False
        self.transactions = 0
        self._source = CommitSource(0, 0, 0)
        self._first = first
        self._leaving_out = False

    @property
    def proving(self) -> bool:
        """Whether the transaction of `first` has not come yet."""
        return self._first is not None

    def take(self, messages: Sequence[bytes], read_us: int) -> Iterator[TransactionChunk]:
        """The chunks of these messages; the caller must pass on each before it takes the next."""
        yield self._sorted(messages, _kinds(messages), read_us)

    def _sorted(self, messages: Sequence[bytes], kinds: bytes, read_us: int) -> TransactionChunk:
        parts: list[TransactionPart] = []
        mark: CommitMark | None = None
        start = 0
        # One look at a string of first bytes is cheaper than a look at each message.
        for frame in _FRAME.finditer(kinds):
            index = frame.start()
            self._part(parts, messages, kinds, start, index)
            start = index + 1
            if kinds[index] == BEGIN:
                self._begin(messages[index])
            else:
                mark = self._commit(messages[index])
        self._part(parts, messages, kinds, start, len(messages))
        size = sum(map(len, messages))
        return TransactionChunk(parts, len(messages), size, read_us, mark)

    def _part(
        self,
        parts: list[TransactionPart],
        messages: Sequence[bytes],
        kinds: bytes,
        first: int,
        last: int,
    ) -> None:
        """The messages between two frames."""
        if first == last:
            return
        if strange := kinds[first:last].translate(None, INSIDE):
            raise DecodeError(
                f"a message of kind {chr(strange[0])!r} is not expected in {self._place()}", 0
            )
        if not self.open:
            raise DecodeError(
                f"a message of kind {chr(kinds[first])!r} came outside of a transaction, after"
                f" {self._place()}",
                0,
            )
        part = messages[first:last]
        if self._leaving_out:
            part = [message for message in part if message[0] in DESCRIBING]
        if part:
            parts.append(TransactionPart(self._source, part))

    def _place(self) -> str:
        return f"transaction {self._source.xid} at {lsn_text(self._source.lsn)}"

    def _begin(self, message: bytes) -> None:
        if self.open:
            raise DecodeError(f"a transaction starts inside of {self._place()}", 0)
        if len(message) != 1 + BEGIN_FIELDS.size:
            raise DecodeError(f"a Begin of {len(message)} bytes after {self._place()}", 0)
        lsn, commit_us, xid = BEGIN_FIELDS.unpack_from(message, 1)
        self._enter(CommitSource(lsn, commit_us + POSTGRES_EPOCH_US, xid))
        self.open = True

    def _enter(self, source: CommitSource) -> None:
        self._source = source
        if self._first is not None:
            if source.lsn >= self._first.source.lsn and source != self._first.source:
                raise HistoryError(
                    f"transaction {self._first.source.xid}, published before from"
                    f" {lsn_text(self._first.source.lsn)}, is not in the server's WAL: there is"
                    f" {self._place()} instead"
                )
            self._leaving_out = True

    def _commit(self, message: bytes) -> CommitMark:
        if not self.open:
            raise DecodeError(f"a transaction ends that did not start, after {self._place()}", 0)
        (end_lsn,) = COMMIT_END.unpack_from(message, COMMIT_END_OFFSET)
        return self._left(end_lsn)

    def _left(self, end_lsn: int) -> CommitMark:
        """The transaction's end; its mark may be confirmed once it is durable."""
        if self._first is not None and self._source == self._first.source:
            self._first = None
        self.open = self._leaving_out = False
        self.transactions += 1
        return CommitMark(self._source, end_lsn)

    def close(self) -> None:
        """Drop what is incomplete; a new session starts over."""


class HoldingIntake(Intake):
    """An intake for servers that also send transactions in progress, or prepared ones.

    These are held until they are committed, with at most `memory_bytes` in memory and `spill_bytes`
    in temporary files; what was rolled back is left out.
    """

    def __init__(self, first: CommitMark | None, memory_bytes: int, spill_bytes: int) -> None:
        super().__init__(first)
        self.assembler = TransactionAssembler(memory_bytes)
        self._spill_bytes = spill_bytes
        self._in_block = self._preparing = False

    def take(self, messages: Sequence[bytes], read_us: int) -> Iterator[TransactionChunk]:
        """The chunks of these messages; a transaction of any size comes in small chunks."""
        kinds = _kinds(messages)
        position = 0
        while position < len(messages):
            if self._in_block or kinds[position] in _HELD:
                yield from self._feed(messages[position], read_us)
                position += 1
                continue
            found = _HELD_START.search(kinds, position)
            end = found.start() if found else len(messages)
            yield self._sorted(messages[position:end], kinds[position:end], read_us)
            position = end

    def _feed(self, message: bytes, read_us: int) -> Iterator[TransactionChunk]:
        if self.open:
            raise DecodeError(f"a block starts inside of {self._place()}", 0)
        transaction = self.assembler.feed(message)
        self.hold_lsn = self.assembler.hold_lsn
        if self._preparing and message[0] in DESCRIBING:
            # For the server a table is described once this was sent, even if the transaction is
            # rolled back: the next transaction relies on it.
            part = TransactionPart(self._source, [message])
            yield TransactionChunk([part], 1, len(message), read_us, None)
        if message[0] in _BLOCK_STARTS:
            self._in_block = True
            self._preparing = message[:1] == b"b"
        elif message[0] in _BLOCK_ENDS:
            self._in_block = self._preparing = False
            self._check_spill()
        if transaction is not None:
            with transaction:
                yield from self._streamed(transaction, read_us)

    def _check_spill(self) -> None:
        if self.assembler.spilled_bytes > self._spill_bytes:
            raise PlatformError(
                f"transactions that are not committed fill {self.assembler.spilled_bytes} bytes of"
                f" temporary files, over the limit of {self._spill_bytes}; raise --max-spill-mb"
            )

    def _streamed(self, transaction: Transaction, read_us: int) -> Iterator[TransactionChunk]:
        self._enter(CommitSource(transaction.commit_lsn, transaction.commit_us, transaction.xid))
        self.open = True
        for messages in transaction.chunks():
            parts: list[TransactionPart] = []
            self._part(parts, messages, _kinds(messages), 0, len(messages))
            yield TransactionChunk(parts, len(messages), sum(map(len, messages)), read_us, None)
        yield TransactionChunk((), 1, 0, read_us, self._left(transaction.end_lsn))

    def close(self) -> None:
        """Drop what is held in memory and temporary files."""
        self.assembler.close()


def _kinds(messages: Sequence[bytes]) -> bytes:
    try:
        return bytes(map(_kind_of, messages))
    except IndexError:
        raise DecodeError("a message is empty", 0) from None

"""TransactionAssembler: takes messages as the server sends them, and gives out whole transactions
in commit order; pure except for its temporary files.

Messages are kept undecoded until the transaction is read, so an aborted transaction costs no
decoding and a spilled one no encoding. What a streamed transaction says about relations takes
effect when the transaction is read, in commit order. Postgres's own apply worker does the same
(src/backend/replication/logical/worker.c), and the server relies on it.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

from infra.replication.error import DecodeError
from infra.replication.pgoutput import event as events
from infra.replication.pgoutput.decoder import PgOutputDecoder

MEMORY_BYTES = 256 * 1024 * 1024
#: A message's memory beyond its bytes: the object's head, its rounding, its place in a list.
OVERHEAD_BYTES = 56
CHUNK_MESSAGES = 1000
_RECORD = struct.Struct(">II")


class Held:
    """The messages of one open transaction; the older part is in a temporary file if memory was
    short.

    Each message has the number of the (sub)transaction that wrote it, because that one may be
    rolled back alone.
    back alone.
    """

    def __init__(self) -> None:
        self.memory_bytes = 0
        self.count = 0
        self._runs: list[tuple[int, list[bytes]]] = []
        self._run: list[bytes] = []
        self._xid = -1
        self._aborted: set[int] = set()
        self._file: IO[bytes] | None = None

    def add(self, xid: int, message: bytes) -> int:
        """Keep a message; returns the memory that it takes, in bytes."""
        # Messages of one subtransaction come in runs, so a list for each run suffices to drop one
        # that is rolled back; a number beside each message would be an object each.
        if xid != self._xid:
            self._xid, self._run = xid, []
            self._runs.append((xid, self._run))
        self._run.append(message)
        cost = _cost(message)
        self.memory_bytes += cost
        self.count += 1
        return cost

    def abort(self, xid: int) -> int:
        """Drop the messages of this subtransaction; returns the memory that this frees, in
        bytes.
        """
        # Messages in the file stay there and are skipped by reading: rewriting the file could cost
        # its whole size for each ROLLBACK TO.
        self._aborted.add(xid)
        freed = sum(_cost(message) for of, run in self._runs if of == xid for message in run)
        self._runs = [(of, run) for of, run in self._runs if of != xid]
        self._xid = -1
        self.memory_bytes -= freed
        return freed

    def spill(self, directory: Path | None) -> int:
        """Move the messages in memory to the file; returns the memory that this frees, in bytes."""
        # The file has no name, so that a killed process leaves none behind.
        self._file = self._file or tempfile.TemporaryFile(dir=directory, prefix="cdc-wal-")  # noqa: SIM115 - see close
        # The file needs no index: it is read once from its beginning, and each record has its
        # length.
        for xid, run in self._runs:
            for message in run:
                self._file.write(_RECORD.pack(xid, len(message)) + message)
        freed, self.memory_bytes = self.memory_bytes, 0
        self._runs, self._run, self._xid = [], [], -1
        return freed

    @property
    def spilled_bytes(self) -> int:
        """The size of the file."""
        return self._file.tell() if self._file else 0

    def chunks(self) -> Iterator[list[bytes]]:
        """The messages in order, in lists; may be read again."""
        if self._file is not None:
            yield from self._filed(self._file)
        for xid, run in self._runs:
            if xid in self._aborted:
                continue
            yield from (run[at : at + CHUNK_MESSAGES] for at in range(0, len(run), CHUNK_MESSAGES))

    def _filed(self, file: IO[bytes]) -> Iterator[list[bytes]]:
        # The end of the written part: reading stops there, so that writing and reading may
        # continue.
        end = file.tell()
        file.seek(0)
        chunk: list[bytes] = []
        while file.tell() < end:
            xid, length = _RECORD.unpack(file.read(_RECORD.size))
            message = file.read(length)
            if xid not in self._aborted:
                chunk.append(message)
            if len(chunk) == CHUNK_MESSAGES:
                yield chunk
                chunk = []
        yield chunk

    def close(self) -> None:
        """Drop the messages and the file."""
        self._runs, self._run = [], []
        if self._file is not None:
            self._file.close()
            self._file = None


def _cost(message: bytes) -> int:
    return len(message) + OVERHEAD_BYTES


class Transaction:
    """A committed transaction: where and when it was committed, and its messages.

    `end_lsn` may be confirmed once everything in it is durable downstream; it is 0 if there is
    nothing to confirm (a message outside of transactions, whose `xid` is 0 too). It must be closed
    after reading; `with` does so.
    """

    __slots__ = ("_held", "commit_lsn", "commit_us", "end_lsn", "xid")

    def __init__(self, held: Held, xid: int, commit_lsn: int, end_lsn: int, commit_us: int) -> None:
        self._held = held
        self.xid = xid
        self.commit_lsn = commit_lsn
        self.end_lsn = end_lsn
        self.commit_us = commit_us

    def __len__(self) -> int:
        """The number of messages, including relations and those of rolled-back subtransactions."""
        return self._held.count

    def chunks(self) -> Iterator[list[bytes]]:
        """The messages, as in protocol version 1, in lists of at most CHUNK_MESSAGES; may be read
        again.
        """
        return self._held.chunks()

    def events(self, decoder: PgOutputDecoder) -> Iterator[events.ChangeMessage]:
        """The decoded messages; the decoder must have read all earlier transactions in commit
        order.
        """
        for chunk in self.chunks():
            yield from decoder.decode_many(chunk)

    def close(self) -> None:
        """Drop the messages and the temporary file."""
        self._held.close()

    def __enter__(self) -> Transaction:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class TransactionAssembler:
    """Collects the messages of one connection; a new connection needs a new assembler, because the
    server starts over.

    Holds at most `memory_bytes` in memory over all open transactions; the rest goes to unnamed
    temporary files in `directory`, the largest transaction first. Raises DecodeError for messages
    out of order. Not thread-safe.
    """

    def __init__(self, memory_bytes: int = MEMORY_BYTES, directory: Path | None = None) -> None:
        self._limit_bytes = memory_bytes
        self._directory = directory
        self._used_bytes = 0
        self._control = PgOutputDecoder()
        self._open: Held | None = None
        self._begin: events.Begin | events.BeginPrepare | None = None
        self._stream_xid = 0
        self._streams: dict[int, Held] = {}
        self._prepared: dict[str, tuple[Held, int]] = {}
        self._handlers: Mapping[int, Callable[[bytes], Transaction | None]] = {
            ord("B"): self._start,
            ord("b"): self._start,
            ord("C"): self._commit,
            ord("P"): self._prepare,
            ord("S"): self._stream_start,
            ord("E"): self._stream_stop,
            ord("c"): self._stream_commit,
            ord("A"): self._stream_abort,
            ord("p"): self._stream_prepare,
            ord("K"): self._commit_prepared,
            ord("r"): self._rollback_prepared,
        }

    @property
    def memory_bytes(self) -> int:
        """The bytes that open transactions hold in memory now."""
        return self._used_bytes

    @property
    def spilled_bytes(self) -> int:
        """The bytes that open transactions hold in temporary files now."""
        held = [*self._streams.values(), *(held for held, _ in self._prepared.values())]
        return sum(each.spilled_bytes for each in [*held, *([self._open] if self._open else [])])

    @property
    def hold_lsn(self) -> int | None:
        """The position behind which nothing may be confirmed while transactions are prepared: the
        server would not send them again.
        """
        return min((lsn for _, lsn in self._prepared.values()), default=None)

    def feed(self, message: bytes) -> Transaction | None:
        """Take one message; returns the transaction that it completes, if any."""
        if not message:
            raise DecodeError("the message is empty", 0)
        handler = self._handlers.get(message[0])
        if handler is not None:
            return handler(message)
        return self._hold(message)

    def feed_many(self, messages: Iterable[bytes]) -> list[Transaction]:
        """Take many messages; returns the transactions that they complete, in commit order."""
        return [transaction for transaction in map(self.feed, messages) if transaction is not None]

    def close(self) -> None:
        """Drop all incomplete transactions."""
        for held in [
            *self._streams.values(),
            *(held for held, _ in self._prepared.values()),
            self._open,
        ]:
            if held is not None:
                held.close()
        # Nothing is lost: these were never confirmed, so the server sends them again.
        self._streams, self._prepared, self._open, self._used_bytes = {}, {}, None, 0

    def _hold(self, message: bytes) -> Transaction | None:
        held = self._open
        if held is None:
            return self._alone(message)
        if self._stream_xid:
            # Stored as in version 1, so that a transaction's reader needs no knowledge of
            # streaming.
            xid, message = int.from_bytes(message[1:5], "big"), message[:1] + message[5:]
        else:
            xid = 0
        self._used_bytes += held.add(xid, message)
        if self._used_bytes > self._limit_bytes:
            self._spill()
        return None

    def _spill(self) -> None:
        held = [*self._streams.values(), *(held for held, _ in self._prepared.values())]
        # The largest first: it frees the most in one pass, and small transactions, which commit
        # soon, stay in memory.
        largest = max(
            [*held, *([self._open] if self._open else [])], key=lambda each: each.memory_bytes
        )
        self._used_bytes -= largest.spill(self._directory)

    def _alone(self, message: bytes) -> Transaction:
        """A message outside of any transaction: only one that was emitted as not transactional is
        allowed.
        """
        decoded = self._control.decode(message) if message[:1] == b"M" else None
        if not isinstance(decoded, events.Message) or decoded.transactional:
            raise DecodeError(
                f"a message of kind {chr(message[0])!r} came outside of a transaction", 0
            )
        held = Held()
        held.add(0, message)
        return Transaction(held, 0, decoded.lsn, 0, 0)

    def _start(self, message: bytes) -> None:
        if self._open is not None:
            raise DecodeError("a transaction starts inside of another", 0)
        self._begin = self._control.decode(message)
        self._open = Held()

    def _finish(self) -> Held:
        if self._open is None or self._begin is None:
            raise DecodeError("a transaction ends that did not start", 0)
        held, self._open, self._begin = self._open, None, None
        return held

    def _complete(
        self,
        held: Held,
        xid: int,
        ended: events.Commit | events.StreamCommit | events.CommitPrepared,
    ) -> Transaction:
        self._used_bytes -= held.memory_bytes
        return Transaction(held, xid, ended.commit_lsn, ended.end_lsn, ended.commit_us)

    def _commit(self, message: bytes) -> Transaction:
        committed: events.Commit = self._control.decode(message)
        begin = self._begin
        if not isinstance(begin, events.Begin):
            raise DecodeError("a transaction is committed that did not start", 0)
        return self._complete(self._finish(), begin.xid, committed)

    def _prepare(self, message: bytes) -> None:
        prepared: events.Prepare = self._control.decode(message)
        if not isinstance(self._begin, events.BeginPrepare):
            raise DecodeError("a transaction is prepared that did not start so", 0)
        # Stored by its global name: COMMIT PREPARED may come hours later, from any session, with no
        # other identification.
        self._prepared[prepared.gid] = (self._finish(), prepared.prepare_lsn)

    def _stream_start(self, message: bytes) -> None:
        if self._open is not None:
            raise DecodeError("a stream block starts inside of a transaction", 0)
        started: events.StreamStart = self._control.decode(message)
        # Either case means that a block was lost or came twice, so the commit would not contain
        # what was written.
        if started.first == (started.xid in self._streams):
            raise DecodeError(
                f"stream {started.xid} starts {'twice' if started.first else 'in its middle'}", 5
            )
        self._open = self._streams.setdefault(started.xid, Held())
        self._stream_xid = started.xid

    def _stream_stop(self, message: bytes) -> None:
        self._control.decode(message)
        self._open, self._stream_xid = None, 0

    def _stream_commit(self, message: bytes) -> Transaction:
        committed: events.StreamCommit = self._control.decode(message)
        return self._complete(self._stream(committed.xid), committed.xid, committed)

    def _stream_prepare(self, message: bytes) -> None:
        prepared: events.StreamPrepare = self._control.decode(message)
        self._prepared[prepared.gid] = (self._stream(prepared.xid), prepared.prepare_lsn)

    def _stream_abort(self, message: bytes) -> None:
        aborted: events.StreamAbort = self._control.decode(message)
        if aborted.subxid == aborted.xid:
            self._drop(self._stream(aborted.xid))
        elif aborted.xid in self._streams:
            self._used_bytes -= self._streams[aborted.xid].abort(aborted.subxid)
        else:
            raise DecodeError(f"stream {aborted.xid} did not start", 1)

    def _stream(self, xid: int) -> Held:
        if self._open is not None:
            raise DecodeError("a stream ends inside of a transaction or block", 0)
        if xid not in self._streams:
            raise DecodeError(f"stream {xid} did not start", 1)
        return self._streams.pop(xid)

    def _commit_prepared(self, message: bytes) -> Transaction:
        committed: events.CommitPrepared = self._control.decode(message)
        return self._complete(self._take_prepared(committed.gid), committed.xid, committed)

    def _rollback_prepared(self, message: bytes) -> None:
        self._drop(self._take_prepared(self._control.decode(message).gid))

    def _take_prepared(self, gid: str) -> Held:
        if gid not in self._prepared:
            raise DecodeError(f"transaction {gid!r} was not prepared on this connection", 0)
        return self._prepared.pop(gid)[0]

    def _drop(self, held: Held) -> None:
        self._used_bytes -= held.memory_bytes
        held.close()

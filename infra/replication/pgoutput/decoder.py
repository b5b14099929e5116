"""PgOutputDecoder: takes pgoutput messages and gives out events; pure, so it needs no server for
tests and measurements.

PostgreSQL documentation, "Logical Replication Message Formats"; protocol versions 1 to 3. A change
costs one dictionary look-up of its first bytes, which finds a function that was compiled for its
relation and kind (tuple_reader.py).
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from infra.replication.error import DecodeError
from infra.replication.pgoutput import event as events
from infra.replication.pgoutput.bulk import Heads
from infra.replication.pgoutput.event import Relation, RelationColumn
from infra.replication.pgoutput.form import TextForm
from infra.replication.pgoutput.tuple_reader import (
    HEAD_BYTES,
    SHAPES,
    BulkForm,
    Form,
    Read,
    head_of,
)

#: Microseconds between 1970 and 2000, Postgres's own epoch.
EPOCH_US = 946_684_800_000_000
_CHANGES = b"IUD"
#: Changes and the messages around transactions: none of these decides how another message is read.
_ORDERLESS = b"IUDBC"
#: Below this number of equal heads, reading one at a time is as fast.
_FEWEST = 100
#: Frequent heads are found in a sample of one message in this many.
_EVERY = 16
#: Messages that have their transaction's number in front inside a stream block.
_IN_STREAM = b"IUDTRYM"
_BEGIN, _COMMIT = struct.Struct(">QqI"), struct.Struct(">xQQq")
#: With `streaming 'parallel'` (protocol version 4) an abort also has a position and a time.
_PARALLEL_ABORT_BYTES = 16


class PgOutputDecoder:
    """Reads messages in the order in which the server sent them, because earlier messages define
    the layout of rows.

    Not thread-safe. Malformed input raises DecodeError; after it the next message can be read.
    """

    def __init__(self, form: Form | None = None) -> None:
        self._form = form or TextForm()
        self._bulk = self._form if isinstance(self._form, BulkForm) else None
        self._relations: dict[int, Relation] = {}
        self._known: dict[bytes, Read] = {}
        self._fast = self._known
        self._readers: Mapping[int, Callable[[Cursor], Any]] = {
            ord(kind): reader
            for kind, reader in {
                **_CONTROL,
                "R": self._relation,
                "T": self._truncate,
                "Y": self._type,
                "S": self._stream_start,
                "E": self._stream_stop,
            }.items()
        }

    @property
    def relations(self) -> Mapping[int, Relation]:
        """The known relations by OID."""
        return self._relations

    def decode(self, message: bytes) -> Any:
        """The event of one message. The form decides the type of a change; inside a stream block
        the change is in a Streamed.
        """
        # One look-up decides operation, relation, kind of tuple and number of columns, because all
        # of them are in these eight bytes. Comparing them field by field would be four steps for
        # each message.
        read = self._fast.get(message[:HEAD_BYTES])
        return read(message) if read is not None else self._other(message)

    def decode_many(self, messages: Iterable[bytes]) -> list[Any]:
        """The events of many messages, equal to those of `decode` for each."""
        messages = messages if isinstance(messages, list) else list(messages)
        if self._bulk is None or len(messages) < _FEWEST or self._fast is not self._known:
            return self._one_by_one(messages)
        # A sample, because counting all messages would cost what bulk reading saves. A head that
        # the sample misses is read one at a time, with the same result.
        sample = Counter(map(head_of, messages[::_EVERY]))
        frequent = [
            head
            for head, count in sample.items()
            if count * _EVERY >= _FEWEST and head in self._known
        ]
        decoded = self._alike(self._bulk, messages, frequent) if frequent else {}
        if not decoded:
            return self._one_by_one(messages)
        # Other messages may stand in between: changes of known relations do not depend on one
        # another, so they may be read out of order and put back.
        rest = [place for place in range(len(messages)) if place not in decoded]
        decoded.update(
            zip(rest, self._one_by_one([messages[place] for place in rest]), strict=True)
        )
        return list(map(decoded.__getitem__, range(len(messages))))

    def _alike(
        self, bulk: BulkForm, messages: list[bytes], frequent: list[bytes]
    ) -> dict[int, Any]:
        """The events, by index, of the changes whose head is frequent."""
        decoded: dict[int, Any] = {}
        heads = Heads(messages)
        if not heads.only(_ORDERLESS):
            return {}
        for head in frequent:
            places = heads.places_of(head)
            if len(places) < _FEWEST:
                continue
            relation = self._relations[int.from_bytes(head[1:5], "big")]
            made = bulk.read_many(
                relation, head[:1] + head[5:6], list(map(messages.__getitem__, places))
            )
            # None means that this head is read one at a time; otherwise the lengths must agree
            # (strict).
            decoded.update(zip(places, made or (), strict=made is not None))
        return decoded

    def _one_by_one(self, messages: list[bytes]) -> list[Any]:
        decoded: list[Any] = []
        # Local names: in a loop over all messages the look-up of an attribute costs as much as that
        # of the dictionary.
        append, fast, head = decoded.append, self._fast.get, slice(HEAD_BYTES)
        for message in messages:
            read = fast(message[head])
            if read is not None:
                append(read(message))
            else:
                append(self._other(message))
                # The last message may have begun or ended a stream block, which changes the table.
                fast = self._fast.get
        return decoded

    def _other(self, message: bytes) -> Any:
        """The event of any message other than a change of a known relation and kind."""
        frame = _FRAMES.get(message[:1])
        if frame is not None:
            return frame(message)
        if not message:
            raise DecodeError("the message is empty", 0)
        if self._fast is not self._known and message[0] in _IN_STREAM:
            return self._streamed(message)
        return self._plain(message)

    def _streamed(self, message: bytes) -> events.Streamed:
        if len(message) < 5:
            raise DecodeError("the message ends in its transaction's number", len(message))
        xid = int.from_bytes(message[1:5], "big")
        # Without its transaction's number the message is one of protocol version 1, so the same
        # compiled readers serve it; otherwise a second set would have to be kept equal.
        message = message[:1] + message[5:]
        try:
            read = self._known.get(message[:HEAD_BYTES])
            return events.Streamed(xid, read(message) if read is not None else self._plain(message))
        except DecodeError as error:
            # The offset in the server's message, which includes the number that was cut out.
            raise DecodeError(error.reason, error.offset + 4) from error

    def _plain(self, message: bytes) -> Any:
        if message[0] in _CHANGES:
            return self._learn(message)(message)
        reader = self._readers.get(message[0])
        if reader is None:
            raise DecodeError(f"{chr(message[0])!r} is no kind of message", 0)
        cursor = Cursor(message)
        decoded = reader(cursor)
        cursor.end()
        return decoded

    def _learn(self, message: bytes) -> Read:
        """Compile the reader for a relation's first message of a kind; raises DecodeError if that
        is impossible.
        """
        if len(message) < HEAD_BYTES:
            raise DecodeError("the message ends in its head", len(message))
        shape = message[:1] + message[5:6]
        if shape not in SHAPES:
            raise DecodeError(f"{chr(message[5])!r} is no kind of tuple for {chr(message[0])!r}", 5)
        relation = self._relations.get(int.from_bytes(message[1:5], "big"))
        if relation is None:
            raise DecodeError(
                f"relation {int.from_bytes(message[1:5], 'big')} was not described before", 1
            )
        count = int.from_bytes(message[6:8], "big")
        if count != len(relation.columns):
            name = f"{relation.schema}.{relation.table}"
            raise DecodeError(
                f"the tuple has {count} columns, but {name} has {len(relation.columns)}", 6
            )
        # Stored by the head, which includes the number of columns: a message that does not fit the
        # compiled reader cannot find it.
        read = self._known[message[:HEAD_BYTES]] = self._form.reader(relation, shape, message)
        return read

    def _relation(self, cursor: Cursor) -> Relation:
        oid, schema, table = cursor.integer(4), cursor.string(), cursor.string()
        identity = chr(cursor.integer(1))
        columns = tuple(_column(cursor) for _ in range(cursor.integer(2)))
        relation = Relation(oid, schema, table, identity, columns)
        cursor.end()
        # The server repeats descriptions after each invalidation. If the description is equal, the
        # known object stays, because templates and compiled readers compare by identity.
        if self._relations.get(oid) != relation:
            self.forget(oid)
            self._relations[oid] = relation
        return self._relations[oid]

    def _type(self, cursor: Cursor) -> events.Type:
        described = events.Type(cursor.integer(4), cursor.string(), cursor.string())
        cursor.end()
        self._form.learn(described)
        return described

    def forget(self, oid: int) -> None:
        """Have this relation's readers compiled again on next use."""
        number = oid.to_bytes(4, "big")
        for head in [head for head in self._known if head[1:5] == number]:
            del self._known[head]

    def _truncate(self, cursor: Cursor) -> events.Truncate:
        count, options = cursor.integer(4), cursor.integer(1)
        relations = []
        for _ in range(count):
            oid = cursor.integer(4)
            if oid not in self._relations:
                raise DecodeError(f"relation {oid} was not described before", cursor.position - 4)
            relations.append(self._relations[oid])
        return events.Truncate(tuple(relations), bool(options & 1), bool(options & 2))

    def _stream_start(self, cursor: Cursor) -> events.StreamStart:
        if self._fast is not self._known:
            raise DecodeError("a stream block starts inside of another", 0)
        started = events.StreamStart(cursor.integer(4), bool(cursor.integer(1)))
        cursor.end()
        # Inside a block each message has its transaction's number behind the kind, so no head is
        # where the fast look-up expects it: an empty table sends every message to `_streamed`.
        self._fast = {}
        return started

    def _stream_stop(self, cursor: Cursor) -> events.StreamStop:
        if self._fast is self._known:
            raise DecodeError("a stream block ends that did not start", 0)
        cursor.end()
        self._fast = self._known
        return events.StreamStop()


class Cursor:
    """Reads the fields of one message in order, from behind its kind; raises DecodeError with the
    offset.
    """

    def __init__(self, message: bytes) -> None:
        self._message = message
        self.position = 1

    def integer(self, size: int) -> int:
        """An unsigned number."""
        return int.from_bytes(self.take(size), "big")

    def time_us(self) -> int:
        """A time, as microseconds since 1970."""
        return int.from_bytes(self.take(8), "big", signed=True) + EPOCH_US

    def string(self) -> str:
        """Text up to a zero byte."""
        end = self._message.find(0, self.position)
        if end < 0:
            raise DecodeError("a string does not end", self.position)
        start, self.position = self.position, end + 1
        try:
            return str(self._message[start:end], "utf-8")
        except UnicodeDecodeError as error:
            raise DecodeError(f"a string is not UTF-8: {error}", start) from error

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        start, end = self.position, self.position + size
        if end > len(self._message):
            raise DecodeError(f"{size} bytes are needed, {self.left} are left", start)
        self.position = end
        return self._message[start:end]

    @property
    def left(self) -> int:
        """The number of remaining bytes."""
        return len(self._message) - self.position

    def end(self) -> None:
        """Raise DecodeError if any bytes remain."""
        if self.left:
            raise DecodeError(f"{self.left} bytes follow the message", self.position)


def _column(cursor: Cursor) -> RelationColumn:
    # One bit of the flags says that the column is part of the replica identity; other bits are
    # ignored.
    key = bool(cursor.integer(1) & 1)
    name = cursor.string()
    return RelationColumn(
        name, cursor.integer(4), int.from_bytes(cursor.take(4), "big", signed=True), key
    )


def _begin(message: bytes) -> events.Begin:
    if len(message) != 1 + _BEGIN.size:
        raise DecodeError(f"{1 + _BEGIN.size} bytes are needed", min(len(message), 1 + _BEGIN.size))
    lsn, time_us, xid = _BEGIN.unpack_from(message, 1)
    return events.Begin(lsn, time_us + EPOCH_US, xid)


def _commit(message: bytes) -> events.Commit:
    if len(message) != 1 + _COMMIT.size:
        raise DecodeError(
            f"{1 + _COMMIT.size} bytes are needed", min(len(message), 1 + _COMMIT.size)
        )
    lsn, end_lsn, time_us = _COMMIT.unpack_from(message, 1)
    return events.Commit(lsn, end_lsn, time_us + EPOCH_US)


def _origin(cursor: Cursor) -> events.Origin:
    return events.Origin(cursor.integer(8), cursor.string())


def _message(cursor: Cursor) -> events.Message:
    transactional, lsn, prefix = bool(cursor.integer(1) & 1), cursor.integer(8), cursor.string()
    return events.Message(transactional, lsn, prefix, cursor.take(cursor.integer(4)))


def _stream_commit(cursor: Cursor) -> events.StreamCommit:
    xid = cursor.integer(4)
    # The flags, which the protocol does not use yet, are skipped without a check, so that a later
    # server may set one.
    cursor.take(1)
    return events.StreamCommit(xid, cursor.integer(8), cursor.integer(8), cursor.time_us())


def _stream_abort(cursor: Cursor) -> events.StreamAbort:
    aborted = events.StreamAbort(cursor.integer(4), cursor.integer(4))
    if cursor.left == _PARALLEL_ABORT_BYTES:
        cursor.take(_PARALLEL_ABORT_BYTES)
    return aborted


def _begin_prepare(cursor: Cursor) -> events.BeginPrepare:
    lsn, end, time_us = cursor.integer(8), cursor.integer(8), cursor.time_us()
    return events.BeginPrepare(lsn, end, time_us, cursor.integer(4), cursor.string())


def _prepare(cursor: Cursor) -> events.Prepare:
    cursor.take(1)
    lsn, end, time_us = cursor.integer(8), cursor.integer(8), cursor.time_us()
    return events.Prepare(lsn, end, time_us, cursor.integer(4), cursor.string())


def _stream_prepare(cursor: Cursor) -> events.StreamPrepare:
    cursor.take(1)
    lsn, end, time_us = cursor.integer(8), cursor.integer(8), cursor.time_us()
    return events.StreamPrepare(lsn, end, time_us, cursor.integer(4), cursor.string())


def _commit_prepared(cursor: Cursor) -> events.CommitPrepared:
    cursor.take(1)
    lsn, end, time_us = cursor.integer(8), cursor.integer(8), cursor.time_us()
    return events.CommitPrepared(lsn, end, time_us, cursor.integer(4), cursor.string())


def _rollback_prepared(cursor: Cursor) -> events.RollbackPrepared:
    cursor.take(1)
    prepared, end = cursor.integer(8), cursor.integer(8)
    return events.RollbackPrepared(
        prepared, end, cursor.time_us(), cursor.time_us(), cursor.integer(4), cursor.string()
    )


_CONTROL: Mapping[str, Callable[[Cursor], Any]] = {
    "O": _origin,
    "M": _message,
    "c": _stream_commit,
    "A": _stream_abort,
    "b": _begin_prepare,
    "P": _prepare,
    "p": _stream_prepare,
    "K": _commit_prepared,
    "r": _rollback_prepared,
}
#: The messages around every transaction; with small transactions they are as frequent as changes.
_FRAMES: Mapping[bytes, Callable[[bytes], Any]] = {b"B": _begin, b"C": _commit}

"""Writes pgoutput messages, for tests: the counterpart of the decoder, field by field as the
documentation has them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from infra.replication.pgoutput.event import UNCHANGED, Unchanged

EPOCH_US = 946_684_800_000_000


@dataclass(frozen=True, slots=True)
class Binary:
    """A value to be sent in binary form."""

    data: bytes


Value = str | bytes | Binary | Unchanged | None


def text(value: str) -> bytes:
    return value.encode() + b"\0"


def tuple_data(values: Iterable[Value]) -> bytes:
    """A row; str and bytes are sent as text."""
    parts = [_value(value) for value in values]
    return struct.pack(">H", len(parts)) + b"".join(parts)


def _value(value: Value) -> bytes:
    if value is None:
        return b"n"
    if value is UNCHANGED:
        return b"u"
    assert not isinstance(value, Unchanged)
    data = (
        value.data
        if isinstance(value, Binary)
        else value.encode()
        if isinstance(value, str)
        else value
    )
    return (b"b" if isinstance(value, Binary) else b"t") + struct.pack(">I", len(data)) + data


def relation(
    oid: int,
    columns: Sequence[tuple[str, int, bool]],
    schema: str = "public",
    table: str = "t",
    identity: str = "d",
) -> bytes:
    """Columns are name, type OID, whether of the key."""
    head = b"R" + struct.pack(">I", oid) + text(schema) + text(table) + identity.encode()
    parts = [
        bytes([key]) + text(name) + struct.pack(">Ii", kind, -1) for name, kind, key in columns
    ]
    return head + struct.pack(">H", len(columns)) + b"".join(parts)


def insert(oid: int, row: Iterable[Value]) -> bytes:
    return b"I" + struct.pack(">I", oid) + b"N" + tuple_data(row)


def update(
    oid: int, row: Iterable[Value], old: Iterable[Value] | None = None, kind: str = "O"
) -> bytes:
    before = b"" if old is None else kind.encode() + tuple_data(old)
    return b"U" + struct.pack(">I", oid) + before + b"N" + tuple_data(row)


def delete(oid: int, old: Iterable[Value], kind: str = "O") -> bytes:
    return b"D" + struct.pack(">I", oid) + kind.encode() + tuple_data(old)


def begin(xid: int, lsn: int = 100, us: int = EPOCH_US) -> bytes:
    return b"B" + struct.pack(">QqI", lsn, us - EPOCH_US, xid)


def commit(lsn: int = 100, end: int = 108, us: int = EPOCH_US) -> bytes:
    return b"C" + struct.pack(">BQQq", 0, lsn, end, us - EPOCH_US)


def streamed(xid: int, message: bytes) -> bytes:
    """A change as it is inside of a stream block."""
    return message[:1] + struct.pack(">I", xid) + message[1:]


def stream_start(xid: int, *, first: bool) -> bytes:
    return b"S" + struct.pack(">IB", xid, first)


STREAM_STOP = b"E"


def stream_commit(xid: int, lsn: int = 200, end: int = 208, us: int = EPOCH_US) -> bytes:
    return b"c" + struct.pack(">IBQQq", xid, 0, lsn, end, us - EPOCH_US)


def stream_abort(xid: int, subxid: int) -> bytes:
    return b"A" + struct.pack(">II", xid, subxid)


def two_phase(kind: str, xid: int, gid: str, lsn: int = 300, end: int = 308) -> bytes:
    """b, P, p or K."""
    flags = b"" if kind == "b" else b"\0"
    return kind.encode() + flags + struct.pack(">QQqI", lsn, end, 0, xid) + text(gid)


def rollback_prepared(xid: int, gid: str) -> bytes:
    return b"r\0" + struct.pack(">QQqqI", 300, 308, 0, 0, xid) + text(gid)


def message(prefix: str, content: bytes, lsn: int = 50, *, transactional: bool) -> bytes:
    return (
        b"M"
        + struct.pack(">BQ", transactional, lsn)
        + text(prefix)
        + struct.pack(">I", len(content))
        + content
    )

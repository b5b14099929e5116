"""The events of a replication stream, one class for each kind of message.

PostgreSQL documentation, "Logical Replication Message Formats". LSNs are plain integers, and times
are microseconds since 1970 UTC. A row is a tuple in the relation's column order. The garbage
collector does not track these classes (`gc=False`): millions of them live for a moment, and none
can be part of a cycle.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec


class Unchanged:
    """The type of UNCHANGED: an object that no serialiser mistakes for a value."""

    def __repr__(self) -> str:
        return "UNCHANGED"

    def __reduce__(self) -> str:
        return "UNCHANGED"


#: The value of a column that the server did not send, because it is stored out of line and did not
#: change. It is not NULL.
UNCHANGED: Final = Unchanged()
Row: TypeAlias = tuple[Any, ...]


# Frozen, and compared by value: a table whose description is repeated unchanged keeps its compiled
# readers, because its relation is equal.
class RelationColumn(msgspec.Struct, frozen=True):
    """A column of a relation; `key` says whether it belongs to the replica identity."""

    name: str
    type_oid: int
    modifier: int
    key: bool


class Relation(msgspec.Struct, frozen=True):
    """A table's layout, which the following rows have.

    `identity` is its replica identity: d (default), n (nothing), f (full) or i (index).
    """

    oid: int
    schema: str
    table: str
    identity: str
    columns: tuple[RelationColumn, ...]

    @property
    def key_positions(self) -> tuple[int, ...]:
        """The indexes of the replica identity's columns; all of them for FULL."""
        return tuple(position for position, column in enumerate(self.columns) if column.key)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names in order."""
        return tuple(column.name for column in self.columns)


class Begin(msgspec.Struct, gc=False):
    """The start of a committed transaction; `commit_lsn` is the position of its commit record."""

    commit_lsn: int
    commit_us: int
    xid: int


class Commit(msgspec.Struct, gc=False):
    """The end of a committed transaction; `end_lsn` may be confirmed once the transaction is
    durable.
    """

    commit_lsn: int
    end_lsn: int
    commit_us: int


class Origin(msgspec.Struct, gc=False):
    """The transaction came from another server by replication."""

    lsn: int
    name: str


class Type(msgspec.Struct, gc=False):
    """A type that is not built in: an enum, a domain, a composite."""

    oid: int
    schema: str
    name: str


class Insert(msgspec.Struct, gc=False):
    """A new row."""

    relation: Relation
    after: Row


class Update(msgspec.Struct, gc=False):
    """A changed row.

    `before` is the whole old row, sent only with REPLICA IDENTITY FULL. `key` is the old key's
    values, in the order of `relation.key_positions`, sent only where the key changed. Never both.
    """

    relation: Relation
    after: Row
    before: Row | None = None
    key: Row | None = None


class Delete(msgspec.Struct, gc=False):
    """A deleted row: the whole row with REPLICA IDENTITY FULL, only the key's values otherwise;
    never both.
    """

    relation: Relation
    before: Row | None = None
    key: Row | None = None


class Truncate(msgspec.Struct, gc=False):
    """Tables emptied by one statement."""

    relations: tuple[Relation, ...]
    cascade: bool
    restart_identity: bool


class Message(msgspec.Struct, gc=False):
    """The content of pg_logical_emit_message; outside of any transaction if it is not
    transactional.
    """

    transactional: bool
    lsn: int
    prefix: str
    content: bytes


class StreamStart(msgspec.Struct, gc=False):
    """The start of a block of a transaction in progress; `first` marks the transaction's first
    block.
    """

    xid: int
    first: bool


class StreamStop(msgspec.Struct, gc=False):
    """The end of a block of a transaction in progress."""


class StreamCommit(msgspec.Struct, gc=False):
    """A streamed transaction was committed."""

    xid: int
    commit_lsn: int
    end_lsn: int
    commit_us: int


class StreamAbort(msgspec.Struct, gc=False):
    """A streamed transaction was rolled back; with another `subxid`, only that part of it."""

    xid: int
    subxid: int


# A wrapper around the event, not a field in each: outside of stream blocks, where nearly all
# changes are, it costs nothing.
class Streamed(msgspec.Struct, gc=False):
    """A change inside a stream block, with the (sub)transaction that made it and may yet be rolled
    back.
    """

    xid: int
    event: Any


class BeginPrepare(msgspec.Struct, gc=False):
    """The start of a transaction that is prepared (two-phase commit), not committed."""

    prepare_lsn: int
    end_lsn: int
    prepare_us: int
    xid: int
    gid: str


class Prepare(msgspec.Struct, gc=False):
    """The end of a prepared transaction. None of it may be visible to anybody yet."""

    prepare_lsn: int
    end_lsn: int
    prepare_us: int
    xid: int
    gid: str


class StreamPrepare(msgspec.Struct, gc=False):
    """The end of a streamed transaction that is prepared, not committed."""

    prepare_lsn: int
    end_lsn: int
    prepare_us: int
    xid: int
    gid: str


class CommitPrepared(msgspec.Struct, gc=False):
    """A prepared transaction was committed."""

    commit_lsn: int
    end_lsn: int
    commit_us: int
    xid: int
    gid: str


class RollbackPrepared(msgspec.Struct, gc=False):
    """A prepared transaction was rolled back."""

    prepare_end_lsn: int
    end_lsn: int
    prepare_us: int
    rollback_us: int
    xid: int
    gid: str


ChangeMessage: TypeAlias = Insert | Update | Delete

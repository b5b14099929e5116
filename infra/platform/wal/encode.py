"""Turns messages into records: the stream of a table, the key that keeps the order, and the
serialised change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from typing_extensions import override

from infra.platform.transports.transport import Record
from infra.platform.wal.replication.pump import Encoded, Encoder, TransactionChunk
from infra.platform.wal.serialise.change_json import ChangeJson
from infra.platform.wal.serialise.json_form import KeyColumns
from infra.replication.pgoutput.decoder import PgOutputDecoder
from infra.replication.pgoutput.event import Relation


class PrimaryKeys:
    """The columns of tables' primary keys, asked for by the tables' OIDs.

    With REPLICA IDENTITY FULL the stream does not say which columns identify a row, and the
    catalogue knows only the present. For a table that was dropped, or whose key has other columns
    now, the last answer that fits the rows stays valid.
    """

    def __init__(self, ask: Callable[[int], Sequence[str]]) -> None:
        self._ask = ask
        self._known: dict[int, Sequence[str]] = {}

    def __call__(self, relation: Relation) -> Sequence[str] | None:
        """The key's columns, as ChangeJson asks for them; None if they are not known."""
        found = self._ask(relation.oid)
        before = self._known.get(relation.oid, ())
        names = set(relation.names)
        if before and names.issuperset(before) and not (found and names.issuperset(found)):
            return before
        self._known[relation.oid] = found
        return found or None


class JsonEncoder(Encoder):
    """One JSON object for each change (wal/serialise/change_json.py), to the stream that `stream`
    names for its table.
    """

    def __init__(
        self,
        stream: Callable[[str, str], str],
        keys: KeyColumns,
        probe_column: str = "",
        *,
        any_bytes: bool = False,
    ) -> None:
        self._stream = stream
        self._streams: dict[int, tuple[Relation, str]] = {}
        self._json = ChangeJson(keys, probe_column, any_bytes=any_bytes)

    @override
    def encode(self, chunk: TransactionChunk) -> Encoded:
        name = self._name
        return [
            [
                Record(
                    name(change.relation), change.key, change.value, change.probe, change.deleted
                )
                for change in changes
            ]
            for changes in self._json.serialise_parts(
                [(part.source, part.messages) for part in chunk.parts]
            )
        ]

    def _name(self, relation: Relation) -> str:
        known = self._streams.get(relation.oid)
        if known is not None and known[0] is relation:
            return known[1]
        name = self._stream(relation.schema, relation.table)
        self._streams[relation.oid] = (relation, name)
        return name


class NoEncoder(Encoder):
    """Decodes messages and makes no records: for the null transport, to measure reading and
    decoding.
    """

    def __init__(self) -> None:
        self._decoder = PgOutputDecoder()

    @override
    def encode(self, chunk: TransactionChunk) -> Encoded:
        for part in chunk.parts:
            self._decoder.decode_many(part.messages)
        return ()

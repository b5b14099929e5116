"""Messages to records: the stream that a table goes to, the key that keeps its order, and the
serialised change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from infra.platform.transports.transport import Record
from infra.platform.wal.replication.pump import Encoded, TransactionChunk
from infra.platform.wal.serialise.change_json import ChangeJson, KeyColumns
from infra.replication.pgoutput.decoder import PgOutputDecoder
from infra.replication.pgoutput.event import Relation


class PrimaryKeys(KeyColumns):
    """The columns of tables' primary keys by schema and table, asked for when first needed.

    With REPLICA IDENTITY FULL the stream itself does not tell which columns identify a row.
    """

    def __init__(self, ask: Callable[[str, str], tuple[str, ...]]) -> None:
        self._ask = ask
        self._known: dict[tuple[str, str], tuple[str, ...]] = {}

    def __getitem__(self, table: tuple[str, str]) -> tuple[str, ...]:
        if table not in self._known:
            self._known[table] = self._ask(*table)
        if not self._known[table]:
            raise KeyError(table)  # no primary key: the replica identity has to do
        return self._known[table]

    def __bool__(self) -> bool:
        return True  # not yet asked is not empty

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class JsonEncoder:
    """One JSON object a change (transports/change_json.py), to the stream that `stream` names for
    its table.
    """

    def __init__(self, stream: Callable[[str, str], str], keys: KeyColumns) -> None:
        self._stream = stream
        self._streams: dict[int, tuple[Relation, str]] = {}
        self._json = ChangeJson(keys)

    def encode(self, chunk: TransactionChunk) -> Encoded:
        """See Encoder."""
        name = self._name
        return [
            [Record(name(change.relation), change.key, change.value) for change in changes]
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


class NoEncoder:
    """Decodes and makes no records: for the null transport, when reading and decoding are of
    interest.
    """

    def __init__(self) -> None:
        self._decoder = PgOutputDecoder()

    def encode(self, chunk: TransactionChunk) -> Encoded:
        """See Encoder."""
        for part in chunk.parts:
            self._decoder.decode_many(part.messages)
        return ()

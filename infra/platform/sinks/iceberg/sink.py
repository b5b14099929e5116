"""Appends the change log to an Iceberg table, or keeps it equal to the source's: one commit an
interval.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.table import Table

from infra.platform.process.address import concealed, shown
from infra.platform.process.error import (
    ConfigError,
    PlatformError,
    RetryableError,
    UnreachableError,
)
from infra.platform.sinks.batch import Batch, Partition
from infra.platform.sinks.connector import WriteStatus
from infra.platform.sinks.iceberg.arrow import POSITION, changes
from infra.platform.sinks.iceberg.schema import fitted, widened
from infra.platform.sinks.iceberg.upsert import apply_state, state_changes, state_schema

#: Keys of a snapshot's summary: whose commit it is, and each partition's next offset with it.
COMMIT_TAG, OFFSETS_TAG = "cdc.commit", "cdc.offsets"
#: The property of a table that the sink has created, and may therefore change.
MARKER = "locust-cdc.sink"
#: What readers of a catalog in SQL must call it as well.
CATALOG = "cdc"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Piece:
    """A batch on its way: where it came from, its offsets up to `end`, its rows, and their schema
    in the table.
    """

    place: Partition
    offsets: Any
    end: int
    rows: Any
    key: tuple[str, ...]
    schema: Any


@dataclass(slots=True)
class _Commit:
    """What goes into one snapshot, under a tag by which it is recognised."""

    pieces: list[Piece]
    tag: str = field(default_factory=lambda: uuid.uuid4().hex)


def local_properties(warehouse: str) -> dict[str, str]:
    """A catalog in SQLite beside its warehouse."""
    root = Path(warehouse).resolve()
    root.mkdir(parents=True, exist_ok=True)
    return {"type": "sql", "uri": f"sqlite:///{root}/catalog.db", "warehouse": root.as_uri()}


def read_properties(path: str) -> dict[str, str]:
    """A file of `name=value` lines; lines that start with # are comments. Raises ConfigError."""
    found = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            name, equals, value = line.partition("=")
            if not equals:
                raise ConfigError(f"{path}: line {number} has no '='; write name=value")
            found[name.strip()] = value.strip()
    return found


class IcebergSink:
    """An Iceberg table of any catalog.

    Batches are ACCEPTED, and DURABLE with the commit that `flush` makes.

    Each snapshot's summary has a tag of its own and all partitions' next offsets. A commit whose
    outcome is not known is looked for by its tag before anything is written again; a commit is
    made only onto the snapshot whose offsets were looked at. So no event is appended twice, not
    after a lost answer, not after a crash, not by two instances.
    """

    name = "iceberg"

    def __init__(self, properties: Mapping[str, str], table: str, upsert: bool = False) -> None:
        self._properties = dict(properties)
        self._identifier = tuple(table.split("."))
        self._upsert = upsert
        self._catalog: Catalog | None = None
        self._table: Table | None = None
        #: Columns that the table has, or will have with what was accepted.
        self._columns: Any = pa.schema([])
        self._pending: list[Piece] = []
        self._unsettled: _Commit | None = None
        self._next: dict[Partition, int] = {}

    async def open(self) -> None:
        """See SinkConnector."""
        # An upsert deletes the keys that it writes; that most of them were not there is as it
        # should be.
        warnings.filterwarnings("ignore", message="Delete operation did not match any records")
        try:
            self._catalog = await _in_thread(lambda: load_catalog(CATALOG, **self._properties))
            await _in_thread(self._load)
        except Exception as error:
            raise UnreachableError(
                f"{self._place} cannot be opened: {self._reason(error)}"
            ) from error

    @property
    def _place(self) -> str:
        uri = self._properties.get("uri")
        return (
            "the Iceberg catalog"
            f" ({self._properties.get('type', 'rest')}{f' at {shown(uri)}' if uri else ''})"
        )

    def _reason(self, error: Exception) -> str:
        """An error's text; some of PyIceberg's have the catalog's properties in them."""
        return concealed(f"{type(error).__name__}: {error}", self._properties)

    async def identify(self, topic_ids: Mapping[str, str]) -> None:
        """See SinkConnector."""

    async def positions(self, places: Sequence[Partition]) -> Mapping[Partition, int]:
        """See SinkConnector."""
        try:
            await _in_thread(self._load)
        except Exception as error:
            raise RetryableError(f"{self._place} cannot be read: {self._reason(error)}") from error
        known = offsets_of(self._table)
        for place in places:
            self._next.pop(place, None)
            if place in known:
                self._next[place] = known[place]
        self._pending = [piece for piece in self._pending if piece.place not in places]
        return {place: known[place] for place in places if place in known}

    async def write(self, batch: Batch) -> WriteStatus:
        """See SinkConnector."""
        done = int((batch.offsets < self._next.get(batch.place, 0)).sum())
        if done == len(batch):
            return WriteStatus.ACCEPTED
        rest = batch.split(done)[1] if done else batch
        self._pending.append(self._piece(rest))
        self._next[batch.place] = rest.end
        return WriteStatus.ACCEPTED

    def _piece(self, batch: Batch) -> Piece:
        key = tuple(column.name for column in batch.key_reader.columns) if batch.key_reader else ()
        rows = state_changes(batch) if self._upsert else changes(batch)
        if self._upsert and not key:
            raise ConfigError(
                f"topic {batch.topic!r} has events without a key, which upserts need; append"
                " instead"
            )
        rows = self._fitted(rows)
        return Piece(batch.place, batch.offsets, batch.end, rows, key, self._schema_of(rows))

    def _fitted(self, rows: Any) -> Any:
        """The rows as the table can hold them; what it cannot hold is refused here, where its
        event is known.
        """
        if self._table is not None and MARKER not in self._table.properties:
            return fitted(rows, self._columns)
        columns = widened(self._columns, self._schema_of(rows))
        made = fitted(rows, columns)
        self._columns = columns
        return made

    def _schema_of(self, rows: Any) -> Any:
        return state_schema(rows) if self._upsert else rows.schema

    async def flush(self) -> None:
        """See SinkConnector."""
        if self._unsettled is not None:
            await self._make_durable(self._unsettled)
        # Once, not until nothing is pending: under load there always is something.
        if self._pending:
            self._unsettled, self._pending = _Commit(self._pending), []
            await self._make_durable(self._unsettled)

    async def _make_durable(self, commit: _Commit) -> None:
        try:
            await _in_thread(lambda: self._settle(commit))
        except PlatformError:
            raise
        except Exception as error:
            name = ".".join(self._identifier)
            raise RetryableError(f"commit {commit.tag} to {name}: {self._reason(error)}") from error
        self._unsettled = None

    def _settle(self, commit: _Commit) -> None:
        """Commit once: first see whether an earlier attempt has come through after all.

        In a thread.
        """
        self._load()
        wanted = widened(*(piece.schema for piece in commit.pieces))
        if self._table is None or _changes(self._table, wanted):
            self._shape(wanted)
        table = self._table
        assert table is not None
        known = offsets_of(table)
        if is_tagged(table, commit.tag):
            return
        pieces = [
            kept
            for piece in commit.pieces
            if (kept := _rest(piece, known.get(piece.place, 0))) is not None
        ]
        if not pieces:
            return
        offsets = known | {piece.place: piece.end for piece in pieces}
        self._commit(table, pieces, {COMMIT_TAG: commit.tag, OFFSETS_TAG: _offsets_text(offsets)})

    def _commit(self, table: Table, pieces: Sequence[Piece], summary: dict[str, str]) -> None:
        if self._upsert:
            apply_state(table, pieces, summary)
            return
        target = table.schema().as_arrow()
        parts = pa.concat_tables(
            [pa.Table.from_batches([piece.rows]) for piece in pieces], promote_options="permissive"
        )
        # As one chunk: Parquet is written a third faster than from a thousand rows at a time.
        table.append(_whole(parts.combine_chunks(), target), snapshot_properties=summary)

    def _load(self) -> None:
        assert self._catalog is not None, "open() comes first"
        try:
            self._table = self._catalog.load_table(self._identifier)
        except (NoSuchTableError, NoSuchNamespaceError):
            self._table = None
            return
        # A conflict must come back to us: PyIceberg would append again without looking at the
        # offsets first.
        self._table.metadata.properties["commit.retry.num-retries"] = "0"
        self._columns = widened(self._table.schema().as_arrow(), self._columns)

    def _shape(self, wanted: Any) -> None:
        """Create the table, or give it the columns that have come; a table of somebody else's is
        left as it is.
        """
        assert self._catalog is not None
        if self._table is None:
            with contextlib.suppress(NamespaceAlreadyExistsError):
                self._catalog.create_namespace(self._identifier[:-1])
            try:
                self._catalog.create_table(
                    self._identifier, wanted, properties={MARKER: "yes"} | _metrics(wanted)
                )
            except TableAlreadyExistsError as error:
                raise CommitFailedException(
                    "another instance has created the table just now"
                ) from error
        elif MARKER in self._table.properties:
            with self._table.transaction() as change:
                change.set_properties(_metrics(wanted))
                with change.update_schema() as columns:
                    columns.union_by_name(widened(self._table.schema().as_arrow(), wanted))
        else:
            missing = ", ".join(_missing(self._table, wanted))
            raise ConfigError(
                f"table {'.'.join(self._identifier)} has no column {missing}; add it, or name"
                " another"
            )
        self._load()

    async def close(self) -> None:
        """See SinkConnector."""
        close: Callable[[], None] | None = getattr(self._catalog, "close", None)
        if close is not None:
            close()


def offsets_of(table: Table | None) -> dict[Partition, int]:
    """Each partition's next offset by the latest snapshot of the sink's."""
    snapshot = table.current_snapshot() if table is not None else None
    while table is not None and snapshot is not None:
        if snapshot.summary is not None and (
            text := snapshot.summary.additional_properties.get(OFFSETS_TAG)
        ):
            return {(topic, int(number)): int(offset) for topic, number, offset in json.loads(text)}
        snapshot = (
            table.snapshot_by_id(snapshot.parent_snapshot_id)
            if snapshot.parent_snapshot_id
            else None
        )
    return {}


def is_tagged(table: Table, tag: str) -> bool:
    """Whether a commit of this tag has come through."""
    return any(
        snapshot.summary is not None
        and snapshot.summary.additional_properties.get(COMMIT_TAG) == tag
        for snapshot in table.snapshots()
    )


def _offsets_text(offsets: Mapping[Partition, int]) -> str:
    return json.dumps(
        [[topic, number, offset] for (topic, number), offset in sorted(offsets.items())]
    )


def _rest(piece: Piece, known: int) -> Piece | None:
    """What of a piece has not taken effect yet."""
    if known >= piece.end:
        return None
    done = int((piece.offsets < known).sum())
    if not done:
        return piece
    return Piece(
        piece.place,
        piece.offsets[done:],
        piece.end,
        piece.rows.slice(done),
        piece.key,
        piece.schema,
    )


def _missing(table: Table, wanted: Any) -> list[str]:
    known = {column.name for column in table.schema().fields}
    return [name for name in wanted.names if name not in known]


def _changes(table: Table, wanted: Any) -> bool:
    """Whether the table must get columns, or wider ones; somebody else's is not made wider."""
    if MARKER not in table.properties:
        return bool(_missing(table, wanted))
    known = table.schema().as_arrow()
    return not widened(known, wanted).equals(widened(known))


def _metrics(schema: Any) -> dict[str, str]:
    """No bounds of dates and times in the manifests:

    PyIceberg cannot make any of infinity or of the year 12026.
    """
    temporal = [
        column.name
        for column in schema
        if pa.types.is_temporal(column.type) and column not in POSITION
    ]
    return {f"write.metadata.metrics.column.{name}": "counts" for name in temporal}


def _whole(rows: Any, target: Any) -> Any:
    """The rows with exactly the table's columns and types."""
    columns = [
        (
            rows.column(column.name).cast(column.type)
            if column.name in rows.column_names
            else pa.nulls(len(rows), column.type)
        )
        for column in target
    ]
    return pa.table(columns, schema=target)


async def _in_thread(action: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(None, action)

"""Appends the change log to an Iceberg table, or keeps the table equal to the source's: one commit
in each interval.
"""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
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
from typing_extensions import override

from infra.platform.process.address import concealed, shown
from infra.platform.process.error import (
    ConfigError,
    PlatformError,
    Remedy,
    UnreachableError,
)
from infra.platform.sinks.batch import Batch, Partition
from infra.platform.sinks.connector import SinkConnector, WriteStatus
from infra.platform.sinks.iceberg.arrow import changes
from infra.platform.sinks.iceberg.books import (
    KEY,
    SOURCE,
    TableBooks,
    books_of,
    check_still_there,
    is_tagged,
)
from infra.platform.sinks.iceberg.failure import remedy, translated
from infra.platform.sinks.iceberg.given import check_given, check_required
from infra.platform.sinks.iceberg.piece import Piece, PieceGroup, unwritten
from infra.platform.sinks.iceberg.schema import check_columns, fitted, widened
from infra.platform.sinks.iceberg.shape import (
    MARKER,
    appended_rows,
    missing_columns,
    needs_shaping,
    no_bounds,
)
from infra.platform.sinks.iceberg.upsert import (
    apply_state,
    check_key,
    check_key_change,
    defaults_of,
    give_defaults,
    standing_rows,
    state_changes,
    state_schema,
)
from infra.platform.sinks.incomplete import IncompleteRows
from infra.schemas.warehouse import local_catalog

#: The key column that names a row's table (Debezium's "Topic routing").
TABLE_IDENTIFIER = "__dbz__physicalTableIdentifier"
#: The catalog's name, which SQL readers must use as well.
CATALOG = "cdc"
T = TypeVar("T")


def local_properties(warehouse: str) -> dict[str, str]:
    """A catalog in SQLite beside its warehouse."""
    root = Path(warehouse).resolve()
    root.mkdir(parents=True, exist_ok=True)
    return local_catalog(root)


class IcebergSink(SinkConnector):
    """An Iceberg table of any catalog.

    Batches are ACCEPTED, and become DURABLE with the commit that `flush` makes.

    Each snapshot's summary has a tag of its own and all partitions' next offsets. After a commit of
    unknown outcome its tag is looked up before anything is written again, and a commit is made only
    onto the snapshot whose offsets were read. So no event is appended twice: not after a lost
    answer, not after a crash, and not by two instances.
    """

    name = "iceberg"

    def __init__(self, properties: Mapping[str, str], table: str, upsert: bool = False) -> None:
        self._properties = dict(properties)
        self._identifier = tuple(table.split("."))
        self._upsert = upsert
        self._catalog: Catalog | None = None
        self._table: Table | None = None
        #: Columns that the table has, or will have with the accepted rows.
        self._columns: Any = pa.schema([])
        self._pending: list[Piece] = []
        self._unsettled: PieceGroup | None = None
        #: For each partition, the offset up to which events were accepted, and the offset in the
        #: table.
        self._next: dict[Partition, int] = {}
        self._confirmed: dict[Partition, int] = {}
        self._topic_ids: dict[str, str] = {}
        self._source, self._key, self._defaults = "", tuple[str, ...](), dict[str, Any]()
        self._dropped = frozenset[str]()
        #: The last events' schema and user's table that were found to fit.
        self._checked: tuple[Any, Any, Any] | None = None
        self._incomplete = IncompleteRows()

    @property
    @override
    def incomplete_rows(self) -> int:
        return self._incomplete.count

    @override
    async def open(self) -> None:
        # An upsert deletes the keys that it writes; most of them did not exist, which is no
        # problem.
        warnings.filterwarnings("ignore", message="Delete operation did not match any records")
        try:
            self._catalog = await _in_thread(lambda: load_catalog(CATALOG, **self._properties))
            await _in_thread(self._load)
        except Exception as error:
            text = f"{self._place} cannot be opened: {self._reason(error)}"
            kind = UnreachableError if remedy(error) is Remedy.RETRY else ConfigError
            raise kind(text) from error

    @property
    def _table_name(self) -> str:
        return ".".join(self._identifier)

    @property
    def _place(self) -> str:
        uri = self._properties.get("uri")
        return (
            "the Iceberg catalog"
            f" ({self._properties.get('type', 'rest')}{f' at {shown(uri)}' if uri else ''})"
        )

    def _reason(self, error: Exception) -> str:
        """An error's text without properties; some of PyIceberg's texts contain the catalog's."""
        return concealed(f"{type(error).__name__}: {error}", self._properties)

    @override
    async def identify(self, topic_ids: Mapping[str, str]) -> None:
        books = await self._read_books()
        for topic, number in topic_ids.items():
            known = books.topic_ids.get(topic)
            if known and number and known != number:
                end = max(
                    (offset for place, offset in books.offsets.items() if place[0] == topic),
                    default=0,
                )
                raise ConfigError(
                    f"table {self._table_name} has topic {topic!r} up to offset {end} of the topic"
                    f" with the id {known}, and the topic was made again since (its id is"
                    f" {number}); name another table"
                )
        self._topic_ids |= topic_ids

    async def _read_books(self) -> TableBooks:
        try:
            await _in_thread(self._load)
        except Exception as error:
            raise translated(
                error, f"{self._place} cannot be read: {self._reason(error)}"
            ) from error
        return books_of(self._table)

    @override
    async def positions(self, places: Sequence[Partition]) -> Mapping[Partition, int]:
        books = await self._read_books()
        known, self._key = books.offsets, books.key or self._key
        self._dropped = books.dropped
        for place in places:
            self._next.pop(place, None)
            self._confirmed.pop(place, None)
            if place in known:
                self._next[place] = self._confirmed[place] = known[place]
        self._pending = [piece for piece in self._pending if piece.place not in places]
        return {place: known[place] for place in places if place in known}

    @override
    async def write(self, batch: Batch) -> WriteStatus:
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
        if self._upsert:
            check_key(batch, rows, key)
            self._one_source(batch, key)
            self._ordered_key(batch, key)
            self._defaults |= defaults_of(batch)
            if self._is_own:
                self._check_columns(batch, self._schema_of(rows))
        rows = self._fitted(rows)
        return Piece(batch.place, batch.offsets, batch.end, rows, key, self._schema_of(rows))

    def _ordered_key(self, batch: Batch, key: tuple[str, ...]) -> None:
        """A changed key is followed only if the topic still keeps the order. With several
        partitions, a row's events before and after the change are in two of them, in no order.
        """
        if self._key and key != self._key:
            places = {place for place in self._next if place[0] == batch.topic} | {batch.place}
            if len(places) > 1:
                raise ConfigError(
                    f"the key of topic {batch.topic!r} has changed from ({', '.join(self._key)}) to"
                    f" ({', '.join(key)}), which moves its rows to other partitions, so the order"
                    f" of their changes is lost; fill another table than {self._table_name}, or, if"
                    " all events of the old key had been written, remove the table's property"
                    f" {KEY!r}"
                )
        self._key = key

    def _check_columns(self, batch: Batch, coming: Any) -> None:
        """Check that the source's columns are still those of the sink's own table."""
        ordered = all(place[0] != batch.topic or place == batch.place for place in self._next)
        self._dropped = check_columns(
            self._table_name, self._columns, coming, self._dropped, ordered=ordered
        )

    def _one_source(self, batch: Batch, key: Sequence[str]) -> None:
        """Rows of two tables may have equal keys, unless the key has a column that names the table,
        such as Debezium's topic routing adds.
        """
        if TABLE_IDENTIFIER in key:
            return
        for schema, name in sorted(batch.rows.source_tables()):
            self._source = self._source or f"{schema}.{name}"
            if self._source != f"{schema}.{name}":
                raise ConfigError(
                    f"table {self._table_name} keeps the rows of {self._source}, and events of"
                    f" {schema}.{name} came by topic {batch.topic!r}: rows of both may have the"
                    " same key; give each a table of its own, or append"
                )

    @property
    def _is_own(self) -> bool:
        """Whether the sink has created the table, or will create it."""
        return self._table is None or MARKER in self._table.properties

    def _fitted(self, rows: Any) -> Any:
        """The rows in the table's types; a value that does not fit is refused with its event."""
        if self._table is not None and not self._is_own:
            return self._fitted_to_given(self._table, rows)
        columns = widened(self._columns, self._schema_of(rows))
        made = fitted(rows, columns)
        self._columns = columns
        return made

    def _fitted_to_given(self, table: Table, rows: Any) -> Any:
        form = (self._schema_of(rows), table.schema(), table.spec())
        if form != self._checked:
            check_given(table, self._table_name, form[0])
            self._checked = form
        made = fitted(rows, self._columns)
        check_required(table, standing_rows(made) if self._upsert else made)
        return made

    def _schema_of(self, rows: Any) -> Any:
        return state_schema(rows) if self._upsert else rows.schema

    @override
    async def flush(self) -> None:
        if self._unsettled is not None:
            await self._make_durable(self._unsettled)
        # Once, not until nothing is pending: under load something always is.
        if self._pending:
            self._unsettled, self._pending = PieceGroup(self._pending), []
            await self._make_durable(self._unsettled)

    async def _make_durable(self, group: PieceGroup) -> None:
        try:
            await _in_thread(lambda: self._settle(group))
        except PlatformError:
            raise
        except Exception as error:
            raise translated(
                error, f"commit {group.tag} to {self._table_name}: {self._reason(error)}"
            ) from error
        self._unsettled = None

    def _settle(self, group: PieceGroup) -> None:
        """Commit once, after checking whether an earlier attempt has succeeded after all.

        Runs in a thread.
        """
        for tag, pieces in group.commits():
            self._load()
            wanted = widened(*(piece.schema for piece in pieces))
            if self._table is None or needs_shaping(self._table, wanted):
                check_still_there(self._table_name, books_of(self._table), self._confirmed)
                self._shape(wanted)
            assert self._table is not None
            self._settle_one(self._table, tag, pieces)

    def _settle_one(self, table: Table, tag: str, pieces: Sequence[Piece]) -> None:
        known = books_of(table)
        check_still_there(self._table_name, known, self._confirmed)
        rest = [] if is_tagged(table, tag) else unwritten(pieces, known.offsets)
        if rest:
            if self._upsert:
                check_key_change(table, self._table_name, known.key, rest[-1].key)
            ends = {piece.place: piece.end for piece in rest}
            topic_ids = {**known.topic_ids, **self._topic_ids}
            source = self._source or known.source
            offsets, key = {**known.offsets, **ends}, rest[-1].key
            books = TableBooks(offsets, topic_ids, source, key, self._dropped)
            self._commit(table, rest, books, tag)
        for piece in pieces:
            self._confirmed[piece.place] = piece.end

    def _commit(self, table: Table, pieces: Sequence[Piece], books: TableBooks, tag: str) -> None:
        """Rows and books in one transaction, so that neither exists without the other."""
        summary, incomplete = books.summary(tag), Counter[Partition]()
        with table.transaction() as change:
            if self._upsert:
                defaults = self._defaults if self._is_own else {}
                incomplete = apply_state(change, table, pieces, summary, defaults)
            else:
                change.append(appended_rows(table, pieces), snapshot_properties=summary)
            books.keep(change, tag)
        self._incomplete.note(incomplete)

    def _load(self) -> None:
        assert self._catalog is not None, "open() comes first"
        try:
            self._table = self._catalog.load_table(self._identifier)
        except (NoSuchTableError, NoSuchNamespaceError):
            self._table = None
            return
        # A conflict must come back to us: PyIceberg would append again without reading the offsets
        # first.
        self._table.metadata.properties["commit.retry.num-retries"] = "0"
        self._columns = widened(self._table.schema().as_arrow(), self._columns)
        self._source = self._table.properties.get(SOURCE, "") or self._source

    def _shape(self, wanted: Any) -> None:
        """Create the table, or add the new columns to it; a table of the user's own is left
        unchanged.
        """
        assert self._catalog is not None
        if self._table is None:
            with contextlib.suppress(NamespaceAlreadyExistsError):
                self._catalog.create_namespace(self._identifier[:-1])
            try:
                self._catalog.create_table(
                    self._identifier, wanted, properties={MARKER: "yes"} | no_bounds(wanted)
                )
            except TableAlreadyExistsError as error:
                raise CommitFailedException(
                    "another instance has created the table just now"
                ) from error
        elif MARKER in self._table.properties:
            with self._table.transaction() as change:
                change.set_properties(no_bounds(wanted))
                with change.update_schema() as columns:
                    columns.union_by_name(widened(self._table.schema().as_arrow(), wanted))
                if self._upsert:
                    give_defaults(change, self._table, wanted, self._defaults)
        else:
            missing = ", ".join(missing_columns(self._table, wanted))
            raise ConfigError(
                f"table {self._table_name} has no column {missing}; add it, or name another"
            )
        self._load()

    @override
    async def close(self) -> None:
        close: Callable[[], None] | None = getattr(self._catalog, "close", None)
        if close is not None:
            close()


async def _in_thread(action: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(None, action)

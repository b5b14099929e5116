"""An Iceberg table as a tap, snapshot by snapshot, and as a side of the final state.

An event is visible when its snapshot is committed, so the snapshot's time (to the millisecond) ends
the latency. Only appending snapshots are read for events: an overwrite writes old rows again beside
the new ones.

There are two modes. A table of changes (`append`) has a row for every event, and is audited like a
topic. A table that is kept equal to the source's (`upsert`) has only the last version of each key
before a commit. Its ledger is therefore complete only if keys are written once; otherwise the final
state decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
from typing_extensions import override

from cdc_users.measure.clock import Anchor
from cdc_users.observe.declaration import TapDeclaration
from cdc_users.observe.final_state import ArraySide, TableSide, TableState, Totals, state_of_probes
from cdc_users.observe.message import TapPlace
from cdc_users.observe.settings import IcebergSettings, IcebergSideSettings, WarehouseSettings
from cdc_users.observe.tap import Events, ObservedRecord, Tap, TapError, end_thread
from cdc_users.observe.taps.iceberg_columns import TableColumns
from cdc_users.observe.taps.tables import of_tables
from infra.plugin import lacking
from infra.schemas import warehouse

POLL_S = 0.5
CATALOG = "cdc"
#: The file in which a SQL catalog keeps its tables.
CATALOG_TABLE = "iceberg_tables"
#: The tap must not create a catalog's own tables: if two processes open a new catalog at once, one
#: of them would fail.
READS_ONLY = {"init_catalog_tables": "false"}


class Warehouse:
    """Finds a table; its catalog is opened once it exists, and only once. For one thread."""

    def __init__(self, settings: WarehouseSettings) -> None:
        self._settings = settings
        self._catalog: Any = None
        self._made = False

    def table(self) -> Any:
        """The present table, None if there is none yet; raises TapError if the catalog cannot be
        used.
        """
        try:
            from pyiceberg.catalog import load_catalog
            from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
        except ImportError as error:
            raise TapError(f"an Iceberg tap {lacking('pyiceberg', 'iceberg') or error}") from error
        if self._catalog is None:
            if self._settings.properties is None and not catalog_file(self._settings).exists():
                return None  # opening it would create one
            try:
                self._catalog = load_catalog(
                    self._settings.catalog, **READS_ONLY, **properties(self._settings)
                )
            except Exception as error:  # noqa: BLE001 - whatever a catalog raises
                # Without the error's text: PyIceberg's texts may contain all properties, secrets
                # too.
                raise TapError(
                    f"the Iceberg catalog cannot be opened: {type(error).__name__}"
                ) from None
        if not self._made and not self._has_tables():
            return None  # its writer is just opening the catalog
        self._made = True
        try:
            return self._catalog.load_table(self._settings.table)
        except (NoSuchTableError, NoSuchNamespaceError):
            return None

    def _has_tables(self) -> bool:
        """Whether a catalog of ours has its own tables in its file, which its writer creates."""
        if self._settings.properties is not None:
            return True
        from sqlalchemy import inspect

        return bool(inspect(self._catalog.engine).has_table(CATALOG_TABLE))

    def close(self) -> None:
        """Close the catalog."""
        close = getattr(self._catalog, "close", None)
        if close is not None:
            close()
        self._catalog = None


def catalog_file(settings: WarehouseSettings) -> Path:
    """The SQLite catalog of a local warehouse."""
    return warehouse.catalog_file(Path(settings.warehouse))


def properties(settings: WarehouseSettings) -> dict[str, str]:
    """PyIceberg's properties of the catalog: the given ones, or a SQLite catalog in a local
    warehouse.
    """
    if settings.properties is not None:
        return {name: str(value) for name, value in settings.properties.items()}
    return warehouse.local_catalog(Path(settings.warehouse))


class IcebergTap(Tap):
    """The tap on a table: reads the rows of every appended snapshot of its main branch once."""

    kind = "iceberg"

    def __init__(
        self,
        settings: IcebergSettings,
        run: str,
        anchor: Anchor,
        record: ObservedRecord | None = None,
    ) -> None:
        self.record = record or ObservedRecord(run)
        self._settings = settings
        self._warehouse = Warehouse(settings)
        self._columns = TableColumns(settings)
        self._upsert = settings.mode == "upsert"
        self._anchor = anchor
        self._done: set[int] = set()
        self._snapshots = 0
        #: The longest time between a snapshot and the look that found it.
        self._found_after_us = 0
        self._stop = Event()
        self._poll_s = settings.poll_s
        self._thread = Thread(target=self._run, name="iceberg tap", daemon=True)

    @override
    def start(self) -> TapPlace:
        """The table may be created later."""
        table = self._warehouse.table()
        if table is not None and self._settings.from_end:
            self._done = {snapshot.snapshot_id for snapshot in table.metadata.snapshots}
        self._thread.start()
        return TapPlace(state=self._upsert)

    def _run(self) -> None:
        while not self._stop.wait(self._poll_s):
            try:
                self.look()
            except TapError as error:
                self.record.fail(f"the Iceberg table cannot be read: {error}", 0)
            except Exception as error:  # noqa: BLE001 - any failure is reported, and tried again
                # Without the error's text, as above.
                self.record.fail(f"the Iceberg table cannot be read: {type(error).__name__}", 0)
        self._warehouse.close()

    def look(self) -> None:
        """Take in the new snapshots; the next look tries again with one that cannot be read."""
        table = self._warehouse.table()
        if table is None:
            return
        now_us = self._anchor.now_us()
        for snapshot in _on_main(table):
            if snapshot.snapshot_id in self._done:
                continue
            if snapshot.summary is None or snapshot.summary.operation.value == "append":
                self._take(table, snapshot)
            self._done.add(snapshot.snapshot_id)
            self._snapshots += 1
            after_us = now_us - int(snapshot.timestamp_ms) * 1000
            self._found_after_us = max(self._found_after_us, after_us)
        if self._snapshots and self._settings.properties is not None:
            self.record.say(
                "the end of each latency is its snapshot's commit, by its writer's clock and to"
                f" the millisecond; looks found each within {self._found_after_us / 1e6:.1f} s of"
                " it"
            )

    def _take(self, table: Any, snapshot: Any) -> None:
        # All files are read before events are counted, so a look that fails has counted none.
        found = [
            self._events(part, partition, int(snapshot.timestamp_ms) * 1000)
            for data in list(_added(table, snapshot))
            for partition, part in self._parts(data)
        ]
        for events in found:
            self.record.take(events, once=self._upsert)

    def _parts(self, data: Any) -> Iterator[tuple[int, Any]]:
        partitions = self._columns.numbers(data, self._columns.partition)
        for partition in np.unique(partitions).tolist():
            yield partition, data.take(np.flatnonzero(partitions == partition))

    def _events(self, data: Any, partition: int, seen_us: int) -> Events:
        return Events(
            partition=partition,
            positions=self._columns.numbers(data, self._columns.position),
            keys=self._columns.keys(data),
            probes=self._columns.probes(data),
            deleted=self._columns.deleted(data),
            sizes=np.full(len(data), data.nbytes // max(1, len(data)), dtype=np.int64),
            committed_us=self._columns.committed_us(data),
            seen_us=seen_us,
        )

    @override
    def stop(self) -> None:
        end_thread(self._stop, self._thread)

    @override
    def gauges(self) -> dict[str, object]:
        return {"snapshots": self._snapshots, "found_after_us": self._found_after_us}


def _on_main(table: Any) -> list[Any]:
    """The snapshots from which the table's present state has come, the oldest first. Snapshots of
    other branches, and staged ones that were never published, are invisible to readers.
    """
    by_id = {snapshot.snapshot_id: snapshot for snapshot in table.metadata.snapshots}
    number, found = table.metadata.current_snapshot_id, []
    while number in by_id:
        found.append(by_id[number])
        number = by_id[number].parent_snapshot_id
    return found[::-1]


def _added(table: Any, snapshot: Any) -> Iterator[Any]:
    """The contents of the data files that a snapshot added; raises TapError for files other than
    Parquet.
    """
    import pyarrow.parquet as parquet

    for manifest in snapshot.manifests(table.io):
        if manifest.added_snapshot_id != snapshot.snapshot_id:
            continue
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
            if (
                entry.snapshot_id in (None, snapshot.snapshot_id)
                and entry.data_file.content.name == "DATA"
            ):
                if entry.data_file.file_format.value != "PARQUET":
                    raise TapError(
                        "its data files are not Parquet, the only format that is read here"
                    )
                with table.io.new_input(entry.data_file.file_path).open() as file:
                    yield parquet.read_table(file)


class IcebergSide(TableSide):
    """A table's rows by key, read once and kept as numbers.

    In a table of changes the newest row of a key represents it.
    """

    marked = True

    def __init__(self, settings: IcebergSideSettings, run: str) -> None:
        self._name = settings.name or "iceberg"
        self.foreign = 0
        self._settings = settings
        self._columns = TableColumns(settings)
        self._run = run
        self._side: ArraySide | None = None

    def _read(self) -> ArraySide:
        if self._side is None:
            with closing(Warehouse(self._settings)) as warehouse:
                table = warehouse.table()
                if table is None:
                    raise TapError(f"there is no Iceberg table {self._settings.table!r}")
                self._side = ArraySide(self.name, self._state(table))
        return self._side

    def _state(self, table: Any) -> TableState:
        keys, probes, deleted, damaged = [], [], [], []
        for part in table.scan().to_arrow_batch_reader():
            data = _as_table(part)
            numbers = self._columns.keys(data)
            keys.append(numbers)
            probes += self._columns.probes(data)
            deleted.append(self._columns.deleted(data))
            damaged.append(self._columns.damaged(data, numbers))
        if not keys:
            return TableState.of(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
        gone, hurt, numbers = np.concatenate(deleted), np.concatenate(damaged), np.concatenate(keys)
        if self._settings.mode == "upsert":
            state, self.foreign = state_of_probes(numbers, probes, self._run, hurt)
            return state
        state, self.foreign = state_of_probes(numbers, probes, self._run, hurt & ~gone)
        newest = np.append(state.key[1:] != state.key[:-1], True)[: len(state)]
        state = TableState(
            state.key[newest], state.version[newest], state.mark[newest], state.damaged[newest]
        )
        return state.without(numbers[gone])

    @override
    @property
    def name(self) -> str:
        return self._name

    @override
    def totals(self, buckets: int) -> Totals:
        return self._read().totals(buckets)

    @override
    def suspects(self, buckets: int) -> Iterable[int]:
        return self._read().suspects(buckets)

    @override
    def state(self, numbers: Sequence[int], buckets: int) -> TableState:
        return self._read().state(numbers, buckets)


def _as_table(batch: Any) -> Any:
    import pyarrow

    return pyarrow.Table.from_batches([batch])


ICEBERG_TAP = TapDeclaration(
    "iceberg",
    make=of_tables(IcebergTap),
    settings=IcebergSettings,
    needs=("table",),
    either=("warehouse", "properties"),
)

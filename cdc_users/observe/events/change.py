"""Turns change events in JSON, from the direct WAL reader or from webhooks, into events by columns.

A change is an object with `op` (c, u, d, r; or insert, update, delete), `before` and `after` (rows
by column name, or null), and perhaps `key` and `source`. A column that is missing in a row was not
sent (unchanged TOAST).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdc_users.measure.ledger.bitmap import Numbers
from cdc_users.measure.ledger.ledger import RowCheck
from cdc_users.observe.events.dialect import (
    DELETES,
    SCALES,
    ChangeError,
    ObservedChange,
    ProbePlace,
)
from cdc_users.observe.events.table import ObservedTable, observed_tables, table_of
from cdc_users.observe.events.value import pointed
from cdc_users.observe.settings import TapSettings
from cdc_users.observe.tap import Events
from infra.avro.kind import UNAVAILABLE


@dataclass(frozen=True, slots=True)
class ReadChanges:
    """Changes of one partition in their order, each with its bytes and its position there.

    `seen_us` is when the tap received them; `appended_us` is when the service took each, if known.
    Both are wall microseconds.
    """

    changes: Sequence[ObservedChange]
    sizes: Sequence[int]
    partition: int
    positions: Numbers
    seen_us: int
    appended_us: Numbers | None = None


@dataclass(slots=True)
class ChangeParser:
    """Makes events of changes of some tables.

    Every `check_every`-th row is compared with its checksum; 0 compares none.
    """

    tables: tuple[ObservedTable, ...] = (ObservedTable(),)
    check_every: int = 0
    probe_path: tuple[str, ...] = ()
    #: The place of the probe in a message.
    place: ProbePlace = field(init=False)
    _until_check: int = 0

    def __post_init__(self) -> None:
        self.place = ProbePlace(frozenset(table.probe for table in self.tables), self.probe_path)

    @classmethod
    def of(cls, settings: TapSettings) -> ChangeParser:
        """The parser for a tap's configuration."""
        path = tuple(settings.probe_path.split(".")) if settings.probe_path else ()
        return cls(observed_tables(settings), settings.check_every, path)

    def parse(self, read: ReadChanges) -> Events:
        """The events of these changes, in their order; raises ChangeError."""
        changes = read.changes
        rows = [self._row(change) for change in changes]
        tables = [
            table_of(self.tables, row, change.get("source"))
            for change, (_, row) in zip(changes, rows, strict=True)
        ]
        keys = [
            table.number_of(row, change.get("key"))
            for table, change, (_, row) in zip(tables, changes, rows, strict=True)
        ]
        try:
            return Events(
                partition=read.partition,
                positions=read.positions,
                keys=np.array(keys, dtype=np.int64),
                probes=[
                    _text(row.get(table.probe))
                    for table, (_, row) in zip(tables, rows, strict=True)
                ],
                deleted=np.array([deleted for deleted, _ in rows], dtype=np.bool_),
                sizes=np.array(read.sizes, dtype=np.int64),
                committed_us=np.array(
                    [_committed_us(change) for change in changes], dtype=np.int64
                ),
                seen_us=read.seen_us,
                appended_us=read.appended_us,
                checks=self._checks(changes, tables, keys) if self.check_every else None,
                others=np.array(
                    [
                        _by_others(change, table.probe)
                        for change, table in zip(changes, tables, strict=True)
                    ],
                    dtype=np.bool_,
                ),
            )
        except OverflowError as error:
            raise ChangeError(f"a number is too large for 64 bits ({error})") from error

    def _row(self, change: ObservedChange) -> tuple[bool, ObservedChange]:
        """Whether it is a delete, and the row that carries the probe."""
        if not isinstance(change, dict) or not isinstance(change.get("op"), str):
            raise ChangeError(
                f"{str(change)[:100]!r} is no change event: an object with op, before and after is"
                " needed"
            )
        deleted = change["op"] in DELETES
        row = change.get("before" if deleted else "after") or {}
        if not isinstance(row, dict):
            raise ChangeError(f"{str(row)[:100]!r} is no row: an object of columns is needed")
        return deleted, row

    def _checks(
        self,
        changes: Sequence[ObservedChange],
        tables: Sequence[ObservedTable],
        keys: Sequence[int],
    ) -> NDArray[np.uint8]:
        checks = np.full(len(changes), RowCheck.SKIPPED, dtype=np.uint8)
        sample = range(self._until_check, len(changes), self.check_every)
        self._until_check = (self._until_check - len(changes)) % self.check_every
        for place in sample:
            table, row = tables[place], self._row(changes[place])[1]
            if (probe := row.get(table.probe)) is not None:
                given = changes[place].get(SCALES)
                scales = given if isinstance(given, dict) else {}  # a message may have this key
                values = [
                    pointed(row.get(name, UNAVAILABLE), scales.get(name)) for name in table.kinds
                ]
                checks[place] = table.check(_text(probe), keys[place], values)
        return checks


def _by_others(change: ObservedChange, probe_column: str) -> bool:
    """Whether an update has left the probe unchanged, which no writer of the run does."""
    before, after = change.get("before"), change.get("after")
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return False
    probe = before.get(probe_column)
    return probe is not None and probe == after.get(probe_column)


def _text(probe: Any) -> bytes:
    return probe.encode() if isinstance(probe, str) else b""


def _committed_us(change: ObservedChange) -> int:
    """The commit at the source in wall us; 0 where it is not known.

    MariaDB's log has whole seconds (MariaDB documentation, "Binlog Event Header").
    """
    source = change.get("source")
    if isinstance(source, dict) and source.get("connector") == "mariadb":
        return 0
    for place in (source, change):
        if isinstance(place, dict):
            for name, factor in (
                ("commit_ts_us", 1),
                ("ts_us", 1),
                ("committed_us", 1),
                ("ts_ms", 1000),
            ):
                if isinstance(value := place.get(name), int):
                    return value * factor
    return 0

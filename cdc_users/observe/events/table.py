"""The tables whose rows a tap sees: the columns of the key, the probe's column, and the columns
that the checksum covers. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cdc_users.measure.ledger.key import key_number, key_of_columns
from cdc_users.measure.ledger.ledger import RowCheck
from cdc_users.observe.events.value import CUSTOMERS, check, column_kinds
from cdc_users.observe.settings import OwnTableSettings, TableSettings
from infra.avro.kind import ColumnKind


@dataclass(frozen=True, slots=True)
class ObservedTable:
    """One table. `kinds` are the columns that the checksum covers, in order.

    In one of the user's `own` tables the key is among `kinds`; in `customers` the key comes first,
    as a number.
    """

    name: str = ""
    key: tuple[str, ...] = ("id",)
    probe: str = "probe"
    kinds: Mapping[str, ColumnKind] = field(default_factory=lambda: CUSTOMERS)
    own: bool = False

    def number_of(self, row: Mapping[str, object], record_key: Any = None) -> int:
        """The number of a row's key; `record_key` is the key beside the row, for rows
        without one.
        """
        found = [row.get(name) for name in self.key]
        if None not in found:
            return key_of_columns(found)
        if isinstance(record_key, Mapping):
            found = [record_key.get(name) for name in self.key]
            if None not in found:
                return key_of_columns(found)
            record_key = next(iter(record_key.values()), None)
        return key_number(record_key)

    def check(self, probe: bytes | str, number: int, values: Sequence[Any]) -> RowCheck:
        """Whether a row is as its writer wrote it; `values` are those of `kinds`."""
        return check(probe, 0 if self.own else number, list(self.kinds.values()), values)


def observed_tables(settings: TableSettings) -> tuple[ObservedTable, ...]:
    """The tables of a tap's or a side's configuration."""
    if settings.own:
        return tuple(map(_own, settings.own))
    kinds = column_kinds(settings.columns)
    return (ObservedTable("", (settings.key_column,), settings.probe_column, kinds),)


def _own(table: OwnTableSettings) -> ObservedTable:
    kinds = {name: ColumnKind(kind) for name, kind in table.columns}
    return ObservedTable(table.table, table.key, table.probe, kinds, own=True)


def table_of(
    tables: Sequence[ObservedTable], row: Mapping[str, object], source: Any = None
) -> ObservedTable:
    """The row's table: by the event's source or, if that is unknown, by its columns."""
    if len(tables) == 1:
        return tables[0]
    if isinstance(source, Mapping) and isinstance(name := source.get("table"), str):
        full = f"{source.get('schema')}.{name}"
        # By its whole name first: two schemas may have a table of one name.
        exact = [table for table in tables if table.name == full]
        found = exact or [table for table in tables if table.name.rpartition(".")[2] == name]
        if found:
            return found[0]
    return max(tables, key=lambda table: sum(name in row for name in (*table.kinds, table.probe)))

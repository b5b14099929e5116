"""The columns of an Iceberg table that hold key, probe and operation. It knows tables of this
project's sink, and of Kafka Connect's sink with a transform of Debezium's or Iceberg's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cdc_users.measure.ledger.key import key_number
from cdc_users.measure.ledger.ledger import RowCheck
from cdc_users.observe.events.table import observed_tables
from cdc_users.observe.settings import WarehouseSettings
from infra.avro.kind import UNAVAILABLE

#: ExtractNewRecordState's columns: whether the row was deleted, as text, and when, at the source.
_DELETED, _OPERATION, _SOURCE_MS = "__deleted", "__op", "__source_ts_ms"
#: The struct of Iceberg's DebeziumTransform, whose `op` is I, U or D.
_CDC = "_cdc"
_DELETES = frozenset({"d", "D"})


class TableColumns:
    """The columns of one table, of `customers` or of the user's own."""

    def __init__(self, settings: WarehouseSettings) -> None:
        self._table = observed_tables(settings)[0]
        self._operation = settings.operation_column
        self.partition = settings.partition_column
        self.position = settings.position_column
        self._committed = settings.committed_column
        self._not_sent = settings.not_sent_column

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns without which no audit is possible."""
        return (*self._table.key, self._table.probe)

    def deleted(self, data: Any) -> Any:
        """Which rows say that their key was deleted; none in a table without such a column."""
        for name in (self._operation, _DELETED, _OPERATION, _CDC):
            if name in data.column_names:
                values = data[name].to_pylist()
                return np.array([_is_delete(name, value) for value in values], dtype=np.bool_)
        return np.zeros(len(data), dtype=np.bool_)

    def numbers(self, data: Any, name: str) -> Any:
        """A column of whole numbers; zeros if the table has no such column."""
        if name not in data.column_names:
            return np.zeros(len(data), dtype=np.int64)
        return data[name].fill_null(0).to_numpy().astype(np.int64)

    def committed_us(self, data: Any) -> Any:
        """When each event was committed at the source; 0 if the table does not say."""
        if self._committed in data.column_names:
            return data[self._committed].cast("int64").fill_null(0).to_numpy()
        return self.numbers(data, _SOURCE_MS) * 1000

    def keys(self, data: Any) -> Any:
        """Each row's key as a number."""
        if not self._table.own:
            values = data[self._table.key[0]].to_pylist()
            return np.array([key_number(value) for value in values], dtype=np.int64)
        rows = data.select(list(self._table.key)).to_pylist()
        return np.array([self._table.number_of(row) for row in rows], dtype=np.int64)

    def probes(self, data: Any) -> list[bytes]:
        """Each row's probe."""
        return [(text or "").encode() for text in data[self._table.probe].to_pylist()]

    def damaged(self, data: Any, keys: Any) -> Any:
        """Which rows do not fit their own probe."""
        nothing = [None] * len(data)

        def column(name: str, without: list[Any]) -> list[Any]:
            return data[name].to_pylist() if name in data.column_names else without

        not_there = [UNAVAILABLE] * len(data)
        columns = [column(name, not_there) for name in self._table.kinds]
        rows = zip(
            column(self._table.probe, nothing),
            keys.tolist(),
            column(self._not_sent, nothing),
            *columns,
            strict=True,
        )
        return np.array(
            [
                probe is not None
                and not lacks
                and self._table.check(probe, key, values) is RowCheck.CORRUPT
                for probe, key, lacks, *values in rows
            ],
            dtype=np.bool_,
        )


def _is_delete(name: str, value: Any) -> bool:
    if name == _DELETED:
        return str(value).lower() == "true"
    if name == _CDC:
        value = (value or {}).get("op")
    return value in _DELETES

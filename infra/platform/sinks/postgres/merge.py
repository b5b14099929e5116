"""Reduces a batch of events to its effect on a table: each key once, in the state after its last
event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infra.avro.kind import UNAVAILABLE, Column, ColumnKind, UnknownMomentError
from infra.avro.row import Rows
from infra.platform.process.error import RefusedError
from infra.platform.sinks.batch import Batch
from infra.platform.sinks.operation import refuse_unsent
from infra.platform.sinks.postgres.array import (
    ByteaArray,
    Element,
    TextArray,
    TextMaker,
    array,
    column_array,
    elements,
    parameter_kind,
)
from infra.platform.sinks.postgres.offsets import LAST_LIFE, LIFE_BITS
from infra.platform.sinks.postgres.plan import VERSION, VERSION_COLUMN, WritePlan

_DELETE = ord("d")


@dataclass(frozen=True, slots=True)
class Upserts:
    """Rows to write, one parameter for each column.

    `partial` rows leave out columns whose values the source did not send.
    """

    columns: Sequence[Column]
    arrays: Sequence[TextArray | ByteaArray]
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Deletes:
    """Keys to delete, by key column, and the version of each deleted row (NULL if it is
    unknown).
    """

    keys: Sequence[Sequence[Element]]
    versions: Sequence[Element]

    def __len__(self) -> int:
        return len(self.versions)


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of a batch: no key is in two of its parts."""

    upserts: Sequence[Upserts]
    deletes: Deletes


def effect(batch: Batch, plan: WritePlan, life: int) -> Effect:
    """Reduce a batch of row changes; raises RefusedError if a row lacks its key, or has a number
    for which no exact date or time can be written.
    """
    try:
        return _Reduction(batch, plan, life).effect()
    except UnknownMomentError as error:
        raise RefusedError(f"{batch.topic}[{batch.partition}]: {error}") from error


@dataclass(frozen=True, slots=True)
class _Reduction:
    """One batch while it is reduced to an effect."""

    batch: Batch
    plan: WritePlan
    life: int

    def effect(self) -> Effect:
        batch, plan = self.batch, self.plan
        deleted = batch.rows.operation == _DELETE
        if len(set(batch.key_ids.tolist())) == len(batch) and not deleted.any():
            straight = self._straight(batch.rows)
            return Effect(
                [straight] if straight else self._groups(self._writes()),
                Deletes([[] for _ in plan.key], []),
            )
        keys = list(zip(*self._key_elements(deleted), strict=True))
        final = {place: row for row, place in enumerate(keys)}
        gone = [row for row in final.values() if deleted[row]]
        kept = [row for row in final.values() if not deleted[row]]
        upserts = []
        if kept:
            straight = self._straight(batch.rows[np.array(kept)])
            upserts = (
                [straight]
                if straight
                else self._groups(_merged(self._writes(), keys, kept, deleted))
            )
        versions = self._versions() if gone else []
        deletes = Deletes(
            [[keys[row][place] for row in gone] for place in range(len(plan.key))],
            [versions[row] for row in gone],
        )
        return Effect(upserts, deletes)

    def _straight(self, rows: Rows) -> Upserts | None:
        """These rows unchanged; None if the source did not send all of their values."""
        arrays = []
        for column in self.plan.columns:
            made = column_array(rows, "after", column, self._maker(column))
            if made is None:
                return None
            arrays.append(made)
        if self.plan.version != VERSION:
            return Upserts(self.plan.columns, arrays)
        return Upserts(
            [*self.plan.columns, VERSION_COLUMN],
            [*arrays, array(self._positions(rows), ColumnKind.INT64)],
        )

    def _maker(self, column: Column) -> TextMaker | None:
        return self.plan.conversions[column.name].make

    def _writes(self) -> dict[Column, list[Element]]:
        """All rows as the events have them, by column."""
        rows = self.batch.rows
        found = {
            column: elements(rows, "after", column, self._maker(column))
            for column in self.plan.columns
        }
        unsent: dict[int, list[str]] = {}
        for column, values in found.items():
            for row, value in enumerate(values):
                if value is UNAVAILABLE:
                    unsent.setdefault(row, []).append(column.name)
        refuse_unsent(self.batch, unsent)
        if self.plan.version == VERSION:
            found[VERSION_COLUMN] = self._positions(rows)
        return found

    def _positions(self, rows: Rows) -> list[Element]:
        """Versions: the source's life, then its log position; NULL for rows without a log
        position.
        """
        lsn = rows.lsn
        if self.life >= LAST_LIFE:
            return [None] * len(rows)
        made: list[Element] = [
            b"%d" % number for number in (lsn + (self.life << LIFE_BITS)).tolist()
        ]
        for row in np.flatnonzero((lsn <= 0) | (lsn >> LIFE_BITS > 0)).tolist():
            made[row] = None
        return made

    def _versions(self) -> list[Element]:
        """The last known versions of deleted rows; nothing for rows without one."""
        if not self.plan.probed:
            return self._positions(self.batch.rows)
        columns = self.batch.rows.columns
        column = next(column for column in columns if column.name == self.plan.version)
        found = elements(self.batch.rows, "before", column)
        for row in np.flatnonzero(self.batch.key_only()).tolist():
            found[row] = None
        return found

    def _key_elements(self, deleted: NDArray[np.bool_]) -> list[list[Element]]:
        batch, found = self.batch, []
        for column in self.plan.key:
            make = self._maker(column)
            after = elements(batch.rows, "after", column, make)
            before = elements(batch.rows, "before", column, make)
            found.append(
                [before[row] if gone else after[row] for row, gone in enumerate(deleted.tolist())]
            )
        if any(element is None for column in found for element in column):
            raise RefusedError(
                f"{batch.topic}[{batch.partition}] has a row without its key; set the source's"
                " REPLICA IDENTITY"
            )
        return found

    def _groups(self, writes: Mapping[Column, Sequence[Element]]) -> list[Upserts]:
        """Rows that leave out the same columns, together."""
        partial = {column for column, values in writes.items() if UNAVAILABLE in values}
        if not partial:
            return [self._upserts(writes)]
        groups: dict[frozenset[Column], list[int]] = {}
        for row in range(len(next(iter(writes.values())))):
            missing = frozenset(column for column in partial if writes[column][row] is UNAVAILABLE)
            groups.setdefault(missing, []).append(row)
        return [
            self._upserts(
                {
                    column: [values[row] for row in rows]
                    for column, values in writes.items()
                    if column not in missing
                },
                partial=bool(missing),
            )
            for missing, rows in groups.items()
        ]

    def _upserts(
        self, writes: Mapping[Column, Sequence[Element]], partial: bool = False
    ) -> Upserts:
        return Upserts(
            list(writes),
            [
                array(values, parameter_kind(column, self._maker(column)))
                for column, values in writes.items()
            ],
            partial,
        )


def _merged(
    writes: Mapping[Column, list[Element]],
    keys: Sequence[tuple[Element, ...]],
    kept: Sequence[int],
    deleted: NDArray[np.bool_],
) -> dict[Column, list[Element]]:
    """The last row of each key; columns that its last event lacks come from the key's earlier
    events.
    """
    found = {}
    for column, values in writes.items():
        whole = _known(values, keys, deleted) if UNAVAILABLE in values else values
        found[column] = [whole[row] for row in kept]
    return found


def _known(
    values: Sequence[Element], keys: Sequence[tuple[Element, ...]], deleted: NDArray[np.bool_]
) -> list[Element]:
    latest: dict[tuple[Element, ...], Element] = {}
    whole: list[Element] = []
    for row, (key, value) in enumerate(zip(keys, values, strict=True)):
        if deleted[row]:
            latest.pop(key, None)
        elif value is not UNAVAILABLE:
            latest[key] = value
        whole.append(latest.get(key, value) if value is UNAVAILABLE else value)
    return whole

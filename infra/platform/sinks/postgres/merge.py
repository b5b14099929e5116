"""From a batch of events to what they do to a table: each key once, as its last event leaves it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infra.avro.kind import UNAVAILABLE, Column, ColumnKind
from infra.avro.row import Rows
from infra.platform.process.error import RefusedError
from infra.platform.sinks.batch import Batch
from infra.platform.sinks.postgres.array import (
    ByteaArray,
    Element,
    TextArray,
    array,
    column_array,
    elements,
)
from infra.platform.sinks.postgres.table import VERSION

_VERSION = Column(VERSION, ColumnKind.INT64, True)
_DELETE = ord("d")


@dataclass(frozen=True, slots=True)
class Upserts:
    """Rows to write, a parameter a column;

    `partial` ones leave out columns whose values the source did not send.
    """

    columns: Sequence[Column]
    arrays: Sequence[TextArray | ByteaArray]
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Deletes:
    """Keys to delete, by key column, and the version of what was deleted (NULL where it is not
    known).
    """

    keys: Sequence[Sequence[Element]]
    versions: Sequence[Element]

    def __len__(self) -> int:
        return len(self.versions)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a batch does: no key is in two of its parts."""

    upserts: Sequence[Upserts]
    deletes: Deletes


def effect(batch: Batch, key: Sequence[Column], probe_column: str) -> Effect:
    """Reduce a batch of changes of rows; raises RefusedError where one lacks its key."""
    deleted = batch.rows.operation == _DELETE
    probed = probe_column in {column.name for column in batch.rows.columns}
    if len(set(batch.key_ids.tolist())) == len(batch) and not deleted.any():
        straight = _straight(batch.rows, batch.offsets, probed)
        return Effect(
            [straight] if straight else _groups(_writes(batch, probed)),
            Deletes([[] for _ in key], []),
        )
    keys = list(zip(*_key_elements(batch, key, deleted), strict=True))
    final = {place: row for row, place in enumerate(keys)}
    gone = [row for row in final.values() if deleted[row]]
    kept = [row for row in final.values() if not deleted[row]]
    upserts = []
    if kept:
        straight = _straight(batch.rows[np.array(kept)], batch.offsets[kept], probed)
        upserts = (
            [straight]
            if straight
            else _groups(_merged(_writes(batch, probed), keys, kept, deleted))
        )
    versions = _versions(batch, probe_column, probed) if gone else []
    deletes = Deletes(
        [[keys[row][place] for row in gone] for place in range(len(key))],
        [versions[row] for row in gone],
    )
    return Effect(upserts, deletes)


def _straight(rows: Rows, offsets: NDArray[np.int64], probed: bool) -> Upserts | None:
    """These rows as they are; None where the source did not send all of their values."""
    arrays = []
    for column in rows.columns:
        made = column_array(rows, "after", column)
        if made is None:
            return None
        arrays.append(made)
    if probed:
        return Upserts(rows.columns, arrays)
    return Upserts(
        [*rows.columns, _VERSION], [*arrays, array(_positions(rows, offsets), ColumnKind.INT64)]
    )


def _writes(batch: Batch, probed: bool) -> dict[Column, list[Element]]:
    """All rows as they were written, by column."""
    found = {column: elements(batch.rows, "after", column) for column in batch.rows.columns}
    if not probed:
        found[_VERSION] = _positions(batch.rows, batch.offsets)
    return found


def _positions(rows: Rows, offsets: NDArray[np.int64]) -> list[Element]:
    lsn = rows.lsn
    return [b"%d" % number for number in np.where(lsn > 0, lsn, offsets).tolist()]


def _versions(batch: Batch, probe_column: str, probed: bool) -> list[Element]:
    """What the rows of deletes said last of their version."""
    if not probed:
        return _positions(batch.rows, batch.offsets)
    column = next(column for column in batch.rows.columns if column.name == probe_column)
    return elements(batch.rows, "before", column)


def _key_elements(
    batch: Batch, key: Sequence[Column], deleted: NDArray[np.bool_]
) -> list[list[Element]]:
    found = []
    for column in key:
        after, before = (
            elements(batch.rows, "after", column),
            elements(batch.rows, "before", column),
        )
        found.append(
            [before[row] if gone else after[row] for row, gone in enumerate(deleted.tolist())]
        )
    if any(element is None for column in found for element in column):
        raise RefusedError(
            f"{batch.topic}[{batch.partition}] has a row without its key; set the source's REPLICA"
            " IDENTITY"
        )
    return found


def _merged(
    writes: Mapping[Column, list[Element]],
    keys: Sequence[tuple[Element, ...]],
    kept: Sequence[int],
    deleted: NDArray[np.bool_],
) -> dict[Column, list[Element]]:
    """The last row of each key; what its last event did not send comes from the key's earlier
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


def _groups(writes: Mapping[Column, Sequence[Element]]) -> list[Upserts]:
    """Rows that leave the same columns alone, together."""
    partial = {column for column, values in writes.items() if UNAVAILABLE in values}
    if not partial:
        return [_upserts(writes)]
    groups: dict[frozenset[Column], list[int]] = {}
    for row in range(len(next(iter(writes.values())))):
        missing = frozenset(column for column in partial if writes[column][row] is UNAVAILABLE)
        groups.setdefault(missing, []).append(row)
    return [
        _upserts(
            {
                column: [values[row] for row in rows]
                for column, values in writes.items()
                if column not in missing
            },
            partial=bool(missing),
        )
        for missing, rows in groups.items()
    ]


def _upserts(writes: Mapping[Column, Sequence[Element]], partial: bool = False) -> Upserts:
    return Upserts(
        list(writes), [array(values, column.kind) for column, values in writes.items()], partial
    )

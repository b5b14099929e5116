"""The offset of each partition, stored in the table itself, so that maintenance neither removes nor
falsifies it.

Each commit sets table properties in the same transaction as its snapshot: the offsets, and the
snapshot for which they hold. Unlike a snapshot's summary, properties survive the expiry of
snapshots and the rewriting of files. A table can be rolled back, but its properties cannot. Then
the snapshot in the properties is no ancestor of the current one, and the offsets are taken from the
summary of the sink's newest ancestor; each snapshot has them as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyiceberg.table import Table, Transaction
from pyiceberg.table.snapshots import Snapshot

from infra.platform.process.error import ConfigError
from infra.platform.sinks.batch import Partition

#: Keys of a snapshot's summary and of the table's properties: the commit's tag, and with it each
#: partition's next offset.
COMMIT_TAG, OFFSETS_TAG = "cdc.commit", "cdc.offsets"
#: Properties: the topics' ids, the snapshot that the offsets hold for and its sequence number.
TOPICS, SNAPSHOT, SEQUENCE = "cdc.topic-ids", "cdc.snapshot", "cdc.sequence-number"
#: The source table whose rows an upserted table has, and the columns of their key.
SOURCE, KEY = "cdc.source-table", "cdc.key"
#: Its columns that the source has dropped.
DROPPED = "cdc.dropped-columns"


@dataclass(frozen=True, slots=True)
class TableBooks:
    """Each partition's next offset, the ids of their topics, and what the last commit knew of the
    source: its table, its key, and the columns that it has dropped.
    """

    offsets: Mapping[Partition, int] = field(default_factory=dict)
    topic_ids: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    key: tuple[str, ...] = ()
    dropped: frozenset[str] = frozenset()

    def summary(self, tag: str) -> dict[str, str]:
        """For a snapshot's summary."""
        return {COMMIT_TAG: tag, OFFSETS_TAG: _offsets_text(self.offsets)}

    def keep(self, change: Transaction, tag: str) -> None:
        """Set the properties, in the transaction that has just made its snapshot."""
        snapshot = change.table_metadata.current_snapshot()
        assert snapshot is not None, "the snapshot comes first"
        topics = {topic for topic, _ in self.offsets}
        change.set_properties(
            {
                **self.summary(tag),
                TOPICS: json.dumps({name: self.topic_ids.get(name, "") for name in sorted(topics)}),
                SNAPSHOT: str(snapshot.snapshot_id),
                SEQUENCE: str(snapshot.sequence_number or 0),
                SOURCE: self.source,
                KEY: json.dumps(list(self.key)),
                DROPPED: json.dumps(sorted(self.dropped)),
            }
        )


def books_of(table: Table | None) -> TableBooks:
    """The table's present books; raises ConfigError if they cannot be determined."""
    if table is None:
        return TableBooks()
    kept = table.properties
    topics = json.loads(kept.get(TOPICS, "{}"))
    source, key = kept.get(SOURCE, ""), tuple(json.loads(kept.get(KEY, "[]")))
    dropped = frozenset(json.loads(kept.get(DROPPED, "[]")))
    if OFFSETS_TAG in kept:
        holds = _holds(table, int(kept[SNAPSHOT]), int(kept[SEQUENCE]))
        if holds is None:
            raise ConfigError(
                f"table {'.'.join(table.name())} was replaced by another writer: nobody can know"
                " whether it still has the rows that its books say it has; name another table, or"
                f" remove its property {OFFSETS_TAG!r} to have them all again"
            )
        if holds:
            return TableBooks(_offsets(kept[OFFSETS_TAG]), topics, source, key, dropped)
    for snapshot in _ancestors(table):
        text = _summary(snapshot).get(OFFSETS_TAG)
        if text:
            return TableBooks(_offsets(text), topics, source, key, dropped)
    return TableBooks({}, {}, source, key, dropped)


def check_still_there(name: str, known: TableBooks, confirmed: Mapping[Partition, int]) -> None:
    """Raise ConfigError if the table lacks events that were durable: it was rolled back, dropped or
    restored during the run, and later events would hide that.
    """
    for (topic, number), offset in confirmed.items():
        if known.offsets.get((topic, number), 0) < offset:
            has = known.offsets.get((topic, number), "nothing")
            raise ConfigError(
                f"table {name} had {topic}[{number}] up to offset {offset} and now has it up to"
                f" {has}: it was rolled back, dropped or restored while it was written to; start"
                " again, and what it lacks is read again"
            )


def is_tagged(table: Table, tag: str) -> bool:
    """Whether a commit with this tag has succeeded and is still in effect."""
    return any(_summary(snapshot).get(COMMIT_TAG) == tag for snapshot in _ancestors(table))


def _holds(table: Table, snapshot_id: int, sequence: int) -> bool | None:
    """Whether the current snapshot descends from this one; None if it begins a history of its own.

    If snapshots in between were expired, the sequence number decides, because it only grows: a
    snapshot that was rolled back is below, or descends from one that is.
    """
    oldest = None
    for oldest in _ancestors(table):
        if oldest.snapshot_id == snapshot_id:
            return True
        if sequence and (oldest.sequence_number or 0) <= sequence:
            return False
    if oldest is None:
        return False
    # Expiry removes the oldest snapshots first; while ours is kept, none after it has expired.
    kept = table.snapshot_by_id(snapshot_id) is not None
    if kept and oldest.parent_snapshot_id is None:
        return None if sequence else False
    return True


def _ancestors(table: Table) -> Iterator[Snapshot]:
    """The current snapshot and its ancestors, as far as they are kept."""
    snapshot = table.current_snapshot()
    while snapshot is not None:
        yield snapshot
        parent = snapshot.parent_snapshot_id
        snapshot = table.snapshot_by_id(parent) if parent else None


def _summary(snapshot: Snapshot) -> Mapping[str, str]:
    return {} if snapshot.summary is None else snapshot.summary.additional_properties


def _offsets(text: str) -> dict[Partition, int]:
    found: list[list[Any]] = json.loads(text)
    return {(topic, int(number)): int(offset) for topic, number, offset in found}


def _offsets_text(offsets: Mapping[Partition, int]) -> str:
    return json.dumps(
        [[topic, number, offset] for (topic, number), offset in sorted(offsets.items())]
    )

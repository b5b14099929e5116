"""The ledger: what arrived, by writer and sequence, and what this proves against what was sent.

Every writer numbers its events without gaps, so loss and duplicates are found exactly, not by
comparing counts. A tap keeps one `Ledger`; the ledgers of several taps of one consumer group
(platform instances) are merged before `audit` draws conclusions. Memory: two bits for each event,
in blocks that are freed when full, and some 35 bytes for each key that was ever updated.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from cdc_users.measure.ledger.arrival import EXAMPLES, Arrivals, Example, StepLedger, merge
from cdc_users.measure.ledger.audit import CLASSES, Audit, Outcomes, audit, audit_taps
from cdc_users.measure.ledger.bitmap import Bitmap, Numbers
from cdc_users.measure.ledger.probe import KEYS_PER_WRITER, Operation, ProbeBatch
from cdc_users.measure.ledger.sequence import (
    BLOCK,
    SequenceRange,
    SequenceSet,
    intersect,
    size,
    subtract,
    union,
)
from cdc_users.measure.ledger.version import KeyStates, VersionTable

__all__ = [
    "BLOCK",
    "CLASSES",
    "EXAMPLES",
    "Arrivals",
    "Audit",
    "Example",
    "KeyStates",
    "Ledger",
    "Outcomes",
    "RowCheck",
    "SequenceRange",
    "SequenceSet",
    "StepLedger",
    "audit",
    "audit_taps",
    "intersect",
    "merge",
    "size",
    "subtract",
    "union",
]

_FENCE = ord(Operation.FENCE)
_STAMP = ord(Operation.STAMP)
_DELETE = ord(Operation.DELETE)
#: Stamps that wait for a delete without a probe; beyond this number the oldest are dropped.
_OPEN_STAMPS = 65_536
Flags = NDArray[np.bool_]


class RowCheck(IntEnum):
    """The result of comparing a row with its checksum."""

    SKIPPED = 0
    GOOD = 1
    CORRUPT = 2
    #: A column was not sent (unchanged TOAST), so the checksum cannot be compared.
    UNCHECKABLE = 3


@dataclass(frozen=True, slots=True)
class PartitionEvents:
    """Events of one partition in their order, one row each: probe, key and position.

    `checks` has a RowCheck for each row, where rows were checked. `at_us` (wall microseconds)
    decides which of several instances saw a key last.
    """

    probes: ProbeBatch
    keys: Numbers
    partition: int
    positions: Numbers
    checks: NDArray[np.uint8] | None = None
    at_us: int = 0

    def only(self, rows: Numbers) -> PartitionEvents:
        """Some of the events."""
        checks = None if self.checks is None else self.checks[rows]
        return PartitionEvents(
            self.probes[rows],
            self.keys[rows],
            self.partition,
            self.positions[rows],
            checks,
            self.at_us,
        )


@dataclass(frozen=True, slots=True)
class _Events:
    """Events that count, with their steps; `step` is their common step, or None where they have
    several.
    """

    part: PartitionEvents
    steps: Numbers
    step: int | None

    @classmethod
    def of(cls, part: PartitionEvents) -> _Events:
        """These events, of which there must be one at least."""
        steps = part.probes.step
        low = int(steps.min())
        return cls(part, steps, low if low == int(steps.max()) else None)


class Ledger:
    """What one tap has seen of one run. Not safe for several threads."""

    def __init__(self) -> None:
        self._bitmap = Bitmap()
        self._table = VersionTable()
        self._arrivals = Arrivals()
        self._located: Counter[str] = Counter()
        self._stamps: dict[int, ProbeBatch] = {}
        self._fence_places: dict[int, int] = {}
        self._origin_us = 0

    def observe(self, part: PartitionEvents, *, deleted: Flags | None = None) -> Flags:
        """Take events in; returns which of them count (valid and no fences) and arrived for the
        first time, so that repeats enter no latency.

        `deleted` marks delete events: they carry the probe of the row that they remove, or no probe
        where the source sends keys only.
        """
        probes = self.with_deletes(part.probes, part.keys, deleted)
        return self.enter(replace(part, probes=probes))

    def enter(self, part: PartitionEvents) -> Flags:
        """`observe` for a batch in which each delete already has its own probe (`with_deletes`)."""
        batch = part.probes
        fence = batch.valid & (batch.operation == _FENCE)
        counted: Flags = (
            batch.valid & ~fence & (batch.sequence > batch.index) & (batch.index < batch.size)
        )
        if fence.any():
            # The probe gives the fence's number, because a table's key may be no number.
            fences = batch.writer[fence] * KEYS_PER_WRITER + batch.sequence[fence]
            self._arrivals.fences.update(fences.tolist())
            self._arrivals.fenced_partitions.add(part.partition)
            self._fence_places |= dict.fromkeys(fences.tolist(), part.partition)
        self._arrivals.foreign += len(batch) - int((counted | fence).sum())
        rows = np.flatnonzero(counted)
        if len(rows) == len(batch):
            return ~self._take(part)
        if len(rows):
            counted[rows] = ~self._take(part.only(rows))
        return counted

    def unseen(self, batch: ProbeBatch) -> Flags:
        """Which events have not been observed yet; invalid events count as not observed."""
        seen = batch.valid.copy()
        rows = np.flatnonzero(batch.valid)
        seen[rows] = self._bitmap.seen_before(batch.writer[rows], batch.sequence[rows])
        return ~seen

    def with_deletes(self, batch: ProbeBatch, keys: Numbers, deleted: Flags | None) -> ProbeBatch:
        """The batch with each delete as an event of its own; a delete without a probe takes that of
        its key's stamp.
        """
        stamp = batch.valid & (batch.operation == _STAMP)
        if deleted is None:
            deleted = np.zeros(len(batch), dtype=np.bool_)
        bare = deleted & ~batch.valid
        found: dict[int, ProbeBatch] = {}
        for row in np.flatnonzero(stamp | bare).tolist():
            key = int(keys[row])
            # Taken out first, so that a stamp that is put there again is the newest.
            open_stamp = self._stamps.pop(key, None)
            if not deleted[row]:
                self._stamps[key] = batch[np.array([row])]
            elif open_stamp is not None and bare[row]:
                found[row] = open_stamp
        while len(self._stamps) > _OPEN_STAMPS:
            del self._stamps[next(iter(self._stamps))]
        if found:
            batch = batch.with_rows(found)
        return batch.after_deletes(deleted) if deleted.any() else batch

    def _take(self, part: PartitionEvents) -> Flags:
        """Count events; returns which of them had arrived before."""
        events, batch, checks = _Events.of(part), part.probes, part.checks
        begins = batch.sequence - batch.index
        again = self._bitmap.mark(batch.writer, batch.sequence, begins, begins + batch.size)
        self._count("delivered", events, ~again)
        self._find("duplicated", events, again)
        if checks is not None:
            self._find("corrupt", events, checks == RowCheck.CORRUPT)
            self._count("checked", events, (checks == RowCheck.GOOD) | (checks == RowCheck.CORRUPT))
            self._count("uncheckable", events, checks == RowCheck.UNCHECKABLE)
        rows = self._rows(batch, part.keys)
        tracked = np.flatnonzero(rows >= 0)
        if len(tracked):
            back, skipped = self._versions(events, tracked, rows[tracked])
            self._find("reordered", events, back & ~again)
            self._count("replayed", events, back & again)
            self._find("gap", events, skipped)
        return again

    def _rows(self, batch: ProbeBatch, keys: Numbers) -> NDArray[np.int32]:
        """Each event's row in the table of versions; -1 for keys that were never updated."""
        rows = self._table.find(keys)
        new = np.flatnonzero((rows < 0) & (batch.key_version > 1))
        if len(new):
            distinct, first = np.unique(keys[new], return_index=True)
            added = self._table.add(distinct, batch.writer[new[first]])
            without = np.flatnonzero(rows < 0)
            place = np.minimum(np.searchsorted(distinct, keys[without]), len(distinct) - 1)
            mine = distinct[place] == keys[without]
            rows[without[mine]] = added + place[mine]
        return rows

    def _versions(
        self, events: _Events, tracked: Numbers, rows: NDArray[np.int32]
    ) -> tuple[Flags, Flags]:
        """Enter tracked events into the table; returns which of them went back in version, and
        which skipped versions.
        """
        order = np.argsort(rows, kind="stable")
        rows, tracked = rows[order], tracked[order]
        batch = events.part.probes
        version = batch.key_version[tracked]
        starts = np.append(True, rows[1:] != rows[:-1])
        ends = np.append(starts[1:], True)
        columns = self._table.columns
        known_last, known_high = (
            np.abs(columns["last"][rows]),
            columns["high"][rows].astype(np.int64),
        )
        before = np.where(starts, known_last, np.roll(version, 1))
        # The highest version of each key so far. Adding the key's number above bit 32 keeps keys
        # apart, so one running maximum serves all of them; the slow way would be a loop over keys.
        lane = np.cumsum(starts) << 32
        highest = (
            np.maximum.accumulate(lane | np.where(starts, np.maximum(version, known_high), version))
            - lane
        )
        high_before = np.where(starts, known_high, np.roll(highest, 1))
        back, skipped = np.zeros((2, len(batch)), dtype=np.bool_)
        back[tracked] = version < before
        skipped[tracked] = (high_before > 0) & (version > high_before + 1)
        new = starts & (columns["first"][rows] == 0)
        columns["first"][rows[new]] = version[new]
        gone = batch.operation[tracked[ends]] == _DELETE
        columns["last"][rows[ends]] = np.where(gone, -version[ends], version[ends])
        columns["high"][rows[ends]] = highest[ends]
        columns["at_ms"][rows[ends]] = self._since_ms(events.part.at_us)
        return back, skipped

    def _since_ms(self, at_us: int) -> int:
        if self._origin_us == 0:
            self._origin_us = at_us
        return (at_us - self._origin_us) // 1000

    def _find(self, finding: str, events: _Events, which: Flags) -> None:
        """Count the events of a class, and keep the first few as examples."""
        if not which.any():
            return
        self._count(finding, events, which)
        part, batch = events.part, events.part.probes
        for row in np.flatnonzero(which)[: EXAMPLES - self._located[finding]].tolist():
            self._located[finding] += 1
            place = (part.partition, int(part.positions[row]), int(part.keys[row]))
            example = Example(finding, int(batch.writer[row]), int(batch.sequence[row]), *place)
            self._arrivals.examples.append(example)

    def _count(self, name: str, events: _Events, which: Flags) -> None:
        steps = (
            [events.step] if events.step is not None else np.unique(events.steps[which]).tolist()
        )
        for step in steps:
            counts = self._arrivals.steps.setdefault(step, StepLedger())
            count = np.count_nonzero(
                which if events.step is not None else which & (events.steps == step)
            )
            setattr(counts, name, getattr(counts, name) + int(count))

    def delivered(self) -> dict[int, StepLedger]:
        """Counts by step so far."""
        return self._arrivals.steps

    def fences(self) -> set[int]:
        """The keys of the fences seen."""
        return self._arrivals.fences

    def fence_places(self) -> dict[int, int]:
        """The partition of each fence, by its key."""
        return self._fence_places

    def fenced_partitions(self) -> set[int]:
        """The partitions that fences have come from."""
        return self._arrivals.fenced_partitions

    def arrivals(self) -> Arrivals:
        """A copy of everything so far as plain data, which later events do not change."""
        counted = self._arrivals
        return Arrivals(
            seen=self._bitmap.seen(),
            cuts=self._bitmap.cuts(),
            steps={step: replace(counts) for step, counts in counted.steps.items()},
            keys=self._table.states(self._origin_us),
            fences=set(counted.fences),
            fenced_partitions=set(counted.fenced_partitions),
            foreign=counted.foreign,
            examples=list(counted.examples),
        )

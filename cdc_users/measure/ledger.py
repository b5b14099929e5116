"""The ledger: what arrived, by writer and sequence, and what that proves against what was sent.

Every writer numbers its events without gaps, so loss and duplicates are found exactly, not by comparing counts.
A tap keeps one `Ledger`; several taps of one consumer group (platform instances) are merged before anything is
concluded. `audit` is the conclusion.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdc_users.measure.probe import LANES_PER_STEP, Operation, ProbeBatch

BLOCK_BITS = 16
BLOCK = 1 << BLOCK_BITS
EXAMPLES = 100
Range = tuple[int, int]
_FENCE = ord(Operation.FENCE)


@dataclass(frozen=True, slots=True)
class Example:
    """One located finding: the writer and sequence, and where it was seen (or not: partition and position -1)."""

    finding: str
    writer: int
    sequence: int
    partition: int = -1
    position: int = -1


class _Seen:
    """Which sequences of one writer have arrived: a bitmap in blocks, freed when full."""

    __slots__ = ("full", "open")

    def __init__(self) -> None:
        self.full: set[int] = set()
        self.open: dict[int, NDArray[np.bool_]] = {}

    def add(self, sequences: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Mark these as seen; returns which of them (in order) were seen before."""
        again = np.zeros(len(sequences), dtype=np.bool_)
        blocks = sequences >> BLOCK_BITS
        for number in np.unique(blocks).tolist():
            where = np.flatnonzero(blocks == number)
            again[where] = self._add_block(number, sequences[where] & (BLOCK - 1))
        return again

    def _add_block(self, number: int, inside: NDArray[np.int64]) -> NDArray[np.bool_]:
        if number in self.full:
            return np.ones(len(inside), dtype=np.bool_)
        bits = self.open.setdefault(number, np.zeros(BLOCK, dtype=np.bool_))
        again: NDArray[np.bool_] = bits[inside].copy()
        first = np.zeros(len(inside), dtype=np.bool_)
        first[np.unique(inside, return_index=True)[1]] = True
        again = again | ~first
        bits[inside] = True
        if number == 0:
            bits[0] = True  # sequences count from 1
        if bits.all():
            del self.open[number]
            self.full.add(number)
        return again

    def ranges(self) -> list[Range]:
        """What was seen, as inclusive ranges in order."""
        found: list[Range] = []
        for number in sorted(self.full | set(self.open)):
            base = number << BLOCK_BITS
            parts = [(1 if number == 0 else base, base + BLOCK - 1)] if number in self.full else self._runs(number)
            for first, last in parts:
                if found and found[-1][1] == first - 1:
                    found[-1] = (found[-1][0], last)
                else:
                    found.append((first, last))
        return found

    def _runs(self, number: int) -> list[Range]:
        bits = self.open[number].copy()
        if number == 0:
            bits[0] = False
        edges = np.flatnonzero(np.diff(np.concatenate(([False], bits, [False])).astype(np.int8)))
        base = number << BLOCK_BITS
        return [(base + int(first), base + int(last) - 1) for first, last in edges.reshape(-1, 2)]


@dataclass(slots=True)
class StepLedger:
    """A step's counts at one tap: events delivered for the first time, again, and out of their key's order."""

    delivered: int = 0
    duplicated: int = 0
    reordered: int = 0


@dataclass(slots=True)
class Arrivals:
    """A ledger as plain data: seen ranges by writer, counts by step, fences by key, foreign events, examples."""

    seen: dict[int, list[Range]] = field(default_factory=dict)
    steps: dict[int, StepLedger] = field(default_factory=dict)
    fences: set[int] = field(default_factory=set)
    foreign: int = 0
    examples: list[Example] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "seen": {str(writer): ranges for writer, ranges in self.seen.items()},
            "steps": {str(step): asdict(counts) for step, counts in self.steps.items()},
            "fences": sorted(self.fences),
            "foreign": self.foreign,
            "examples": [asdict(example) for example in self.examples],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Arrivals:
        """Read what `to_json` made."""
        return cls(
            seen={int(writer): [(int(a), int(b)) for a, b in ranges] for writer, ranges in data["seen"].items()},
            steps={int(step): StepLedger(**counts) for step, counts in data["steps"].items()},
            fences=set(map(int, data["fences"])),
            foreign=int(data["foreign"]),
            examples=[Example(**example) for example in data["examples"]],
        )


class Ledger:
    """What one tap has seen of one run. Bounded memory: a bitmap a writer, and one number a key that was updated."""

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}
        self._versions: dict[int, int] = {}
        self._arrivals = Arrivals()

    def observe(
        self, batch: ProbeBatch, keys: NDArray[np.int64], partition: int, positions: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Take in a batch from one partition, in its order; returns which events count (valid, not fences)."""
        self._arrivals.foreign += int((~batch.valid).sum())
        fence = batch.valid & (batch.operation == _FENCE)
        self._arrivals.fences.update(keys[fence].tolist())
        counted: NDArray[np.bool_] = batch.valid & ~fence
        rows = np.flatnonzero(counted)
        for writer in np.unique(batch.writer[rows]).tolist():
            mine = rows[batch.writer[rows] == writer]
            self._take(writer, batch, keys, mine, partition, positions)
        return counted

    def _take(
        self,
        writer: int,
        batch: ProbeBatch,
        keys: NDArray[np.int64],
        rows: NDArray[np.int64],
        partition: int,
        positions: NDArray[np.int64],
    ) -> None:
        counts = self._arrivals.steps.setdefault(writer // LANES_PER_STEP, StepLedger())
        sequences = batch.sequence[rows]
        again = self._seen.setdefault(writer, _Seen()).add(sequences)
        counts.delivered += int((~again).sum())
        counts.duplicated += int(again.sum())
        for index in np.flatnonzero(again)[:EXAMPLES].tolist():
            self._note("duplicated", writer, int(sequences[index]), partition, int(positions[rows[index]]))
        updated = set(keys[rows[batch.key_version[rows] > 1]].tolist())
        if not updated and not self._versions:
            return  # a key that was never updated needs no entry
        for row in rows.tolist():
            if int(keys[row]) not in updated and int(keys[row]) not in self._versions:
                continue
            self._order(writer, int(keys[row]), batch, row, counts, partition, int(positions[row]))

    def _order(
        self, writer: int, key: int, batch: ProbeBatch, row: int, counts: StepLedger, partition: int, position: int
    ) -> None:
        version = int(batch.key_version[row])
        if version < self._versions.get(key, 0):
            counts.reordered += 1
            self._note("reordered", writer, int(batch.sequence[row]), partition, position)
        else:
            self._versions[key] = version

    def _note(self, finding: str, writer: int, sequence: int, partition: int, position: int) -> None:
        if sum(example.finding == finding for example in self._arrivals.examples) < EXAMPLES:
            self._arrivals.examples.append(Example(finding, writer, sequence, partition, position))

    def delivered(self) -> dict[int, StepLedger]:
        """Counts by step so far."""
        return self._arrivals.steps

    def fences(self) -> set[int]:
        """The keys of the fences seen."""
        return self._arrivals.fences

    def arrivals(self) -> Arrivals:
        """Everything so far as plain data."""
        self._arrivals.seen = {writer: seen.ranges() for writer, seen in self._seen.items()}
        return self._arrivals


def merge(parts: Iterable[Arrivals]) -> Arrivals:
    """The arrivals of several instances as one: what two of them have seen is a duplicate."""
    whole = Arrivals()
    for part in parts:
        whole.fences |= part.fences
        whole.foreign += part.foreign
        whole.examples += part.examples[: max(0, EXAMPLES - len(whole.examples))]
        for step, counts in part.steps.items():
            total = whole.steps.setdefault(step, StepLedger())
            total.delivered += counts.delivered
            total.duplicated += counts.duplicated
            total.reordered += counts.reordered
        for writer, ranges in part.seen.items():
            both = intersect(whole.seen.get(writer, []), ranges)
            if both:
                total = whole.steps[writer // LANES_PER_STEP]
                total.delivered -= size(both)
                total.duplicated += size(both)
            whole.seen[writer] = union(whole.seen.get(writer, []), ranges)
    return whole


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How a writer's sequences ended at the source, as inclusive ranges."""

    acked: Sequence[Range] = ()
    failed: Sequence[Range] = ()
    unknown: Sequence[Range] = ()


@dataclass(frozen=True, slots=True)
class Audit:
    """What a tap's arrivals prove about one step.

    `lost` is only claimed when all fences were seen; without them what is missing is `unseen`. `phantom` counts
    events whose transaction had failed at the source. Events of an unknown outcome may arrive or not.
    """

    sent: int
    delivered: int
    lost: int
    duplicated: int
    reordered: int
    unseen: int
    unknown: int
    phantom: int
    examples: tuple[Example, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether every event sent has arrived exactly once and in order."""
        return not (self.lost or self.duplicated or self.reordered or self.unseen or self.unknown or self.phantom)


def audit(step: int, outcomes: Mapping[int, Outcomes], arrivals: Arrivals, *, fenced: bool) -> Audit:
    """Compare what the writers of one step sent with what has arrived."""
    counts = arrivals.steps.get(step, StepLedger())
    missing: list[Example] = []
    sent = lost = unknown = phantom = 0
    word = "lost" if fenced else "unseen"
    for writer, outcome in outcomes.items():
        if writer // LANES_PER_STEP != step:
            continue
        seen = arrivals.seen.get(writer, [])
        gone = subtract(outcome.acked, seen)
        sent += size(outcome.acked)
        lost += size(gone)
        unknown += size(subtract(outcome.unknown, seen))
        phantom += size(intersect(outcome.failed, seen))
        missing += [Example(word, writer, first) for first, _ in gone]
    examples = tuple((missing + [e for e in arrivals.examples if e.writer // LANES_PER_STEP == step])[: 4 * EXAMPLES])
    return Audit(
        sent=sent,
        delivered=counts.delivered,
        lost=lost if fenced else 0,
        duplicated=counts.duplicated,
        reordered=counts.reordered,
        unseen=0 if fenced else lost,
        unknown=unknown,
        phantom=phantom,
        examples=examples,
    )


def size(ranges: Sequence[Range]) -> int:
    """How many numbers inclusive ranges hold."""
    return sum(last - first + 1 for first, last in ranges)


def union(left: Sequence[Range], right: Sequence[Range]) -> list[Range]:
    """All numbers of both, as ordered ranges."""
    merged: list[Range] = []
    for first, last in sorted([*left, *right]):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def subtract(left: Sequence[Range], right: Sequence[Range]) -> list[Range]:
    """The numbers of `left` that are not in `right`."""
    holes = union(right, ())
    rest: list[Range] = []
    for first, last in union(left, ()):
        start = first
        for low, high in holes:
            if high < start or low > last:
                continue
            if low > start:
                rest.append((start, low - 1))
            start = high + 1
        if start <= last:
            rest.append((start, last))
    return rest


def intersect(left: Sequence[Range], right: Sequence[Range]) -> list[Range]:
    """The numbers that are in both."""
    return subtract(left, subtract(left, right))

"""The arrivals at a tap as plain data, which can be sent, merged and audited."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields

import msgspec
import numpy as np
from numpy.typing import NDArray

from cdc_users.measure.ledger.probe import LANES_PER_STEP
from cdc_users.measure.ledger.sequence import EncodedSequences, SequenceSet
from cdc_users.measure.ledger.version import EncodedKeys, KeyStates, join

#: The number of findings of each class that are located.
EXAMPLES = 100


@dataclass(frozen=True, slots=True)
class Example:
    """One located finding: writer and sequence, the key, and where it was seen.

    Partition and position are -1, and the key is None, where the tap cannot know them: a missing
    event has none.
    """

    finding: str
    writer: int
    sequence: int
    partition: int = -1
    position: int = -1
    key: int | None = None
    tap: str = ""


@dataclass(slots=True)
class StepLedger:
    """A step's counts at one tap.

    `delivered` counts events that arrived for the first time, `duplicated` their repeats. Of the
    events that came after a newer version of their key, `reordered` counts the new ones and
    `replayed` the repeats; `gap` counts events that skipped versions of their key. `checked` counts
    rows whose checksum was compared, `corrupt` those of them that differed, and `uncheckable` the
    rows that lacked a column.
    """

    delivered: int = 0
    duplicated: int = 0
    reordered: int = 0
    replayed: int = 0
    gap: int = 0
    checked: int = 0
    corrupt: int = 0
    uncheckable: int = 0

    def add(self, other: StepLedger) -> None:
        """Add another instance's counts."""
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))


class EncodedArrivals(msgspec.Struct, frozen=True):
    """A ledger for a message."""

    seen: dict[int, EncodedSequences]
    cuts: dict[int, EncodedSequences]
    steps: dict[int, StepLedger]
    keys: EncodedKeys
    fences: list[int]
    fenced_partitions: list[int]
    foreign: int
    examples: list[Example]


@dataclass(slots=True)
class Arrivals:
    """A ledger as plain data.

    Sequences that arrived by writer, and where transactions begin; counts by step; the last
    versions of updated keys; fences by key and by partition; the number of foreign events (of other
    runs, or without a probe); examples.
    """

    seen: dict[int, SequenceSet] = field(default_factory=dict)
    cuts: dict[int, SequenceSet] = field(default_factory=dict)
    steps: dict[int, StepLedger] = field(default_factory=dict)
    keys: KeyStates = field(default_factory=KeyStates.none)
    fences: set[int] = field(default_factory=set)
    fenced_partitions: set[int] = field(default_factory=set)
    foreign: int = 0
    examples: list[Example] = field(default_factory=list)

    def encode(self) -> EncodedArrivals:
        """The ledger for a message."""
        return EncodedArrivals(
            seen={writer: found.encode() for writer, found in self.seen.items()},
            cuts={writer: found.encode() for writer, found in self.cuts.items()},
            steps=self.steps,
            keys=self.keys.encode(),
            fences=sorted(self.fences),
            fenced_partitions=sorted(self.fenced_partitions),
            foreign=self.foreign,
            examples=self.examples,
        )

    @classmethod
    def decode(cls, data: EncodedArrivals) -> Arrivals:
        """Read what `encode` made."""
        return cls(
            seen={writer: SequenceSet.decode(found) for writer, found in data.seen.items()},
            cuts={writer: SequenceSet.decode(found) for writer, found in data.cuts.items()},
            steps=dict(data.steps),
            keys=KeyStates.decode(data.keys),
            fences=set(data.fences),
            fenced_partitions=set(data.fenced_partitions),
            foreign=data.foreign,
            examples=list(data.examples),
        )

    def torn(self, step: int) -> dict[int, NDArray[np.int64]]:
        """For each writer, the step's transactions that arrived in part: the first missing sequence
        of each one.
        """
        found = {}
        for writer, cuts in self.cuts.items():
            if writer // LANES_PER_STEP == step:
                missing = _first_missing(self.seen.get(writer, SequenceSet()), cuts)
                if len(missing):
                    found[writer] = missing
        return found

    def stale(self, step: int) -> KeyStates:
        """The step's keys whose last event here was not their newest version."""
        return self.keys.only(self.keys.stale() & (self.keys.writer // LANES_PER_STEP == step))

    def gaps(self, step: int) -> int:
        """How often versions of the step's keys were skipped."""
        keys = self.keys
        first = int((keys.skipped() & (keys.writer // LANES_PER_STEP == step)).sum())
        return first + self.steps.get(step, StepLedger()).gap


def _first_missing(seen: SequenceSet, cuts: SequenceSet) -> NDArray[np.int64]:
    """The first missing sequence of each transaction that arrived in part.

    A transaction with an event that arrived lies between two neighbouring cuts; between other cuts
    nothing has arrived at all.
    """
    begins = cuts.numbers()
    runs = seen.edges()
    if len(begins) < 2 or len(runs) == 0:
        return np.empty(0, dtype=np.int64)
    lengths = runs[:, 1] - runs[:, 0] + 1
    before = np.concatenate(([0], np.cumsum(lengths)))

    def count(sequences: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many of the seen sequences lie below each cut."""
        run = np.searchsorted(runs[:, 0], sequences, side="left") - 1
        inside = np.minimum(sequences - runs[run, 0], lengths[run])
        return np.where(run >= 0, before[run] + inside, 0)

    come = np.diff(count(begins))
    torn = begins[:-1][(come > 0) & (come < np.diff(begins))]
    run = np.searchsorted(runs[:, 0], torn, side="right") - 1
    within = (run >= 0) & (runs[run, 1] >= torn)
    return np.where(within, runs[run, 1] + 1, torn)


def merge(parts: Iterable[Arrivals]) -> Arrivals:
    """The arrivals of several instances as one: an event that two of them have seen is a duplicate.

    Exact with one exception: if a key goes back a version from one instance to the next, that
    counts as replayed, though the event may be new.
    """
    whole = Arrivals()
    for part in parts:
        _merge_counts(whole, part)
        for writer, seen in part.seen.items():
            before = whole.seen.get(writer)
            if before is not None and (both := len(before & seen)):
                total = whole.steps[writer // LANES_PER_STEP]
                total.delivered -= both
                total.duplicated += both
            whole.seen[writer] = seen if before is None else before | seen
        for writer, cuts in part.cuts.items():
            whole.cuts[writer] = whole.cuts[writer] | cuts if writer in whole.cuts else cuts
        _merge_keys(whole, part)
    return whole


def _merge_counts(whole: Arrivals, part: Arrivals) -> None:
    whole.fences |= part.fences
    whole.fenced_partitions |= part.fenced_partitions
    whole.foreign += part.foreign
    have = Counter(example.finding for example in whole.examples)
    for example in part.examples:
        if have[example.finding] < EXAMPLES:
            have[example.finding] += 1
            whole.examples.append(example)
    for step, counts in part.steps.items():
        whole.steps.setdefault(step, StepLedger()).add(counts)


def _merge_keys(whole: Arrivals, part: Arrivals) -> None:
    if not len(whole.keys) or not len(part.keys):
        whole.keys = whole.keys if len(whole.keys) else part.keys
        return
    joined = join(whole.keys, part.keys)
    whole.keys = joined.states
    for name, writers in (("replayed", joined.back), ("gap", joined.skipped)):
        for step, count in Counter((writers // LANES_PER_STEP).tolist()).items():
            total = whole.steps.setdefault(step, StepLedger())
            setattr(total, name, getattr(total, name) + count)

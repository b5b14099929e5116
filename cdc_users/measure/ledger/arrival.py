"""What has arrived at a tap, as plain data: what travels, is merged, and is audited."""

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

#: So many findings of each class are located.
EXAMPLES = 100


@dataclass(frozen=True, slots=True)
class Example:
    """One located finding: writer and sequence, the key, and where it was seen.

    Partition and position are -1, and the key is None, where the tap cannot know them: what never
    came has none.
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

    Events `delivered` for the first time and `duplicated`; new events that came after a newer
    version of their key (`reordered`), old ones that did (`replayed`), and events that left
    versions of their key out (`gap`). Of the rows whose checksum was looked at: `checked`,
    `corrupt` among them, and `uncheckable`, of which a column was not sent.
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
    """A ledger as it travels."""

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

    Seen sequences by writer, and where transactions begin; counts by step; the updated keys' last
    versions; fences by key and by the partition they came from; foreign events (of other runs, or
    without a probe); examples.
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
        """The ledger as it travels."""
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
        """By writer, the step's transactions of which some events have come and some not: each
        one's first missing.
        """
        found = {}
        for writer, cuts in self.cuts.items():
            if writer // LANES_PER_STEP == step:
                missing = _first_missing(self.seen.get(writer, SequenceSet()), cuts)
                if len(missing):
                    found[writer] = missing
        return found

    def stale(self, step: int) -> KeyStates:
        """The step's keys whose last event here was not their newest."""
        return self.keys.only(self.keys.stale() & (self.keys.writer // LANES_PER_STEP == step))

    def gaps(self, step: int) -> int:
        """How often versions of one of the step's keys were left out."""
        keys = self.keys
        first = int((keys.skipped() & (keys.writer // LANES_PER_STEP == step)).sum())
        return first + self.steps.get(step, StepLedger()).gap


def _first_missing(seen: SequenceSet, cuts: SequenceSet) -> NDArray[np.int64]:
    """The first missing sequence of each transaction that has come in part.

    Every transaction of which an event has come lies between two neighbouring cuts; between other
    cuts nothing has come at all.
    """
    begins = cuts.numbers()
    runs = seen.edges()
    if len(begins) < 2 or len(runs) == 0:
        return np.empty(0, dtype=np.int64)
    lengths = runs[:, 1] - runs[:, 0] + 1
    before = np.concatenate(([0], np.cumsum(lengths)))

    def count(sequences: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many seen sequences lie below each."""
        run = np.searchsorted(runs[:, 0], sequences, side="left") - 1
        inside = np.minimum(sequences - runs[run, 0], lengths[run])
        return np.where(run >= 0, before[run] + inside, 0)

    come = np.diff(count(begins))
    torn = begins[:-1][(come > 0) & (come < np.diff(begins))]
    run = np.searchsorted(runs[:, 0], torn, side="right") - 1
    within = (run >= 0) & (runs[run, 1] >= torn)
    return np.where(within, runs[run, 1] + 1, torn)


def merge(parts: Iterable[Arrivals]) -> Arrivals:
    """The arrivals of several instances as one: what two of them have seen is a duplicate.

    Exact for everything but one case: a key's step back from one instance to the next counts as
    replayed, though its event may be new.
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

"""What the arrivals at a tap prove about the events that writers sent, and at which tap a lost
event vanished.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from cdc_users.measure.ledger.arrival import EXAMPLES, Arrivals, Example, StepLedger
from cdc_users.measure.ledger.place import EventPlace
from cdc_users.measure.ledger.probe import LANES_PER_STEP
from cdc_users.measure.ledger.sequence import SequenceRange, SequenceSet, size
from cdc_users.measure.ledger.version import KeyStates

#: The classes that are 0 in a sound pipeline, in the order of reports.
CLASSES = (
    "lost",
    "duplicated",
    "reordered",
    "stale",
    "undeleted",
    "resurrected",
    "torn",
    "corrupt",
    "unseen",
    "unknown",
    "phantom",
)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How a writer's sequences ended at the source, as inclusive ranges."""

    acked: Sequence[SequenceRange] = ()
    failed: Sequence[SequenceRange] = ()
    unknown: Sequence[SequenceRange] = ()


@dataclass(frozen=True, slots=True)
class Audit:
    """What a tap's arrivals prove about one step.

    `lost` and `torn` are counted only when all fences were seen; until then a missing event is
    `unseen`. `stale` counts keys that ended at an older version than one that had arrived;
    `undeleted` and `resurrected` show only in the final state. `phantom` counts events whose
    transaction failed at the source, or that no writer knows. Events of an unknown outcome may
    arrive or not; `unknown` counts those that did not. `gap` and `replayed` are no classes of their
    own, because other classes cover them. `checked` and `uncheckable` say how far `corrupt` can be
    relied on. `lost_at` counts the lost events by the first tap that lacks them; `unsourced` counts
    events that the tap before never saw.
    """

    sent: int
    delivered: int
    lost: int
    duplicated: int
    reordered: int
    unseen: int
    unknown: int
    phantom: int
    stale: int = 0
    undeleted: int = 0
    resurrected: int = 0
    torn: int = 0
    corrupt: int = 0
    gap: int = 0
    replayed: int = 0
    checked: int = 0
    uncheckable: int = 0
    unsourced: int = 0
    lost_at: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()

    @property
    def findings(self) -> dict[str, int]:
        """The classes with a count above 0."""
        return {name: getattr(self, name) for name in CLASSES if getattr(self, name)}

    @property
    def clean(self) -> bool:
        """Whether every event sent has arrived exactly once, whole and in order."""
        return not self.findings


def audit(
    step: int, outcomes: Mapping[int, Outcomes], arrivals: Arrivals, *, fenced: bool
) -> Audit:
    """Compare what one step's writers sent with what arrived."""
    return audit_taps(step, outcomes, {"": arrivals}, fenced=fenced)[""]


def audit_taps(
    step: int,
    outcomes: Mapping[int, Outcomes],
    taps: Mapping[str, Arrivals],
    *,
    fenced: bool | Mapping[str, bool],
    beside: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> dict[str, Audit]:
    """Audit a step at all taps, in the order in which events pass them.

    `beside` names, by tap, earlier taps that its events do not pass. A tap that sees a table's rows
    and not every event is not among them: a later version may have replaced what it did not see.
    """
    earlier: dict[str, Arrivals] = {}
    audits = {}
    for name, arrivals in taps.items():
        complete = fenced if isinstance(fenced, bool) else fenced.get(name, False)
        passed = {
            other: seen for other, seen in earlier.items() if other not in beside.get(name, ())
        }
        audits[name] = _audit(step, outcomes, _Looked(name, arrivals, passed, complete))
        earlier[name] = arrivals
    return audits


#: Events that a tap lacks although an earlier tap may have seen them.
_LACKING = ("lost", "unseen", "torn")


def lacked(audit: Audit, tap: str) -> list[tuple[int, int]]:
    """The examples (writer and sequence) of events that this tap is the first to miss."""
    return [
        (example.writer, example.sequence)
        for example in audit.examples
        if example.finding in _LACKING and example.position < 0 and example.tap in ("", tap)
    ]


def located(audit: Audit, places: Iterable[EventPlace]) -> Audit:
    """The audit, with the places at which an earlier tap saw its missing events."""
    known = {(place.writer, place.sequence): place for place in places}
    return replace(audit, examples=tuple(_placed(one, known) for one in audit.examples))


def _placed(example: Example, known: Mapping[tuple[int, int], EventPlace]) -> Example:
    place = known.get((example.writer, example.sequence))
    if place is None or example.finding not in _LACKING:
        return example
    return replace(example, partition=place.partition, position=place.position, key=place.key)


@dataclass(slots=True)
class _Tally:
    """Sums over the writers of a step."""

    sent: int = 0
    missing: int = 0
    unknown: int = 0
    phantom: int = 0
    unsourced: int = 0
    lost_at: dict[str, int] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)

    def locate(self, finding: str, writer: int, sequences: SequenceSet, tap: str) -> None:
        """Keep the first few as examples."""
        room = EXAMPLES - sum(example.finding == finding for example in self.examples)
        self.examples += [
            Example(finding, writer, sequence, tap=tap)
            for sequence in sequences.first(max(0, room))
        ]


@dataclass(frozen=True, slots=True)
class _Looked:
    """A tap with its arrivals, and with the arrivals of all taps before it."""

    tap: str
    arrivals: Arrivals
    earlier: Mapping[str, Arrivals]
    fenced: bool


def _audit(step: int, outcomes: Mapping[int, Outcomes], looked: _Looked) -> Audit:
    tally = _Tally()
    tap, arrivals, earlier, fenced = looked.tap, looked.arrivals, looked.earlier, looked.fenced
    word = "lost" if fenced else "unseen"
    writers = {writer for writer in {*outcomes, *arrivals.seen} if writer // LANES_PER_STEP == step}
    for writer in sorted(writers):
        outcome = outcomes.get(writer, Outcomes())
        seen = arrivals.seen.get(writer, SequenceSet())
        acked = SequenceSet.of(outcome.acked)
        tally.sent += size(outcome.acked)
        unknown = SequenceSet.of(outcome.unknown)
        tally.unknown += len(unknown - seen)
        _missing(tally, word, writer, acked - seen, {**earlier, tap: arrivals})
        phantom = seen - acked - unknown
        tally.phantom += len(phantom)
        tally.locate("phantom", writer, phantom, tap)
        for before in list(earlier.values())[-1:]:
            tally.unsourced += len(seen - before.seen.get(writer, SequenceSet()))
    counts = arrivals.steps.get(step, StepLedger())
    stale = arrivals.stale(step)
    torn = arrivals.torn(step) if fenced else {}
    located = [example for example in arrivals.examples if example.writer // LANES_PER_STEP == step]
    located += _stale_examples(stale) + _torn_examples(torn)
    return Audit(
        sent=tally.sent,
        delivered=counts.delivered,
        lost=tally.missing if fenced else 0,
        duplicated=counts.duplicated,
        reordered=counts.reordered,
        unseen=0 if fenced else tally.missing,
        unknown=tally.unknown,
        phantom=tally.phantom,
        stale=len(stale),
        torn=sum(map(len, torn.values())),
        corrupt=counts.corrupt,
        gap=arrivals.gaps(step),
        replayed=counts.replayed,
        checked=counts.checked,
        uncheckable=counts.uncheckable,
        unsourced=tally.unsourced,
        lost_at=tally.lost_at,
        examples=(*tally.examples, *(replace(example, tap=tap) for example in located)),
    )


def _stale_examples(stale: KeyStates) -> list[Example]:
    """A stale key is located by writer and key; the event that left it stale is not known."""
    rows = zip(stale.writer[:EXAMPLES].tolist(), stale.key[:EXAMPLES].tolist(), strict=True)
    return [Example("stale", writer, -1, key=key) for writer, key in rows]


def _torn_examples(torn: Mapping[int, NDArray[np.int64]]) -> list[Example]:
    """A torn transaction is located by the first of its sequences that is missing."""
    every = (
        Example("torn", writer, sequence)
        for writer, missing in torn.items()
        for sequence in missing.tolist()
    )
    return list(islice(every, EXAMPLES))


def _missing(
    tally: _Tally, word: str, writer: int, gone: SequenceSet, taps: Mapping[str, Arrivals]
) -> None:
    """Count missing events by the first tap that lacks them."""
    tally.missing += len(gone)
    for name, arrivals in taps.items():
        if not gone.full and not gone.open:
            return
        seen = arrivals.seen.get(writer, SequenceSet())
        here = gone - seen
        if count := len(here):
            tally.lost_at[name] = tally.lost_at.get(name, 0) + count
            tally.locate(word, writer, here, name)
        gone = gone & seen

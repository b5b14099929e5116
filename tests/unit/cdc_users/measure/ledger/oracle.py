"""The ledger by brute force: dictionaries, one event at a time, nothing clever."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from cdc_users.measure.ledger.probe import LANES_PER_STEP, Probe


@dataclass(frozen=True, slots=True)
class Event:
    """A probe that arrived, with its key, and whether it came as a delete event."""

    probe: Probe
    key: int
    deleted: bool = False

    @property
    def sequence(self) -> int:
        """A delete event carries the probe of the stamp before it."""
        return self.probe.sequence + self.deleted

    @property
    def version(self) -> int:
        return self.probe.key_version + self.deleted


@dataclass(slots=True)
class Oracle:
    """What a ledger must say after the same events."""

    delivered: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    duplicated: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    reordered: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    replayed: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    gaps: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    seen: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    parts: dict[tuple[int, int], tuple[int, set[int]]] = field(default_factory=dict)
    last: dict[int, int] = field(default_factory=dict)
    high: dict[int, int] = field(default_factory=dict)
    owner: dict[int, int] = field(default_factory=dict)

    def observe(self, events: Sequence[Event]) -> Oracle:
        for event in events:
            self._observe(event)
        return self

    def _observe(self, event: Event) -> None:
        writer = event.probe.writer
        step = writer // LANES_PER_STEP
        again = event.sequence in self.seen[writer]
        self.seen[writer].add(event.sequence)
        (self.duplicated if again else self.delivered)[step] += 1
        place = (writer, event.probe.transaction)
        self.parts.setdefault(place, (event.probe.size, set()))[1].add(event.sequence)
        last, high = self.last.get(event.key, 0), self.high.get(event.key, 0)
        if event.version < last:
            (self.replayed if again else self.reordered)[step] += 1
        if event.version > max(high, 1) + 1:
            self.gaps[step] += 1
        self.last[event.key] = event.version
        self.high[event.key] = max(high, event.version)
        self.owner[event.key] = step

    def torn(self, step: int) -> int:
        return sum(
            len(come) < size
            for (writer, _), (size, come) in self.parts.items()
            if writer // LANES_PER_STEP == step
        )

    def stale(self, step: int) -> set[int]:
        return {
            key
            for key, last in self.last.items()
            if last < self.high[key] and self.owner[key] == step
        }

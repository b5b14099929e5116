"""Where a tap saw events, so that an event lost behind this tap can be looked up there. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: How many events are remembered, the first of a run, at 32 bytes each; examples are early too.
MOST = 2_000_000
#: A writer and its sequence in one number: of 7 and of 10 digits (probe.py).
_SEQUENCE_BITS = 36


class EventPlace(NamedTuple):
    """One event and where it was seen: partition, position there, and its key."""

    writer: int
    sequence: int
    partition: int
    position: int
    key: int


@dataclass(slots=True)
class EventPlaces:
    """The places of events in the order in which they came. Not safe for several threads."""

    most: int = MOST
    _held: int = 0
    _chunks: list[tuple[NDArray[np.int64], ...]] = field(default_factory=list)

    def remember(
        self,
        events: tuple[NDArray[np.int64], NDArray[np.int64]],
        partition: int,
        positions: NDArray[np.int64],
        keys: NDArray[np.int64],
    ) -> None:
        """Remember events of one partition by writer and sequence; nothing once the memory
        is full.
        """
        if self._held >= self.most:
            return
        writers, sequences = (part.astype(np.int64) for part in events)
        names = (writers << _SEQUENCE_BITS) | sequences
        whole = np.full(len(names), partition, dtype=np.int64)
        self._chunks.append((names, whole, positions.copy(), keys.copy()))
        self._held += len(names)

    def find(self, events: Iterable[tuple[int, int]]) -> list[EventPlace]:
        """Where these events (writer, sequence) were seen first; forgotten ones are left out."""
        wanted = {
            (writer << _SEQUENCE_BITS) | sequence: (writer, sequence) for writer, sequence in events
        }
        found: dict[int, EventPlace] = {}
        asked = np.array(list(wanted), dtype=np.int64)
        for names, *columns in self._chunks:
            for row in np.flatnonzero(np.isin(names, asked)).tolist():
                name = int(names[row])
                place = (int(column[row]) for column in columns)
                found.setdefault(name, EventPlace(*wanted[name], *place))
        return list(found.values())

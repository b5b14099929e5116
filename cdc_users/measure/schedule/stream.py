"""One process's arrivals in the order in which they are taken: the moving part beside the pure
schedule.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cdc_users.measure.schedule.plan import CHUNK, Schedule, SchedulePart


class ArrivalStream:
    """The offsets of a process's parts. The caller looks at the next one, or takes many that are
    due.

    Holds some thousand offsets at a time, whatever the length of the schedule.
    """

    def __init__(self, schedule: Schedule, parts: Sequence[SchedulePart]) -> None:
        self._parts = tuple(parts)
        self._selected = [part.select(schedule) for part in parts]
        self.count = sum(selected.count for selected in self._selected)
        self.taken = 0
        self._fill()

    def _fill(self) -> None:
        """Load the offsets that follow the taken ones."""
        start, chunk = self.taken, np.zeros(0, np.int64)
        for selected in self._selected:
            if start < selected.count:
                chunk = selected.slice_ns(start, min(start + CHUNK, selected.count))
                break
            start -= selected.count
        self._chunk: NDArray[np.int64] = chunk
        # Single lanes read Python integers: reading numpy's one by one is slower.
        self._list: list[int] = chunk.tolist()
        self._at = 0

    def peek_ns(self) -> int | None:
        """The next arrival's offset; None at the end."""
        return self._list[self._at] if self._at < len(self._list) else None

    def take(self, count: int = 1) -> None:
        """Take this many arrivals; no more than `due_ns` or `peek_ns` has shown."""
        self._at += count
        self.taken += count
        if self._at >= len(self._list):
            self._fill()

    def due_ns(self, offset_ns: int, limit: int) -> NDArray[np.int64]:
        """The next arrivals that are due at an offset: `limit` at most, and possibly fewer than are
        due. None is taken.
        """
        end = int(np.searchsorted(self._chunk, offset_ns, side="right"))
        return self._chunk[self._at : max(self._at, min(end, self._at + limit))]

    def changed(self, schedule: Schedule, parts: Sequence[SchedulePart]) -> ArrivalStream:
        """The stream with other parts, from its present position.

        If a part now ends before the position that was reached, the arrivals that were taken stay
        taken. Then more are started than offered, which the conservation of arrivals shows.
        """
        stream = ArrivalStream(schedule, parts)
        mine = {(part.begin, part.index, part.of) for part in self._parts}
        kept = sum(
            selected.count
            for part, selected in zip(stream._parts, stream._selected, strict=True)
            if (part.begin, part.index, part.of) in mine
        )
        stream.taken = min(self.taken, kept)
        stream._fill()
        return stream

"""A batch of change events of one partition, by columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infra.schemas.envelope import Envelope


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of one partition in their order; all columns have the same length.

    `values` are the messages as they came, for sinks that need whole rows. Times are wall microseconds: `appended_us`
    as the broker took the event (to the millisecond), `polled_us` as this process took the batch.
    """

    topic: str
    partition: int
    events: Sequence[Envelope]
    values: Sequence[bytes]
    keys: NDArray[np.int64]
    offsets: NDArray[np.int64]
    appended_us: NDArray[np.int64]
    polled_us: int

    def __len__(self) -> int:
        return len(self.events)

    @property
    def bytes(self) -> int:
        """Size of the messages' values."""
        return sum(map(len, self.values))

    def split(self, size: int) -> tuple[Batch, Batch]:
        """The first `size` events, and the rest."""
        return self._part(slice(0, size)), self._part(slice(size, len(self)))

    def _part(self, part: slice) -> Batch:
        return Batch(
            self.topic,
            self.partition,
            self.events[part],
            self.values[part],
            self.keys[part],
            self.offsets[part],
            self.appended_us[part],
            self.polled_us,
        )

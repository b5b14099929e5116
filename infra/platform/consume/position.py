"""How far each partition is: accepted by the sink, durable there, and committed to Kafka."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from infra.platform.sinks.batch import Partition
from infra.platform.sinks.connector import WriteStatus


class Positions:
    """The next offset of each partition in three degrees of certainty; none ever overtakes the
    previous degree.
    """

    def __init__(self) -> None:
        #: Partitions that have begun and were not forgotten: a write that ends later has nothing to
        #: say of a position, which may be another topic's by then.
        self._begun: set[Partition] = set()
        self.accepted: dict[Partition, int] = {}
        self.durable: dict[Partition, int] = {}
        self.committed: dict[Partition, int] = {}
        #: Behind the last event that the sink has taken (dead letters and tombstones are not in its
        #: books), and how far of this is durable.
        self.wrote: dict[Partition, int] = {}
        self.booked: dict[Partition, int] = {}

    def begin(self, place: Partition, offset: int | None, booked: int | None = None) -> None:
        """A partition was assigned; it starts at this offset, or at None if its group has none yet.
        The sink's own books have it at `booked`.
        """
        self.forget(place)
        self._begun.add(place)
        if offset is not None:
            self.durable[place] = self.committed[place] = offset
        if booked is not None:
            self.wrote[place] = self.booked[place] = booked

    def forget(self, place: Partition) -> None:
        """A partition was taken away."""
        self._begun.discard(place)
        for known in (self.accepted, self.durable, self.committed, self.wrote, self.booked):
            known.pop(place, None)

    def note(self, place: Partition, end: int, status: WriteStatus) -> None:
        """Everything before `end` was written; behind events that are only accepted, nothing counts
        as durable.
        """
        if place not in self._begun:
            return
        if status is WriteStatus.DURABLE and place not in self.accepted:
            self.durable[place] = end
            if place in self.wrote:
                self.booked[place] = self.wrote[place]
        else:
            self.accepted[place] = end

    def flushed(self, before: Mapping[Partition, int], wrote: Mapping[Partition, int]) -> None:
        """Everything that was accepted when a flush began is durable now."""
        for place, end in before.items():
            if place in self.accepted:
                self.durable[place] = end
                if place in wrote:
                    self.booked[place] = wrote[place]
                if self.accepted[place] == end:
                    del self.accepted[place]

    def fresh(self, places: Iterable[Partition]) -> dict[Partition, int]:
        """The durable offsets of these partitions that are not committed yet."""
        return {
            place: self.durable[place]
            for place in places
            if place in self.durable and self.durable[place] > self.committed.get(place, -1)
        }

    def commit(self, done: Mapping[Partition, int]) -> None:
        """These offsets have been committed."""
        for place, end in done.items():
            if place in self.durable:
                self.committed[place] = max(end, self.committed.get(place, -1))

"""The bounded memory between Kafka and the sink: one queue a partition, one bound over all of them."""

from __future__ import annotations

import asyncio
from collections import deque

from infra.platform.batch import Batch


class BoundError(AssertionError):
    """More was taken in than the bound allows: a mistake in the consumer, never an answer to load."""


class PartitionQueue:
    """Batches of one partition that wait for its worker, oldest first."""

    def __init__(self) -> None:
        self.batches: deque[Batch] = deque()
        self.depth = 0
        self.in_flight = 0
        self.paused = False
        self.changed = asyncio.Event()

    def put(self, batch: Batch) -> None:
        """Add a batch at the end."""
        self.batches.append(batch)
        self.depth += len(batch)
        self.changed.set()

    def take(self, limit: int) -> Batch | None:
        """The oldest events, at most `limit` of one batch; they are in flight until `finish`."""
        if not self.batches:
            return None
        batch = self.batches.popleft()
        if len(batch) > limit:
            batch, rest = batch.split(limit)
            self.batches.appendleft(rest)
        self.depth -= len(batch)
        self.in_flight = len(batch)
        return batch

    def finish(self) -> None:
        """The batch in flight is done with."""
        self.in_flight = 0
        self.changed.set()

    def clear(self) -> None:
        """Forget what waits; what is in flight stays so."""
        self.batches.clear()
        self.depth = 0


class Buffer:
    """All partitions' queues under one bound, batches in flight included."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.queues: dict[tuple[str, int], PartitionQueue] = {}
        self.high_water = 0

    @property
    def depth(self) -> int:
        """Events that wait, over all partitions."""
        return sum(queue.depth for queue in self.queues.values())

    @property
    def in_flight(self) -> int:
        """Events that are being written."""
        return sum(queue.in_flight for queue in self.queues.values())

    @property
    def free(self) -> int:
        """How many events may still come in."""
        return self.limit - self.depth - self.in_flight

    @property
    def share(self) -> int:
        """The events at which one partition has had enough, so that it cannot take the others' room."""
        return max(1, self.limit // max(1, len(self.queues)))

    def put(self, batch: Batch) -> None:
        """Take in a batch; checks the bound every time and keeps the high-water mark."""
        self.queues[batch.topic, batch.partition].put(batch)
        held = self.depth + self.in_flight
        self.high_water = max(self.high_water, held)
        if held > self.limit:
            raise BoundError(f"{held} events are held, the bound is {self.limit}")

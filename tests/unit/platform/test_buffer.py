"""The buffer's bound holds at every put; order within a partition survives splitting."""

from __future__ import annotations

import numpy as np
import pytest

from infra.platform.batch import Batch
from infra.platform.buffer import BoundError, Buffer, PartitionQueue
from infra.schemas.envelope import Envelope


def batch(size: int, partition: int = 0, first: int = 0) -> Batch:
    numbers = np.arange(first, first + size, dtype=np.int64)
    event = Envelope(b"c", None, 0)
    return Batch("t", partition, [event] * size, [b""] * size, numbers, numbers, numbers, 0)


def buffer(limit: int, partitions: int = 1) -> Buffer:
    made = Buffer(limit)
    made.queues = {("t", number): PartitionQueue() for number in range(partitions)}
    return made


async def test_the_bound_counts_what_is_in_flight() -> None:
    held = buffer(10)
    held.put(batch(6))
    held.queues["t", 0].take(6)
    assert held.free == 4

    held.put(batch(4, first=6))

    assert held.high_water == 10
    with pytest.raises(BoundError, match="11 events"):
        held.put(batch(1, first=10))


async def test_taking_less_than_a_batch_keeps_the_order() -> None:
    queue = PartitionQueue()
    queue.put(batch(5))
    queue.put(batch(2, first=5))

    taken = []
    while (part := queue.take(2)) is not None:
        taken += part.offsets.tolist()
        queue.finish()

    assert taken == [0, 1, 2, 3, 4, 5, 6]
    assert queue.depth == 0


async def test_a_partition_has_its_share_of_the_room() -> None:
    assert buffer(100, partitions=4).share == 25

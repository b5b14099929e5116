"""The buffer's bound holds at every put; order within a partition survives taking parts."""

from __future__ import annotations

import pytest

from infra.platform.batch import Chunk
from infra.platform.buffer import BoundError, Buffer, PartitionQueue

PLACE = ("t", 0)


def chunk(size: int, first: int = 0) -> Chunk:
    numbers = range(first, first + size)
    return Chunk([b""] * size, [b""] * size, list(numbers), [0] * size, [0] * size)


def buffer(limit: int, partitions: int = 1) -> Buffer:
    made = Buffer(limit)
    made.queues = {("t", number): PartitionQueue() for number in range(partitions)}
    return made


async def test_the_bound_counts_what_is_in_flight() -> None:
    held = buffer(10)
    held.put(PLACE, chunk(6))
    held.queues[PLACE].take(6)
    assert held.free == 4

    held.put(PLACE, chunk(4, first=6))

    assert held.high_water == 10
    with pytest.raises(BoundError, match="11 events"):
        held.put(PLACE, chunk(1, first=10))


async def test_taking_less_or_more_than_was_put_at_once_keeps_the_order() -> None:
    queue = PartitionQueue()
    queue.put(chunk(5))
    queue.put(chunk(2, first=5))
    queue.put(chunk(2, first=7))

    taken = []
    while (part := queue.take(4)) is not None:
        taken.append(list(part.offsets))
        queue.finish()

    assert taken == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
    assert queue.depth == 0


async def test_a_partition_has_its_share_of_the_room() -> None:
    assert buffer(100, partitions=4).share == 25


async def test_a_partition_that_has_used_its_share_should_rest_until_half_is_worked_off() -> None:
    held = buffer(100, partitions=2)
    queue = held.queues[PLACE]
    held.put(PLACE, chunk(50))

    assert held.full(room=10) == [PLACE]
    queue.paused = True
    assert held.full(room=10) == []
    assert held.ready(room=10) == []
    queue.take(25)
    queue.finish()
    assert held.ready(room=10) == [PLACE]


async def test_all_partitions_should_rest_when_there_is_no_room_for_a_batch() -> None:
    held = buffer(100, partitions=2)
    held.put(PLACE, chunk(95))

    assert held.full(room=10) == [("t", 0), ("t", 1)]

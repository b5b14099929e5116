"""The buffer's bound holds at every put; order within a partition survives taking parts."""

from __future__ import annotations

import pytest

from infra.platform.consume.buffer import BoundError, Buffer, PartitionQueue
from infra.platform.sinks.batch import Chunk

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
    held.queues[PLACE].begin(6)
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
    while (part := queue.take(4, batch_size=4)) is not None:
        taken.append(list(part.offsets))

    assert taken == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]


async def test_several_batches_are_taken_whole_so_that_no_small_one_is_written() -> None:
    queue = PartitionQueue()
    queue.put(chunk(27))

    sizes = [len(part) for _ in range(3) if (part := queue.take(20, batch_size=5)) is not None]

    assert sizes == [20, 5, 2]


async def test_what_was_taken_waits_until_it_begins_and_does_not_begin_once_closed() -> None:
    queue = PartitionQueue()
    queue.put(chunk(9))
    queue.take(8, batch_size=4)
    assert (queue.depth, queue.in_flight) == (9, 0)

    queue.begin(4)
    assert (queue.depth, queue.in_flight) == (5, 4)
    assert not queue.resting.is_set()
    queue.close()
    assert (queue.depth, queue.in_flight) == (0, 4)
    queue.finish()

    assert queue.resting.is_set()
    assert queue.empty.is_set()
    assert queue.closed


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
    queue.take(25, batch_size=25)
    queue.begin(25)
    queue.finish()
    assert held.ready(room=10) == [PLACE]


async def test_all_partitions_should_rest_when_there_is_no_room_for_a_batch() -> None:
    held = buffer(100, partitions=2)
    held.put(PLACE, chunk(95))

    assert held.full(room=10) == [("t", 0), ("t", 1)]


async def test_where_workers_are_slow_no_partition_takes_more_than_its_share() -> None:
    held = buffer(100, partitions=4)
    held.quick = False
    assert held.poll_size(1000) == 6

    held.put(PLACE, chunk(19))
    assert held.full(room=10) == []
    held.put(PLACE, chunk(6, first=19))

    assert held.full(room=10) == [PLACE]
    assert held.queues[PLACE].depth <= held.share


async def test_a_share_of_a_few_events_is_kept_too_where_workers_are_slow() -> None:
    held = buffer(8, partitions=4)
    held.quick = False
    held.put(PLACE, chunk(2))

    assert held.full(room=1) == [PLACE]


async def test_where_workers_are_quick_all_that_fits_is_taken_at_once() -> None:
    held = buffer(100, partitions=4)
    held.put(PLACE, chunk(30))

    assert held.poll_size(1000) == 70


async def test_a_peak_is_told_once_and_the_next_begins_with_what_is_held() -> None:
    held = buffer(10)
    held.put(PLACE, chunk(8))
    held.queues[PLACE].begin(6)
    held.queues[PLACE].finish()

    assert [held.peak(), held.peak()] == [8, 2]
    assert held.high_water == 8

    held.put(PLACE, chunk(3, first=8))
    assert held.peak() == 5


def heavy(size: int, message_bytes: int, first: int = 0) -> Chunk:
    plain = chunk(size, first)
    return Chunk(
        [bytes(message_bytes)] * size,
        plain.keys,
        plain.offsets,
        plain.appended_us,
        plain.polled_us,
    )


async def test_a_partition_whose_share_of_bytes_is_full_is_paused() -> None:
    held = Buffer(10_000, limit_bytes=1_000)
    held.queues = {("t", number): PartitionQueue() for number in range(2)}

    held.put(PLACE, heavy(4, 100))
    assert held.full(room=1) == []
    held.put(PLACE, heavy(1, 100, first=4))
    assert held.full(room=1) == [PLACE]

    held.queues[PLACE].paused = True
    assert held.ready(room=1) == []
    assert held.queues[PLACE].take(3, batch_size=1) is not None
    assert held.ready(room=1) == []
    assert held.queues[PLACE].take(2, batch_size=1) is not None
    assert held.ready(room=1) == [PLACE]


async def test_all_partitions_rest_when_all_bytes_are_held_and_what_is_written_counts() -> None:
    held = Buffer(10_000, limit_bytes=1_000)
    held.queues = {("t", number): PartitionQueue() for number in range(2)}
    held.put(PLACE, heavy(11, 100))
    assert held.queues[PLACE].take(100, batch_size=1) is not None

    assert held.bytes == 1_100
    assert set(held.full(room=1)) == {("t", 0), ("t", 1)}
    held.queues[PLACE].begin(11)
    held.queues[PLACE].finish()
    assert held.queues[PLACE].take(100, batch_size=1) is None
    assert held.bytes == 0
    assert held.high_water_bytes == 1_100


async def test_no_more_bytes_are_taken_at_once_than_a_batch_may_have() -> None:
    queue = PartitionQueue()
    queue.put(heavy(50, 100))
    queue.put(heavy(1, 5_000, first=50))
    queue.put(heavy(49, 100, first=51))

    taken = []
    while (part := queue.take(1_000, batch_size=500, most_bytes=1_000)) is not None:
        assert part.bytes <= 1_000 or len(part) == 1
        taken += list(part.offsets)

    assert taken == list(range(100))
    assert queue.bytes == 0


async def test_tombstones_weigh_nothing() -> None:
    queue = PartitionQueue()
    queue.put(Chunk([None, b"1234", None], [b""] * 3, [0, 1, 2], [0] * 3, [0] * 3))

    assert queue.bytes == 4
    part = queue.take(10, batch_size=10, most_bytes=1)
    assert part is not None
    assert list(part.offsets) == [0]


async def test_a_queue_that_is_closed_holds_no_bytes_but_what_is_written() -> None:
    queue = PartitionQueue()
    queue.put(heavy(10, 100))
    assert queue.take(4, batch_size=4) is not None
    queue.close()

    assert queue.bytes == 400


async def test_a_partition_that_is_closed_rests_once_and_never_goes_on() -> None:
    held = buffer(100, partitions=2)
    closed = held.queues[PLACE]
    closed.close()
    assert held.full(10) == [PLACE]

    closed.paused = True

    assert held.full(10) == held.ready(10) == []
    assert not held.resting


async def test_partitions_rest_as_long_as_one_is_paused_that_will_go_on() -> None:
    held = buffer(100, partitions=2)
    assert not held.resting

    held.queues["t", 1].paused = True

    assert held.resting


async def test_what_is_in_flight_of_a_closed_queue_still_counts_until_it_is_done() -> None:
    held = buffer(10)
    held.put(PLACE, chunk(6))
    queue = held.queues[PLACE]
    queue.take(4, 4)
    queue.begin(4)
    queue.close()
    assert (held.free, queue.resting.is_set(), queue.empty.is_set()) == (6, False, False)

    queue.finish()

    assert (held.free, queue.resting.is_set(), queue.empty.is_set()) == (10, True, True)


async def test_a_queue_that_nobody_works_on_any_more_holds_nothing() -> None:
    held = buffer(10)
    size = 6
    held.put(PLACE, Chunk([b"four"] * size, [b""] * size, list(range(size)), [0] * 6, [0] * 6))
    queue = held.queues[PLACE]
    queue.take(4, 4)
    queue.begin(4)
    queue.stop()

    assert (held.free, held.bytes, held.depth, held.in_flight) == (10, 0, 0, 0)
    assert queue.closed
    assert queue.empty.is_set()
    assert queue.take(4, 4) is None


@pytest.mark.parametrize(
    ("waiting", "limit", "batch", "taken"),
    [
        (1, 250, 10, 1),
        (9, 250, 10, 9),
        (10, 250, 10, 10),
        (11, 250, 10, 10),
        (19, 250, 10, 10),
        (20, 250, 10, 20),
        (25, 20, 10, 20),
        (5, 3, 1, 3),
        (600, 250, 100, 200),  # the limit is no multiple of the batch
        (250, 250, 100, 200),
        (199, 250, 100, 100),
        (99, 250, 100, 99),
    ],
)
async def test_whole_batches_are_taken_where_more_than_one_waits(
    waiting: int, limit: int, batch: int, taken: int
) -> None:
    queue = PartitionQueue()
    queue.put(chunk(waiting))

    found = queue.take(limit, batch)

    assert found is not None
    assert list(found.offsets) == list(range(taken))
    assert queue.filled.is_set() is (taken < waiting)


@pytest.mark.parametrize(
    ("sizes", "most", "taken"),
    [
        ([4, 4, 4], 12, 3),
        ([4, 4, 4], 11, 2),
        ([4, 4, 4], 8, 2),
        ([9, 1], 8, 1),
        ([4, 9], 8, 1),
        ([0, 0, 9], 8, 2),
    ],
)
@pytest.mark.parametrize("apart", [True, False])
async def test_bytes_of_a_write_reach_their_bound_exactly(
    sizes: list[int], most: int, taken: int, apart: bool
) -> None:
    queue = PartitionQueue()
    whole = Chunk(
        [b"x" * size for size in sizes],
        [b""] * len(sizes),
        list(range(len(sizes))),
        [0] * len(sizes),
        [0] * len(sizes),
    )
    for part in [whole[row : row + 1] for row in range(len(sizes))] if apart else [whole]:
        queue.put(part)

    found = queue.take(100, 1, most)

    assert found is not None
    assert len(found) == taken
    assert queue.bytes == sum(sizes)
    assert queue.taken_bytes == sum(sizes[:taken])

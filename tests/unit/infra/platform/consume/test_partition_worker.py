"""One worker a partition: in order, its failure its own, its end within a limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from infra.platform.consume import partition_worker
from infra.platform.consume.broker import ConsumerSettings
from infra.platform.consume.buffer import Buffer
from infra.platform.consume.partition_worker import PartitionWorkers, end_tasks
from infra.platform.process.error import ConfigError
from infra.platform.sinks.batch import Chunk, Partition

END_S = 60.0
ONE, OTHER = ("t", 0), ("t", 1)


@dataclass
class Deliveries:
    """Delivers chunks of two at a time; `gates` hold up partitions, `errors` end them."""

    delivered: list[tuple[Partition, list[int]]] = field(default_factory=list)
    under_way: set[Partition] = field(default_factory=set)
    gates: dict[Partition, asyncio.Event] = field(default_factory=dict)
    errors: dict[Partition, Exception] = field(default_factory=dict)

    async def read(self, place: Partition, chunk: Chunk, _: int) -> list[tuple[Any, int]]:
        offsets = list(chunk.offsets)
        parts = [offsets[first : first + 2] for first in range(0, len(offsets), 2)]
        return [((place, part), len(part)) for part in parts]

    async def deliver(self, item: Any) -> None:
        place, offsets = item
        self.under_way.add(place)
        if place in self.gates:
            await self.gates[place].wait()
        if place in self.errors:
            raise self.errors[place]
        self.delivered.append((place, offsets))


@dataclass
class Room:
    """Workers with what they work on."""

    buffer: Buffer
    deliveries: Deliveries
    workers: PartitionWorkers
    failed: list[tuple[Partition, Exception]]

    def put(self, place: Partition, offsets: Sequence[int]) -> None:
        values = [b"x"] * len(offsets)
        times = [0] * len(offsets)
        self.buffer.put(place, Chunk(values, values, offsets, times, times))


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    settings = ConsumerSettings("", "g", ("t",), 2, 1000)
    buffer, deliveries = Buffer(1000), Deliveries()
    failed: list[tuple[Partition, Exception]] = []
    workers = PartitionWorkers(
        settings, buffer, cast(Any, deliveries), lambda *what: failed.append(what)
    )
    yield Room(buffer, deliveries, workers, failed)
    await workers.end()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(END_S):
        while not condition():
            await asyncio.sleep(0)


async def test_a_partition_is_worked_off_in_order_a_batch_at_a_time(room: Room) -> None:
    room.workers.start(ONE, held=False)
    room.put(ONE, range(5))

    async with asyncio.timeout(END_S):
        await room.workers.drain()

    assert room.deliveries.delivered == [(ONE, [0, 1]), (ONE, [2, 3]), (ONE, [4])]
    assert room.buffer.queues[ONE].depth == room.buffer.queues[ONE].in_flight == 0


@pytest.mark.parametrize("held", [True, False])
async def test_a_partition_begins_paused_where_it_is_held(room: Room, held: bool) -> None:
    room.workers.start(ONE, held=held)

    assert room.buffer.queues[ONE].paused is held


@pytest.mark.parametrize("error", [ValueError("odd"), ConfigError("no column x")])
async def test_what_a_sink_raises_stops_its_partition_and_no_other(
    room: Room, error: Exception
) -> None:
    room.deliveries.errors[ONE] = error
    for place in (ONE, OTHER):
        room.workers.start(place, held=False)
        room.put(place, [0, 1])

    async with asyncio.timeout(END_S):
        await room.workers.drain()

    assert room.failed == [(ONE, error)]
    assert room.deliveries.delivered == [(OTHER, [0, 1])]


async def test_a_stopped_partition_takes_no_room_from_those_that_go_on(room: Room) -> None:
    """A batch may be as large as the bound: then any event that is held would hold up all."""
    room.buffer.limit = limit = 4
    room.deliveries.errors[ONE] = ValueError("odd")
    for place in (ONE, OTHER):
        room.workers.start(place, held=False)
    room.put(ONE, range(4))
    await until(lambda: bool(room.failed))
    for queue in room.buffer.queues.values():
        queue.paused = True

    assert (room.buffer.free, room.buffer.bytes) == (limit, 0)
    assert room.buffer.ready(limit) == [OTHER]


async def test_a_stopped_partition_can_be_taken_away(room: Room) -> None:
    room.deliveries.errors[ONE] = ValueError("odd")
    room.workers.start(ONE, held=False)
    room.put(ONE, range(4))
    await until(lambda: bool(room.failed))

    await asyncio.wait_for(room.workers.release([ONE]), END_S)

    assert room.buffer.queues == {}
    assert len(room.failed) == 1


async def test_a_batch_behind_one_that_was_refused_is_not_written(room: Room) -> None:
    room.deliveries.errors[ONE] = ValueError("odd")
    room.workers.start(ONE, held=False)
    room.put(ONE, [0, 1, 2])
    await until(lambda: bool(room.failed))
    del room.deliveries.errors[ONE]

    async with asyncio.timeout(END_S):
        await room.workers.drain()

    assert room.deliveries.delivered == []
    assert len(room.failed) == 1


async def test_a_partition_that_comes_back_begins_with_an_empty_queue(room: Room) -> None:
    gate = room.deliveries.gates[ONE] = asyncio.Event()
    room.workers.start(ONE, held=False)
    room.put(ONE, range(4))
    await until(lambda: ONE in room.deliveries.under_way)
    going = asyncio.create_task(room.workers.release([ONE]))
    await until(lambda: room.buffer.queues[ONE].closed)
    gate.set()
    await asyncio.wait_for(going, END_S)

    room.workers.start(ONE, held=False)
    room.put(ONE, [2, 3])
    async with asyncio.timeout(END_S):
        await room.workers.drain()

    assert room.deliveries.delivered == [(ONE, [0, 1]), (ONE, [2, 3])]


async def test_a_partition_that_goes_finishes_what_is_in_flight_and_forgets_the_rest(
    room: Room,
) -> None:
    gate = room.deliveries.gates[ONE] = asyncio.Event()
    room.workers.start(ONE, held=False)
    room.workers.start(OTHER, held=False)
    room.put(ONE, range(4))
    await until(lambda: ONE in room.deliveries.under_way)

    going = asyncio.create_task(room.workers.release([ONE, ("never", 7)]))
    await until(lambda: room.buffer.queues[ONE].closed)
    gate.set()
    await asyncio.wait_for(going, END_S)

    assert room.deliveries.delivered == [(ONE, [0, 1])]
    assert list(room.buffer.queues) == [OTHER]
    assert room.failed == []


async def test_a_write_that_takes_too_long_is_cut(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition_worker, "FINISH_S", 0.0)
    room.deliveries.gates[ONE] = asyncio.Event()
    room.workers.start(ONE, held=False)
    room.put(ONE, [0])
    await until(lambda: ONE in room.deliveries.under_way)

    await asyncio.wait_for(room.workers.release([ONE]), END_S)

    assert room.deliveries.delivered == []
    assert room.buffer.queues == {}
    assert room.failed == []


async def test_nothing_to_give_up_takes_no_time(room: Room) -> None:
    await asyncio.wait_for(room.workers.release([ONE]), END_S)

    assert room.buffer.queues == {}


async def test_ending_tasks_waits_for_them_whatever_they_raise() -> None:
    ended: list[str] = []

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("it")
            raise ValueError("at its end")

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end_tasks([task])

    assert ended == ["it"]
    assert task.done()

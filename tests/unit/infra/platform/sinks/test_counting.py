"""The sinks made for measuring: an event counts once, however often it comes."""

from __future__ import annotations

import asyncio

import pytest

from infra.platform.sinks.connector import WriteStatus
from infra.platform.sinks.counting import CountingSink, SlowSink
from tests.batches import Partition
from tests.change_events import inserts

END_S = 60.0


async def test_a_batch_that_comes_again_counts_once() -> None:
    sink, batch = CountingSink(), Partition().batch(list(inserts(5)))

    assert await sink.write(batch) is WriteStatus.DURABLE
    await sink.write(batch)

    assert sink.count == 5


async def test_a_batch_that_is_cut_otherwise_when_it_comes_again_counts_what_is_new() -> None:
    sink, batch = CountingSink(), Partition().batch(list(inserts(10)))
    first, rest = batch.split(4)
    await sink.write(first)
    await sink.write(batch)
    await sink.write(rest)

    assert sink.count == 10


async def test_what_comes_again_from_further_back_does_not_take_the_count_back() -> None:
    sink, batch = CountingSink(), Partition().batch(list(inserts(10)))
    first, rest = batch.split(4)
    await sink.write(batch)
    await sink.write(first)
    await sink.write(rest)

    assert sink.count == 10


@pytest.mark.parametrize("other", [("a", 1), ("b", 0)])
async def test_offsets_of_another_partition_or_topic_are_other_events(
    other: tuple[str, int],
) -> None:
    sink = CountingSink()
    for topic, number in (("a", 0), other):
        await sink.write(Partition(topic, number).batch(list(inserts(3))))

    assert sink.count == 6


async def test_waiting_for_a_count_ends_at_it_and_not_before() -> None:
    sink, partition = CountingSink(), Partition()
    waiting = asyncio.create_task(sink.reached(5))
    await sink.write(partition.batch(list(inserts(4))))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()

    await sink.write(partition.batch(list(inserts(1, first=5))))

    await asyncio.wait_for(waiting, END_S)
    await asyncio.wait_for(sink.reached(0), END_S)


async def test_a_slow_sink_counts_when_its_time_is_over_and_a_write_that_is_cut_never() -> None:
    sink = SlowSink(3600.0)
    writing = asyncio.create_task(sink.write(Partition().batch(list(inserts(2)))))
    for _ in range(5):
        await asyncio.sleep(0)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert sink.count == 0

    quick = SlowSink(0.0)
    await quick.write(Partition().batch(list(inserts(2))))

    assert quick.count == 2

"""One contract, put to every sink: the doubles, the webhook, PostgreSQL and Iceberg, on real
servers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from cdc_users.measure.clock import new_anchor
from infra.avro.kind import PLACEHOLDER
from infra.platform.process.retry import Backoff
from infra.platform.sinks.connector import SinkConnector, WriteStatus
from infra.platform.sinks.instrumented import InstrumentedSink
from infra.platform.sinks.retrying import RetryingSink
from infra.stack.endpoints import Endpoints
from tests.batches import Partition
from tests.change_events import RUN, Event, customer, inserts
from tests.integration.sink_world import NAMES, When, World, settled, world

QUICK = Backoff(first_s=0.01, longest_s=0.05, limit_s=30.0)


@pytest_asyncio.fixture(params=NAMES)
async def place(
    request: pytest.FixtureRequest, stack: Endpoints, tmp_path: Path
) -> AsyncIterator[World]:
    made = world(request.param, stack.postgres_dsn, tmp_path)
    await made.start()
    yield made
    await made.stop()


@pytest_asyncio.fixture
async def sink(place: World) -> AsyncIterator[SinkConnector]:
    made = place.sink()
    await made.open()
    yield made
    await made.close()


def rows(*versions: tuple[Any, ...]) -> dict[int, tuple[Any, ...]]:
    return {row[0]: row for row in versions}


async def holds(place: World, expected: dict[int, tuple[Any, ...]]) -> bool:
    return not place.keeps_rows or await place.state() == expected


async def test_what_is_durable_can_be_read(place: World, sink: SinkConnector) -> None:
    batch = Partition().batch([Event("c", key, customer(key)) for key in (1, 2, 3)])

    status = await sink.write(batch)
    if status is WriteStatus.ACCEPTED:
        await sink.flush()

    assert await place.effects() == 3
    assert set(await place.state()) == ({1, 2, 3} if place.keeps_rows else set())


async def test_a_flush_of_nothing_is_fine(place: World, sink: SinkConnector) -> None:
    await sink.flush()
    await sink.flush()

    assert await place.effects() == 0


async def test_a_batch_that_comes_again_has_no_effect(place: World, sink: SinkConnector) -> None:
    row = customer(1)
    batch = Partition().batch([Event("c", 1, row), Event("c", 2, customer(2))])
    await settled(sink, batch)
    before, effects = await place.state(), await place.effects()

    await settled(sink, batch)

    assert await place.state() == before
    assert await place.effects() == effects


async def test_events_that_come_again_cut_differently_have_no_effect(
    place: World, sink: SinkConnector
) -> None:
    partition = Partition()
    events = list(inserts(6))
    await settled(sink, *partition.batches(events, 3))
    before, effects = await place.state(), await place.effects()

    again = Partition()
    await settled(sink, *again.batches(events, 2))

    assert set(await place.state()) == set(before)
    assert await place.effects() == effects


async def test_the_last_event_of_a_key_is_what_stays(place: World, sink: SinkConnector) -> None:
    partition = Partition()
    versions = [customer(7, version, sequence=version) for version in range(1, 6)]
    changes = [Event("c", 7, versions[0])]
    changes += [Event("u", 7, after, before) for before, after in pairwise(versions)]

    await settled(sink, partition.batch(changes[:3]), partition.batch(changes[3:]))

    assert await holds(place, rows(versions[-1]))
    assert await place.effects() in (
        1,
        5,
    )  # a table of the current state has one row, all others five events


async def test_a_deleted_row_does_not_come_back(place: World, sink: SinkConnector) -> None:
    partition = Partition()
    row = customer(7)
    stamped = customer(7, 2, sequence=2, op="s")
    born = partition.batch([Event("c", 7, row), Event("c", 8, customer(8))])
    gone = partition.batch([Event("u", 7, stamped, row), Event("d", 7, None, stamped)])
    await settled(sink, born, gone)
    assert set(await place.state()) <= {8}

    await settled(sink, born, gone)
    await settled(sink, born)

    assert set(await place.state()) <= {8}


async def test_a_key_that_is_deleted_and_written_again_in_one_batch_is_there(
    place: World, sink: SinkConnector
) -> None:
    first, second = customer(7, sequence=1), customer(7, 3, sequence=3)
    partition = Partition()

    await settled(
        sink,
        partition.batch([Event("c", 7, first), Event("d", 7, None, first), Event("c", 7, second)]),
    )

    assert await holds(place, rows(second))


async def test_a_value_that_was_not_sent_stays_as_it_was(place: World, sink: SinkConnector) -> None:
    partition = Partition()
    large = customer(7, text="x" * 100_000)
    born = [Event("c", 7, large), Event("c", 8, customer(8, text="kept"))]
    changed = [_without_notes(customer(key, 2, sequence=10 + key)) for key in (7, 8)]
    await settled(sink, partition.batch(born))

    await settled(sink, partition.batch([Event("u", row[0], row) for row in changed]))

    if place.keeps_rows:
        state = await place.state()
        assert {key: row[7] for key, row in state.items()} == {7: large[7], 8: "kept"}
        assert {key: row[8] for key, row in state.items()} == {row[0]: row[8] for row in changed}


def _without_notes(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*row[:7], PLACEHOLDER, row[8])


async def test_partitions_are_written_beside_one_another(place: World, sink: SinkConnector) -> None:
    partitions = [Partition(number=number) for number in range(6)]
    batches = [
        list(partition.batches(list(inserts(20, first=1 + 100 * partition.number)), 5))
        for partition in partitions
    ]

    await asyncio.gather(*(settled_writes(sink, many) for many in batches))
    await sink.flush()

    assert await place.effects() == 120
    assert len(await place.state()) == (120 if place.keeps_rows else 0)


async def settled_writes(sink: SinkConnector, batches: list[Any]) -> None:
    for batch in batches:
        await sink.write(batch)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_what_failed_once_takes_effect_once(place: World, when: When) -> None:
    sink = RetryingSink(place.sink(), QUICK)
    await sink.open()
    partition = Partition()
    await settled(sink, partition.batch(list(inserts(2))))
    place.break_next(when)

    await settled(sink, partition.batch(list(inserts(3, first=10))))
    await settled(sink, partition.batch(list(inserts(1, first=20))))
    await sink.close()

    assert sink.retries >= 1
    assert await place.effects() == 6
    assert set(await place.state()) == ({1, 2, 10, 11, 12, 20} if place.keeps_rows else set())


async def test_another_life_goes_on_where_the_last_one_ended(
    place: World, sink: SinkConnector
) -> None:
    partition = Partition()
    first, second = partition.batch(list(inserts(3))), partition.batch(list(inserts(3, first=10)))
    await settled(sink, first)
    next_life = place.sink()
    await next_life.open()

    own = await next_life.positions([("test", 0), ("test", 1)])
    await settled(next_life, first, second)
    await next_life.close()

    assert own in (None, {}, {("test", 0): 3})
    assert await place.effects() == 6


async def test_a_life_that_has_lost_its_partition_changes_nothing_any_more(
    place: World, sink: SinkConnector
) -> None:
    partition = Partition()
    first, second = partition.batch(list(inserts(3))), partition.batch(list(inserts(3, first=10)))
    await settled(sink, first)
    successor = place.sink()
    await successor.open()
    await successor.positions([("test", 0)])
    await settled(successor, second)

    await settled(RetryingSink(sink, QUICK), second)
    await successor.close()

    assert await place.effects() == 6


async def test_measuring_changes_nothing(place: World, sink: SinkConnector) -> None:
    measured = InstrumentedSink(sink, RUN, new_anchor())
    batch = Partition().batch(list(inserts(3)))

    await settled(measured, batch, batch)

    assert await place.effects() == 3
    assert measured.durable_events == 6
    assert (
        measured.ledger.delivered()[1].delivered,
        measured.ledger.delivered()[1].duplicated,
    ) == (3, 3)


async def test_a_flush_ends_while_writes_go_on(place: World, sink: SinkConnector) -> None:
    partition = Partition()
    await sink.write(partition.batch(list(inserts(1))))
    flush = asyncio.ensure_future(sink.flush())

    written = 1
    while not flush.done():
        assert written < 5000, "the flush does not end"
        await sink.write(partition.batch(list(inserts(1, first=written + 1))))
        written += 1
        await asyncio.sleep(0.001)
    await flush
    await sink.flush()

    assert await place.effects() == written

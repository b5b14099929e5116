"""What becomes of messages whose schema the registry does not have, or cannot tell at the
moment.
"""

from __future__ import annotations

import asyncio
from itertools import accumulate
from typing import Any

import pytest

from infra.platform.consume.dead_letter import NoDeadLetters
from infra.platform.consume.delivery import (
    LOOKUPS,
    PATIENT_WITH,
    CommitLimit,
    Delivery,
    registry_retries,
)
from infra.platform.process.error import EventError, RefusedError, RetryableError
from infra.platform.process.retry import Backoff
from infra.platform.sinks.batch import Batch, Chunk, Poison
from infra.platform.sinks.connector import WriteStatus
from infra.platform.sinks.counting import CountingSink
from tests.unit.infra.platform.consume.kafka_double import (
    KafkaDouble,
    Schemas,
    consumer_of,
    records,
)

QUICK = Backoff(first_s=0.001, longest_s=0.002, limit_s=60.0)
PLACE = ("t", 0)


class ShakySchemas(Schemas):
    """First fails with errors or has nothing (None), a lookup each; then knows every schema."""

    def __init__(self, *troubles: Exception | None) -> None:
        super().__init__()
        self.asked = 0
        self._troubles = list(troubles)

    def schema(self, number: int) -> Any | None:
        self.asked += 1
        if not self._troubles:
            return super().schema(number)
        trouble = self._troubles.pop(0)
        if trouble is not None:
            raise trouble
        return None


def delivery_of(registry: Schemas, backoff: Backoff = QUICK) -> Delivery:
    return Delivery(registry, CountingSink(), NoDeadLetters(), registry_retries(backoff))


def chunk(count: int) -> Chunk:
    found = records(count)
    return Chunk(
        [one.content for one in found],
        [one.name for one in found],
        list(range(count)),
        [0] * count,
        [0] * count,
    )


async def test_a_registry_that_fails_for_a_moment_is_asked_again() -> None:
    registry = ShakySchemas(
        RetryableError("503"), RetryableError("refused"), RetryableError("timeout")
    )

    items = await delivery_of(registry).read(PLACE, chunk(3), 10)

    assert [(type(item), count) for item, count in items] == [(Batch, 3)]


async def test_a_registry_that_stays_away_is_given_up_after_the_limit() -> None:
    registry = ShakySchemas(*[RetryableError("503")] * 1000)

    with pytest.raises(RetryableError, match="503"):
        await delivery_of(registry, Backoff(0.01, 0.02, limit_s=2.0)).read(PLACE, chunk(3), 10)
    assert 1 < registry.asked < 1000


@pytest.mark.parametrize("trouble", [RetryableError("503"), None])
async def test_a_stop_does_not_wait_for_the_registry(trouble: Exception | None) -> None:
    delivery = delivery_of(
        ShakySchemas(*[trouble] * 1000), Backoff(first_s=3600, longest_s=3600, limit_s=3600)
    )
    reading = asyncio.create_task(delivery.read(PLACE, chunk(3), 10))
    await asyncio.sleep(0)

    delivery.give_up()

    with pytest.raises(RetryableError):
        await asyncio.wait_for(reading, 60)


async def test_a_schema_that_a_lagging_replica_does_not_have_yet_is_waited_for() -> None:
    registry = ShakySchemas(*[None] * (LOOKUPS - 1))

    ((item, _),) = await delivery_of(registry).read(PLACE, chunk(3), 10)

    assert isinstance(item, Batch)


async def test_that_there_is_no_such_schema_is_not_remembered_beyond_the_messages_at_hand() -> None:
    delivery = delivery_of(ShakySchemas(*[None] * LOOKUPS))

    before = await delivery.read(PLACE, chunk(2), 10)
    after = await delivery.read(PLACE, chunk(2), 10)

    assert [type(item) for item, _ in before] == [Poison, Poison]
    assert [type(item) for item, _ in after] == [Batch]


async def test_a_topic_full_of_unknown_ids_does_not_cost_the_patience_of_one_each() -> None:
    registry = ShakySchemas(*[None] * 1000)
    found = chunk(50)
    values = [
        b"\x00" + number.to_bytes(4, "big") + (value or b"")[5:]
        for number, value in enumerate(found.values, 100)
    ]

    items = await delivery_of(registry).read(
        PLACE, Chunk(values, found.keys, found.offsets, found.appended_us, found.polled_us), 10
    )

    assert all(isinstance(item, Poison) for item, _ in items)
    assert len(items) == 50
    # Fifty values, and the key's schema, which is absent here as well.
    assert registry.asked <= 51 + PATIENT_WITH * (LOOKUPS - 1)


class Accepting(CountingSink):
    """Only accepts; counts what it has at a flush."""

    def __init__(self) -> None:
        super().__init__()
        self.flushed: list[int] = []

    async def write(self, batch: Batch) -> WriteStatus:
        await super().write(batch)
        return WriteStatus.ACCEPTED

    async def flush(self) -> None:
        self.flushed.append(self.count)


async def test_a_sink_must_commit_at_so_many_events() -> None:
    sink = Accepting()
    limit = CommitLimit(events=20)
    delivery = Delivery(Schemas(), sink, NoDeadLetters(), registry_retries(QUICK), limit)
    items = await delivery.read(PLACE, chunk(200), 10)

    async def flush_when_due() -> None:
        while True:
            await delivery.flush_due.wait()
            await delivery.flush()

    flushing = asyncio.create_task(flush_when_due())
    most = 0
    async with asyncio.timeout(60):
        for item, _ in items:
            await delivery.deliver(item)
            most = max(most, delivery.accepted[1])
    flushing.cancel()

    assert sink.count == 200
    assert most <= 2 * limit.events
    assert len(sink.flushed) >= 200 // (2 * limit.events)


async def test_a_flush_that_is_due_is_made_also_where_its_partition_has_gone() -> None:
    """Else it would be due for ever, and whoever flushes when it is due would do nothing else."""
    consumer = consumer_of(KafkaDouble(), sink := Accepting(), limit=CommitLimit(events=5))
    delivery = consumer.delivery
    ((item, _),) = await delivery.read(PLACE, chunk(5), 10)
    delivery.positions.begin(PLACE, 0)
    await delivery.deliver(item)
    assert delivery.flush_due.is_set()
    delivery.positions.forget(PLACE)

    await consumer._flush()

    assert not delivery.flush_due.is_set()
    assert not delivery.is_flush_wanted
    assert delivery.accepted == (0, 0)
    assert sink.flushed == [5]


async def test_a_sink_that_holds_nothing_is_not_flushed() -> None:
    consumer = consumer_of(KafkaDouble(), sink := Accepting())

    await consumer._flush()

    assert sink.flushed == []


async def test_after_a_flush_has_failed_for_good_none_is_wanted() -> None:
    delivery = delivery_of(Schemas())
    delivery.flush_due.set()
    delivery.failure = RetryableError("the catalog is away")

    assert not delivery.is_flush_wanted


class Refusing(CountingSink):
    """Refuses every batch with one of these offsets; keeps what it was given."""

    def __init__(self, *refused: int, status: WriteStatus = WriteStatus.DURABLE) -> None:
        super().__init__()
        self.taken: list[int] = []
        self.writes = 0
        self._refused = set(refused)
        self._status = status

    async def write(self, batch: Batch) -> WriteStatus:
        self.writes += 1
        offsets = batch.offsets.tolist()
        if self._refused.intersection(offsets):
            raise RefusedError("not this")
        self.taken += offsets
        return self._status


class Letters(NoDeadLetters):
    """Keeps what is put aside."""

    def __init__(self) -> None:
        super().__init__()
        self.put_aside: list[Poison] = []

    async def send(self, poison: Poison) -> None:
        self.put_aside.append(poison)


@pytest.mark.parametrize(
    "refused", [(), (0,), (9,), (4, 5), (0, 9), (3, 4, 5, 6), tuple(range(10))], ids=str
)
async def test_what_a_sink_refuses_is_put_aside_and_nothing_else(refused: tuple[int, ...]) -> None:
    sink, letters = Refusing(*refused), Letters()
    delivery = Delivery(Schemas(), sink, letters, registry_retries(QUICK))
    delivery.positions.begin(PLACE, 0)
    whole = chunk(10)
    for item, _ in await delivery.read(PLACE, whole, 10):
        await delivery.deliver(item)

    assert sink.taken == [offset for offset in range(10) if offset not in refused]
    assert [letter.offset for letter in letters.put_aside] == list(refused)
    assert [(letter.key, letter.value) for letter in letters.put_aside] == [
        (whole.keys[offset], whole.values[offset]) for offset in refused
    ]
    assert delivery.positions.durable == {PLACE: 10}


async def test_the_books_end_behind_the_last_event_that_was_not_put_aside() -> None:
    delivery = Delivery(Schemas(), Refusing(8, 9), Letters(), registry_retries(QUICK))
    delivery.positions.begin(PLACE, 0)
    for item, _ in await delivery.read(PLACE, chunk(10), 10):
        await delivery.deliver(item)

    assert delivery.positions.durable == {PLACE: 10}
    assert delivery.positions.booked == {PLACE: 8}


async def test_one_part_that_is_only_accepted_makes_the_whole_batch_wait_for_the_flush() -> None:
    sink = Refusing(5, status=WriteStatus.ACCEPTED)
    delivery = Delivery(Schemas(), sink, Letters(), registry_retries(QUICK))
    delivery.positions.begin(PLACE, 0)
    for item, _ in await delivery.read(PLACE, chunk(10), 10):
        await delivery.deliver(item)
    assert delivery.positions.fresh([PLACE]) == {}

    await delivery.flush()

    assert delivery.positions.fresh([PLACE]) == {PLACE: 10}


async def test_without_a_place_for_dead_letters_a_refused_event_stops_what_comes_behind_it() -> (
    None
):
    sink = Refusing(4)
    delivery = Delivery(Schemas(), sink, NoDeadLetters(), registry_retries(QUICK))
    delivery.positions.begin(PLACE, 0)
    ((item, _),) = await delivery.read(PLACE, chunk(10), 10)

    with pytest.raises(EventError, match="--dead-letter-topic"):
        await delivery.deliver(item)

    assert max(sink.taken) < 4
    assert delivery.positions.durable == {PLACE: 0}


@pytest.mark.parametrize(
    ("size", "counts"), [(10, [10]), (9, [9, 1]), (5, [5, 5]), (4, [4, 4, 2]), (1, [1] * 10)]
)
async def test_parts_account_for_every_message_once(size: int, counts: list[int]) -> None:
    parts = await delivery_of(Schemas()).read(PLACE, chunk(10), size)

    assert [count for _, count in parts] == counts
    assert [item.end for item, _ in parts] == list(accumulate(counts))


@pytest.mark.parametrize("stones", [(0,), (9,), (4, 5), (0, 1, 2), tuple(range(10))], ids=str)
async def test_tombstones_are_accounted_for_where_they_stand(stones: tuple[int, ...]) -> None:
    whole = chunk(10)
    values = [None if row in stones else value for row, value in enumerate(whole.values)]
    holed = Chunk(values, whole.keys, whole.offsets, whole.appended_us, whole.polled_us)
    delivery = Delivery(Schemas(), sink := Refusing(), Letters(), registry_retries(QUICK))
    delivery.positions.begin(PLACE, 0)

    parts = await delivery.read(PLACE, holed, 3)
    for item, _ in parts:
        await delivery.deliver(item)

    assert sum(count for _, count in parts) == 10
    assert sink.taken == [row for row in range(10) if row not in stones]
    assert delivery.positions.durable == {PLACE: 10}

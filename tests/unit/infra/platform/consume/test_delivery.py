"""What becomes of messages whose schema the registry does not have, or cannot tell at the
moment.
"""

from __future__ import annotations

import asyncio
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
from infra.platform.process.error import RetryableError
from infra.platform.process.retry import Backoff
from infra.platform.sinks.batch import Batch, Chunk, Poison
from infra.platform.sinks.connector import WriteStatus
from infra.platform.sinks.counting import CountingSink
from tests.unit.infra.platform.consume.kafka_double import Schemas, records

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

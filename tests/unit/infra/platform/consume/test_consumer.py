"""How the consumer ends: whatever fails for good, it ends, and says so."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from confluent_kafka import KafkaError, KafkaException

from infra.platform.process.error import ConfigError, PlatformError, RetryableError
from infra.platform.sinks.batch import Batch, Partition
from infra.platform.sinks.connector import WriteStatus
from infra.platform.sinks.counting import CountingSink
from tests.unit.infra.platform.consume.kafka_double import KafkaDouble, consumer_of, records

END_S = 60.0


class AcceptingSink(CountingSink):
    """Accepts everything; its flush raises `flush_error`."""

    def __init__(self, flush_error: Exception) -> None:
        super().__init__()
        self.flushes = 0
        self._flush_error = flush_error

    async def write(self, batch: Batch) -> WriteStatus:
        await super().write(batch)
        return WriteStatus.ACCEPTED

    async def flush(self) -> None:
        self.flushes += 1
        raise self._flush_error


class HangingSink(CountingSink):
    """Counts a batch and never returns."""

    async def write(self, batch: Batch) -> WriteStatus:
        await super().write(batch)
        await asyncio.Event().wait()
        return WriteStatus.DURABLE


class BooklessSink(CountingSink):
    """Cannot be asked how far it is."""

    async def positions(self, places: Sequence[Partition]) -> Mapping[Partition, int]:  # noqa: ARG002 - the protocol's
        raise RetryableError("the books are away")


async def test_a_flush_that_fails_for_good_ends_intake_also_where_a_worker_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("infra.platform.consume.delivery.FLUSH_BYTES", 1000)
    sink = AcceptingSink(RetryableError("the catalog is away"))
    client = KafkaDouble(records(100))
    consumer = consumer_of(client, sink)

    await asyncio.wait_for(consumer.run(), END_S)

    assert sink.count < 100
    assert client.committed_offsets == []
    assert consumer.errors[0] == "flush failed: RetryableError: the catalog is away"
    assert consumer.errors[1:] == ["t[0] stopped: RetryableError: the catalog is away"]


async def test_a_failed_flush_is_told_once_and_not_tried_at_every_interval() -> None:
    sink = AcceptingSink(RetryableError("the catalog is away"))
    consumer = consumer_of(KafkaDouble(records(10)), sink)

    await asyncio.wait_for(consumer.run(), END_S)

    assert sink.flushes == 1
    assert consumer.errors == ["flush failed: RetryableError: the catalog is away"]


async def test_a_mistake_in_the_configuration_that_a_flush_finds_is_raised() -> None:
    consumer = consumer_of(
        KafkaDouble(records(10)), AcceptingSink(ConfigError("the table has no column x"))
    )

    with pytest.raises(ConfigError, match="no column x"):
        await asyncio.wait_for(consumer.run(), END_S)


async def test_a_commit_that_fails_at_a_revoke_ends_the_consumer_with_one_line() -> None:
    client = KafkaDouble(records(10))
    client.commit_error = KafkaException(KafkaError(KafkaError.ILLEGAL_GENERATION))
    sink = CountingSink()
    running = asyncio.create_task(consumer_of(client, sink).run())
    await asyncio.wait_for(sink.reached(10), END_S)
    client.take_away = True

    with pytest.raises(PlatformError, match=r"^Kafka: .*; what is not committed comes again$"):
        await asyncio.wait_for(running, END_S)


async def test_a_hand_over_that_takes_too_long_ends_the_consumer_with_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("infra.platform.consume.consumer.HANDOVER_S", 0.05)
    client, sink = KafkaDouble(records(10)), HangingSink()
    running = asyncio.create_task(consumer_of(client, sink).run())
    await asyncio.wait_for(sink.reached(10), END_S)
    client.take_away = True

    with pytest.raises(PlatformError, match=r"not be handed over within 0\.05 s"):
        await asyncio.wait_for(running, END_S)


async def test_a_sink_that_cannot_tell_its_positions_ends_the_consumer_with_its_own_error() -> None:
    consumer = consumer_of(KafkaDouble(records(10)), BooklessSink())

    with pytest.raises(RetryableError, match="the books are away"):
        await asyncio.wait_for(consumer.run(), END_S)

"""How the consumer ends: whatever fails for good, it ends, and says so."""

from __future__ import annotations

import asyncio

import pytest

from infra.platform.batch import Batch
from infra.platform.error import ConfigError, RetryableError
from infra.platform.sinks.connector import WriteStatus
from infra.platform.sinks.counting import CountingSink
from tests.unit.platform.kafka_double import KafkaDouble, consumer_of, records

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


async def test_a_flush_that_fails_for_good_ends_intake_also_where_a_worker_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("infra.platform.delivery.FLUSH_BYTES", 1000)
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
    consumer = consumer_of(KafkaDouble(records(10)), AcceptingSink(ConfigError("the table has no column x")))

    with pytest.raises(ConfigError, match="no column x"):
        await asyncio.wait_for(consumer.run(), END_S)

"""How the consumer ends: whatever fails for good, it ends, and says so."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence

import pytest
from confluent_kafka import KafkaError, KafkaException

from infra.platform.consume.delivery import CommitLimit
from infra.platform.consume.partition_worker import FINISH_S
from infra.platform.process.error import ConfigError, PlatformError, RetryableError
from infra.platform.process.retry import Backoff
from infra.platform.sinks.batch import Batch, Partition
from infra.platform.sinks.connector import WriteStatus
from infra.platform.sinks.counting import CountingSink
from infra.platform.sinks.retrying import RetryingSink
from tests.unit.infra.platform.consume.kafka_double import (
    KafkaDouble,
    Record,
    consumer_of,
    records,
)

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


class BusySink(CountingSink):
    """Asks for patience as long as it is busy."""

    def __init__(self, retry_after_s: float = 120) -> None:
        super().__init__()
        self.busy = True
        self.attempts = 0
        self._retry_after_s = retry_after_s

    async def write(self, batch: Batch) -> WriteStatus:
        self.attempts += 1
        if self.busy:
            raise RetryableError("come back later", self._retry_after_s)
        return await super().write(batch)


class StoppingSink(CountingSink):
    """Writes one batch, and the next one when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Event()
        self.begun = 0

    async def write(self, batch: Batch) -> WriteStatus:
        self.begun += 1
        if self.begun > 1:
            await self.may.wait()
        return await super().write(batch)


class WaitingClient(KafkaDouble):
    """Its polls wait from the second one on, until they may go on."""

    def __init__(self, found: Sequence[Record]) -> None:
        super().__init__(found)
        self.polls = 0
        self.waits, self.may = threading.Event(), threading.Event()

    def poll(self, limit_s: float) -> Record | None:
        self.polls += 1
        if self.polls > 1:
            self.waits.set()
            self.may.wait(END_S)
        return super().poll(limit_s)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(END_S):
        while not condition():
            await asyncio.sleep(0.001)


class BooklessSink(CountingSink):
    """Cannot be asked how far it is."""

    async def positions(self, places: Sequence[Partition]) -> None:  # noqa: ARG002 - the protocol's
        raise RetryableError("the books are away")


async def test_a_flush_that_fails_for_good_ends_intake_also_where_a_worker_waits_for_it() -> None:
    sink = AcceptingSink(RetryableError("the catalog is away"))
    client = KafkaDouble(records(100))
    consumer = consumer_of(client, sink, limit=CommitLimit(bytes=1000))

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


async def test_a_commit_that_fails_at_a_revoke_is_no_end_for_the_events_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The commit in turn would fail as well, and is shown until one succeeds.
    monkeypatch.setattr("infra.platform.consume.consumer.COMMIT_INTERVAL_S", 3600.0)
    client = KafkaDouble(records(10))
    client.commit_error = KafkaException(KafkaError(KafkaError.ILLEGAL_GENERATION))
    sink = CountingSink()
    consumer = consumer_of(client, sink)
    running = asyncio.create_task(consumer.run())
    await asyncio.wait_for(sink.reached(10), END_S)
    client.take_away = True
    await until(lambda: not consumer.buffer.queues)

    consumer.stop()
    await asyncio.wait_for(running, END_S)

    assert client.committed_offsets == []
    assert consumer.errors == []


async def test_a_commit_that_waited_for_a_handover_does_not_put_older_offsets_over_its(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("infra.platform.consume.consumer.COMMIT_INTERVAL_S", 0.001)
    client, sink = WaitingClient(records(20)), StoppingSink()
    consumer = consumer_of(client, sink)
    running = asyncio.create_task(consumer.run())
    await until(lambda: client.waits.is_set() and sink.begun == 2)
    commits = consumer._poll_thread._work_queue
    await until(lambda: commits.qsize() > 0)
    client.take_away = True
    sink.may.set()
    client.may.set()
    await until(lambda: not consumer.buffer.queues)

    consumer.stop()
    await asyncio.wait_for(running, END_S)

    assert client.committed_offsets == [20]


async def test_a_write_that_never_ends_is_cut_at_a_handover_and_the_consumer_lives_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("infra.platform.consume.partition_worker.FINISH_S", 0.05)
    client, sink = KafkaDouble(records(10)), HangingSink()
    consumer = consumer_of(client, sink)
    running = asyncio.create_task(consumer.run())
    await asyncio.wait_for(sink.reached(10), END_S)
    client.take_away = True
    await until(lambda: not consumer.buffer.queues)

    consumer.stop()
    await asyncio.wait_for(running, END_S)

    assert client.committed_offsets == []
    assert consumer.errors == []


async def test_a_watch_that_fails_ends_the_consumer_and_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without it a topic that is made again would be read on."""
    monkeypatch.setattr("infra.platform.consume.consumer.WATCH_S", 0.01)
    client, sink = KafkaDouble(records(10)), CountingSink()
    consumer = consumer_of(client, sink)
    running = asyncio.create_task(consumer.run())
    await asyncio.wait_for(sink.reached(10), END_S)

    def break_down(_: Sequence[str]) -> dict[str, str]:
        raise ValueError("an answer of another form")

    consumer._topic_ids = break_down
    await asyncio.wait_for(running, END_S)

    assert consumer.errors == ["watch_topics failed: ValueError: an answer of another form"]
    assert client.committed_offsets[-1] == 10


async def test_a_write_that_waits_to_be_tried_again_gives_way_to_a_handover_at_once() -> None:
    busy = RetryingSink(BusySink(), Backoff(limit_s=600))
    client = KafkaDouble(records(10))
    consumer = consumer_of(client, busy)
    running = asyncio.create_task(consumer.run())
    await until(lambda: busy.retries > 0)
    client.take_away = True
    asked_s = time.monotonic()
    await until(lambda: not consumer.buffer.queues)
    took_s = time.monotonic() - asked_s

    consumer.stop()
    await asyncio.wait_for(running, END_S)

    assert took_s < FINISH_S / 2
    assert client.committed_offsets == []


async def test_what_fails_again_and_again_is_shown_while_it_does() -> None:
    sink = BusySink(retry_after_s=0)
    retrying = RetryingSink(sink, Backoff(first_s=0.001, longest_s=0.001))
    client = KafkaDouble(records(10))
    consumer = consumer_of(client, retrying)
    running = asyncio.create_task(consumer.run())
    await until(lambda: sink.attempts > 2)
    shown = consumer.errors
    sink.busy = False
    await until(lambda: client.committed_offsets == [10])

    assert any("attempt" in error and "come back later" in error for error in shown), shown
    assert consumer.errors == []
    consumer.stop()
    await asyncio.wait_for(running, END_S)


async def test_a_sink_that_cannot_tell_its_positions_ends_the_consumer_with_its_own_error() -> None:
    consumer = consumer_of(KafkaDouble(records(10)), BooklessSink())

    with pytest.raises(RetryableError, match="the books are away"):
        await asyncio.wait_for(consumer.run(), END_S)


async def test_offsets_that_kafka_keeps_refusing_are_shown_until_it_takes_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("infra.platform.consume.consumer.COMMIT_INTERVAL_S", 0.01)
    client = KafkaDouble(records(10))
    client.commit_error = KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))
    consumer = consumer_of(client, CountingSink())
    running = asyncio.create_task(consumer.run())
    await until(lambda: bool(consumer.errors))
    (shown,) = consumer.errors
    client.commit_error = None
    await until(lambda: client.committed_offsets == [10])
    await until(lambda: not consumer.errors)

    consumer.stop()
    await asyncio.wait_for(running, END_S)

    assert "does not take the group's offsets" in shown
    assert "GROUP_AUTHORIZATION_FAILED" in shown


async def test_a_partition_whose_leader_is_just_chosen_is_asked_again() -> None:
    """An exception of Kafka's that leaves the client's callback would end its thread in silence."""
    client, sink = KafkaDouble(records(10)), CountingSink()
    client.watermark_errors = [
        KafkaException(KafkaError(code))
        for code in (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
    ]
    consumer = consumer_of(client, sink)
    running = asyncio.create_task(consumer.run())
    await asyncio.wait_for(sink.reached(10), END_S)

    consumer.stop()
    await asyncio.wait_for(running, END_S)

    assert consumer.errors == []
    assert client.begun_at == [0]


async def test_a_partition_that_may_not_be_read_ends_the_consumer_by_name() -> None:
    client = KafkaDouble(records(10))
    client.watermark_errors = [KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))]

    with pytest.raises(PlatformError, match="authorization"):
        await asyncio.wait_for(consumer_of(client, CountingSink()).run(), END_S)

"""Kafka to sink: batched polls, one bounded queue and one worker a partition, offsets only for what is durable."""

from __future__ import annotations

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from cdc_users.measure.clock import Anchor
from infra.platform.batch import Batch
from infra.platform.buffer import Buffer, PartitionQueue
from infra.platform.decode import Decoder
from infra.platform.error import EventError, PlatformError, UnreachableError
from infra.platform.sinks.connector import SinkConnector, WriteStatus

logger = structlog.get_logger()

POLL_S = 0.1
COMMIT_INTERVAL_S = 0.5
HANDOVER_S = 30.0
Partition = tuple[str, int]


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    """What a consumer is told: where, what, and how much it may hold."""

    bootstrap: str
    group: str
    topics: tuple[str, ...]
    batch_size: int
    max_buffered_messages: int
    #: Join the group and take partitions, but read nothing before `begin`.
    held: bool = False


class CDCConsumer:
    """Reads change events and hands each partition's to the sink, in order, a batch at a time.

    A partition whose share of the buffer is full is paused, and the client's own prefetch is bounded, so memory is
    too. Offsets are committed for durable batches only: after a crash events come again, none is missing. When a
    partition is taken away, its batch in flight is finished and committed first, so no key is reordered.
    An event that cannot be read, or a write that fails, stops its partition and shows in `errors`.
    """

    def __init__(self, settings: ConsumerSettings, decoder: Decoder, sink: SinkConnector, anchor: Anchor) -> None:
        self.assigned = asyncio.Event()
        self.buffer = Buffer(settings.max_buffered_messages)
        self.errors: list[str] = []
        self.polled = self.pauses = self.rebalances = 0
        self._settings = settings
        self._decoder = decoder
        self._sink = sink
        self._anchor = anchor
        self._client = Consumer(_client_settings(settings))
        # One thread for the client's polls and decoding, one for its commits: librdkafka allows both at once.
        self._poll_thread = ThreadPoolExecutor(1, "poll")
        self._commit_thread = ThreadPoolExecutor(1, "commit")
        self._durable: dict[Partition, int] = {}
        self._committed: dict[Partition, int] = {}
        self._workers: dict[Partition, asyncio.Task[None]] = {}
        self._stopping = False
        self._held = settings.held
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Consume until `stop`; then finish what is held, commit and leave the group."""
        self._client.subscribe(
            list(self._settings.topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        committer = asyncio.create_task(self._commit_regularly())
        try:
            while not self._stopping:
                await self._poll_once()
            await self._drain()
        finally:
            committer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await committer
            for worker in self._workers.values():
                worker.cancel()
            await self._commit()
            await self._in_poll_thread(self._client.close)

    def stop(self) -> None:
        """Take nothing more from Kafka."""
        self._stopping = True

    def begin(self) -> None:
        """Start to read, where the settings said to wait for this; all instances can so begin at one moment."""
        self._held = False

    async def _poll_once(self) -> None:
        room = min(self._settings.batch_size, self.buffer.free)
        if room <= 0:
            self._pause_where(lambda queue: not queue.paused)
        batches = await self._in_poll_thread(self._poll, max(room, 1))
        for batch in batches:
            queue = self.buffer.queues.get((batch.topic, batch.partition))
            if queue is not None:  # taken away while the poll was under way
                self.buffer.put(batch)
        self._balance()

    def _poll(self, room: int) -> list[Batch]:
        """In the poll thread: what is there now, without waiting for a batch to fill."""
        first = self._client.poll(POLL_S)
        if first is None:
            return []
        messages = [first, *(self._client.consume(room - 1, 0) if room > 1 else ())]
        polled_us = self._anchor.now_us()
        good = [message for message in messages if self._usable(message)]
        self.polled += len(good)
        return self._decoder.batches(good, polled_us)

    def _usable(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.code() in (KafkaError._PARTITION_EOF, KafkaError.UNKNOWN_TOPIC_OR_PART) or error.retriable():
            return False
        raise PlatformError(f"Kafka: {error.str()}")

    def _balance(self) -> None:
        """Pause partitions that have had their share, resume those that have worked half of it off."""
        share = self.buffer.share
        full = self.buffer.free < self._settings.batch_size
        self._pause_where(lambda queue: not queue.paused and (full or queue.depth >= share))
        ready = [
            place
            for place, queue in self.buffer.queues.items()
            if queue.paused and not full and not self._held and queue.depth <= share // 2
        ]
        for place in ready:
            self.buffer.queues[place].paused = False
        if ready:
            self._client.resume([TopicPartition(*place) for place in ready])

    def _pause_where(self, chosen: Any) -> None:
        places = [place for place, queue in self.buffer.queues.items() if chosen(queue)]
        for place in places:
            self.buffer.queues[place].paused = True
        if places:
            self.pauses += len(places)
            self._client.pause([TopicPartition(*place) for place in places])

    async def _work(self, place: Partition, queue: PartitionQueue) -> None:
        """One partition's worker: a batch at a time, in order."""
        try:
            while True:
                batch = queue.take(self._settings.batch_size)
                if batch is None:
                    queue.changed.clear()
                    await queue.changed.wait()
                    continue
                status = await self._sink.write(batch)
                if status is WriteStatus.ACCEPTED:
                    await self._sink.flush()
                self._durable[place] = int(batch.offsets[-1]) + 1
                queue.finish()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a sink raises stops the partition and is shown
            self._fail(f"{place[0]}[{place[1]}] stopped: {type(error).__name__}: {error}")

    def _fail(self, message: str) -> None:
        self.errors.append(message)
        logger.error("platform.partition.stopped", error=message)

    async def _drain(self) -> None:
        """Finish what is held, as far as its partitions still work."""
        for place, queue in self.buffer.queues.items():
            worker = self._workers[place]
            while (queue.depth or queue.in_flight) and not worker.done():
                queue.changed.clear()
                done, _ = await asyncio.wait(
                    [worker, asyncio.create_task(queue.changed.wait())], return_when="FIRST_COMPLETED"
                )
                if worker in done:
                    break
        await self._sink.flush()

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        if self._held:
            self._client.assign(partitions)
            self._client.pause(partitions)
        self._loop.call_soon_threadsafe(self._assign, [(part.topic, part.partition) for part in partitions])

    def _assign(self, places: list[Partition]) -> None:
        self.rebalances += 1
        for place in places:
            queue = self.buffer.queues[place] = PartitionQueue()
            queue.paused = self._held
            self._workers[place] = asyncio.create_task(self._work(place, queue))
        self.assigned.set()

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """In the poll thread, which must wait: the next owner may start as soon as this returns."""
        places = [(part.topic, part.partition) for part in partitions]
        asyncio.run_coroutine_threadsafe(self._release(places), self._loop).result(HANDOVER_S)
        offsets = self._to_commit(places)
        if offsets:
            self._client.commit(offsets=offsets, asynchronous=False)

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        places = [(part.topic, part.partition) for part in partitions]
        asyncio.run_coroutine_threadsafe(self._release(places), self._loop).result(HANDOVER_S)

    async def _release(self, places: list[Partition]) -> None:
        """Forget what waits, finish what is in flight, end the workers."""
        for place in places:
            queue, worker = self.buffer.queues[place], self._workers[place]
            queue.clear()
            while queue.in_flight and not worker.done():
                queue.changed.clear()
                await asyncio.wait_for(queue.changed.wait(), HANDOVER_S)
            worker.cancel()
            del self.buffer.queues[place], self._workers[place]

    def _to_commit(self, places: list[Partition]) -> list[TopicPartition]:
        fresh = [place for place in places if self._durable.get(place, -1) > self._committed.get(place, -1)]
        for place in fresh:
            self._committed[place] = self._durable[place]
        return [TopicPartition(*place, self._durable[place]) for place in fresh]

    async def _commit_regularly(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_INTERVAL_S)
            await self._commit()

    async def _commit(self) -> None:
        offsets = self._to_commit(list(self.buffer.queues))
        if not offsets:
            return
        try:
            await self._loop.run_in_executor(
                self._commit_thread, lambda: self._client.commit(offsets=offsets, asynchronous=False)
            )
        except KafkaException as error:
            # Not lost: the events would come again. The next commit covers them.
            logger.warning("platform.commit.failed", error=str(error))

    async def _in_poll_thread(self, action: Any, *arguments: Any) -> Any:
        try:
            return await self._loop.run_in_executor(self._poll_thread, action, *arguments)
        except EventError as error:
            self._fail(str(error))
            self._stopping = True
            return []

    def snapshot(self) -> dict[str, Any]:
        """Queues, positions and counters, as plain data."""
        return {
            "polled": self.polled,
            "partitions": {f"{topic}:{number}": self._partition(topic, number) for topic, number in self.buffer.queues},
            "queue_depth": self.buffer.depth,
            "queue_high_water": self.buffer.high_water,
            "in_flight": self.buffer.in_flight,
            "max_buffered_messages": self.buffer.limit,
            "pauses": self.pauses,
            "rebalances": self.rebalances,
            "errors": list(self.errors),
            "monotonic_ns": time.monotonic_ns(),
        }

    def _partition(self, topic: str, number: int) -> dict[str, Any]:
        queue = self.buffer.queues[topic, number]
        durable = self._durable.get((topic, number))
        high = self._high_watermark(topic, number)
        return {
            "queue_depth": queue.depth,
            "in_flight": queue.in_flight,
            "paused": queue.paused,
            "durable": durable,
            "committed": self._committed.get((topic, number)),
            "high_watermark": high,
            "lag": None if high is None else high - (durable or 0),
        }

    def _high_watermark(self, topic: str, number: int) -> int | None:
        try:
            _, high = self._client.get_watermark_offsets(TopicPartition(topic, number), cached=True)
        except (KafkaException, RuntimeError):
            return None
        return int(high) if high >= 0 else None


def _client_settings(settings: ConsumerSettings) -> dict[str, Any]:
    return {
        "bootstrap.servers": settings.bootstrap,
        "group.id": settings.group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # A bound in events means nothing while the client itself prefetches without one.
        "queued.max.messages.kbytes": 16384,
        "fetch.queue.backoff.ms": 10,
        "session.timeout.ms": 6000,
        "log_level": 3,
    }


def check_reachable(settings: ConsumerSettings, timeout_s: float) -> None:
    """Ask the broker for the topics; raises UnreachableError that says what was tried."""
    from confluent_kafka.admin import AdminClient

    client = AdminClient({"bootstrap.servers": settings.bootstrap, "log_level": 0})
    try:
        known = client.list_topics(timeout=timeout_s).topics
    except KafkaException as error:
        raise UnreachableError(
            f"Kafka at {settings.bootstrap} does not answer within {timeout_s:g} s: {error.args[0].str()}"
        ) from error
    missing = [topic for topic in settings.topics if topic not in known]
    if missing:
        raise UnreachableError(f"Kafka at {settings.bootstrap} has no topic {', '.join(missing)}; create it first")

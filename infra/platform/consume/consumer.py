"""From Kafka to the sink: batched polls, one bounded queue and one worker for each partition, and
commits only of durable offsets.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from cdc_users.measure.clock import Anchor
from infra.platform.consume.broker import ConsumerSettings, orderly
from infra.platform.consume.buffer import Buffer
from infra.platform.consume.delivery import Delivery
from infra.platform.consume.gap import CommitNote
from infra.platform.consume.gap_log import GapLog
from infra.platform.consume.partition_reader import PartitionReader
from infra.platform.consume.partition_worker import PartitionWorkers, end_tasks, start_task
from infra.platform.consume.snapshot import buffer_state, delivery_state, partition_states
from infra.platform.process.error import ConfigError, EventError, RetryableError
from infra.platform.process.retry import hurry
from infra.platform.process.topic_id import WATCH_S, TopicIds, TopicWatch
from infra.platform.sinks.batch import Partition

logger = structlog.get_logger()
T = TypeVar("T")

#: The most messages in a poll: enough for numpy to pay off, few enough for a small limit.
POLL_MESSAGES = 1000
COMMIT_INTERVAL_S = 0.5
#: The key of a failing commit among the troubles.
COMMIT = "commit"
#: How long workers may make room before a partition is paused, and how often that is checked.
PATIENCE_S, NAP_S = 0.02, 0.001
#: The part of a handover's time (broker.REBALANCE_S) in which, after the workers' end, their writes
#: are made durable.
FLUSH_S = 30.0
HANDOVER_S = 240.0


class CDCConsumer:
    """Reads change events and gives each partition's to the sink, in order, batch by batch.

    A partition whose share of the buffer is full is paused, and the client's own prefetch is
    limited, so memory is limited too. Offsets are committed for durable batches only: after a crash
    some events come again, and none is missing. When a partition is revoked, its batch in flight is
    finished, made durable and committed first, so no key is reordered. Errors that stop a partition
    are in `errors`.
    """

    def __init__(
        self,
        settings: ConsumerSettings,
        delivery: Delivery,
        anchor: Anchor,
        buffer: Buffer | None = None,
        topic_ids: Callable[[Sequence[str]], Mapping[str, str]] | None = None,
    ) -> None:
        self.assigned = asyncio.Event()
        self.buffer = buffer or Buffer(settings.max_buffered_messages, settings.max_buffered_bytes)
        self.failures: list[str] = []
        self.gaps = GapLog(self.failures, skip=settings.skip_gaps)
        self.pauses = self.rebalances = 0
        self.delivery = delivery
        self._settings = settings
        self._reader = PartitionReader(settings, anchor, self.buffer, self.gaps)
        # One thread for all of the client's work. A commit beside a rebalance would wait for the
        # rebalance's end, and then overwrite the offsets that were committed at the revocation with
        # older ones.
        self._poll_thread = ThreadPoolExecutor(1, "poll")
        self._workers = PartitionWorkers(settings, self.buffer, delivery, self._stop_partition)
        self._topic_ids = topic_ids or TopicIds(settings.bootstrap)
        #: The topics' ids at the assignment of partitions.
        self._known_ids: dict[str, str] = {}
        self._flushing = asyncio.Lock()
        self._fatal: ConfigError | None = None
        #: Whether the last commit failed; the second failure in a row is shown.
        self._uncommitted = False
        self._stopping = False
        self._held = settings.held
        self._room = min(settings.batch_size, self.buffer.limit)
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Consume until `stop`; then finish what is held, commit and leave the group.

        Raises a sink's ConfigError.
        """
        client = self._reader.client
        client.subscribe(
            list(self._settings.topics),
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )
        parts = self._commit_regularly, self._flush_regularly, self._watch_topics
        regularly = [start_task(part, self.failures, self.stop) for part in parts]
        try:
            while not self._stopping:
                await self._poll_once()
            await self._drain()
        finally:
            await end_tasks(regularly)
            await self._workers.end()
            await self._commit()
            with orderly(HANDOVER_S):
                await self._loop.run_in_executor(self._poll_thread, client.close)
        if self._fatal is not None:
            raise self._fatal

    @property
    def polled(self) -> int:
        """Events taken from Kafka."""
        return self._reader.polled

    @property
    def errors(self) -> list[str]:
        """Permanent failures, and failures that repeat at present."""
        return [*self.failures, *self.delivery.troubles.texts()]

    def stop(self) -> None:
        """Take no more from Kafka."""
        self._stopping = True

    def begin(self) -> None:
        """Start to read, if the settings say to wait for this; so all instances can begin at one
        moment.
        """
        self._held = False

    async def _poll_once(self) -> None:
        if self.buffer.free <= 0:
            self._pause(self.buffer.full(self._room))
        size = self.buffer.poll_size(max(POLL_MESSAGES, self._settings.batch_size))
        with orderly(HANDOVER_S):
            polled = await self._loop.run_in_executor(
                self._poll_thread, self._reader.poll, max(size, 1)
            )
        for place, chunk in polled:
            queue = self.buffer.queues.get(place)
            # Otherwise the partition was revoked, or the consumer stopped, during the poll.
            if queue is not None and not queue.closed:
                self.buffer.put(place, chunk)
        await self._give_time()
        resumed = self._balance()
        if resumed:
            await self._loop.run_in_executor(self._poll_thread, self._reader.wake, resumed[0])

    async def _give_time(self) -> None:
        """Let fast workers make room first, because a pause discards what the client has prefetched
        for the partition.

        Slow workers are not waited for: meanwhile nothing would be read for the empty partitions.
        """
        full = self.buffer.full(self._room)
        if not full and not self.buffer.resting:
            self.buffer.quick = True
        until_s = self._loop.time() + PATIENCE_S
        while full and self._loop.time() < until_s:
            queues = [self.buffer.queues[place] for place in full]
            before = sum(queue.depth for queue in queues)
            await asyncio.sleep(NAP_S)
            gone = before - sum(queue.depth for queue in queues)
            self.buffer.quick = gone >= self.buffer.share * NAP_S / PATIENCE_S
            if not self.buffer.quick:
                return
            full = self.buffer.full(self._room)

    async def _watch_topics(self) -> None:
        """Check that the topics are still the same."""
        watch = TopicWatch()
        while True:
            await asyncio.sleep(WATCH_S)
            known = dict(self._known_ids)
            try:
                now = await asyncio.to_thread(self._topic_ids, list(known)) if known else {}
            except RetryableError as error:
                self.delivery.troubles.note(self, str(error))
                continue
            self.delivery.troubles.over(self)
            for topic, what in watch.changed(known, now).items():
                self._stop_topic(topic, what)

    def _stop_topic(self, topic: str, what: str) -> None:
        """Deliver no more of a recreated topic, because its offsets have no meaning now."""
        self._known_ids.pop(topic, None)
        for place, queue in self.buffer.queues.items():
            if place[0] == topic and not queue.closed:
                queue.close()
                next_offset = self._reader.forget(place)
                self.delivery.positions.forget(place)
                self._stop_partition(
                    place,
                    EventError(
                        f"{what}; it was read up to offset {next_offset}, what it had behind that"
                        " is lost; start again with an empty target, or name the new topic"
                    ),
                )

    def _balance(self) -> list[Partition]:
        """Pause partitions that have had their share, and resume those that have worked off half of
        it; returns the latter.
        """
        self._pause(self.buffer.full(self._room))
        ready = [] if self._held else self.buffer.ready(self._room)
        for place in ready:
            self.buffer.queues[place].paused = False
        if ready:
            self._reader.resume(ready)
        return ready

    def _pause(self, places: Sequence[Partition]) -> None:
        for place in places:
            self.buffer.queues[place].paused = True
        if places:
            self.pauses += len(places)
            self._reader.pause(places)

    def _stop_partition(self, place: Partition, error: Exception) -> None:
        """Show what stopped a partition; a sink's ConfigError also ends the intake."""
        self.failures.append(f"{place[0]}[{place[1]}] stopped: {type(error).__name__}: {error}")
        logger.error("platform.partition.stopped", error=self.failures[-1])
        if isinstance(error, ConfigError):
            self._fatal = error
            self.stop()

    async def _drain(self) -> None:
        """Finish what is held, as far as its partitions still work, and make it durable."""
        await self._workers.drain()
        await self._flush()

    async def _flush(self) -> None:
        """Flush, one at a time; a failure that outlasts the sink's retries is logged once and ends
        the intake.
        """
        async with self._flushing:
            if not self.delivery.is_flush_wanted:
                return
            try:
                await self.delivery.flush()
            except Exception as error:  # noqa: BLE001 - shown, and nothing more is taken
                self.failures.append(f"flush failed: {type(error).__name__}: {error}")
                logger.error("platform.flush.failed", error=self.failures[-1])  # noqa: TRY400 - one line, as JSON
                if isinstance(error, ConfigError):
                    self._fatal = error
                self.stop()

    async def _flush_regularly(self) -> None:
        while self.delivery.failure is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self.delivery.flush_due.wait(), self._settings.flush_interval_s
                )
            await self._flush()

    @orderly(HANDOVER_S)
    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """In the poll thread: begin where Kafka or the sink says, if that offset still exists."""
        places = [(part.topic, part.partition) for part in partitions]
        if not places:
            self._in_loop(self._assign({}, {}))
            return
        ids = self._topic_ids(sorted({topic for topic, _ in places}))
        self._known_ids |= ids
        self._in_loop(self.delivery.sink.identify(ids))
        own = self._in_loop(self.delivery.sink.positions(places))
        begin = self._reader.begin(partitions, ids, own, held=self._held)
        self._in_loop(self._assign(begin, own or {}))
        logger.info(
            "platform.partitions.assigned", partitions=list(begin), offsets=list(begin.values())
        )

    async def _assign(
        self, begin: Mapping[Partition, int | None], own: Mapping[Partition, int]
    ) -> None:
        self.rebalances += 1
        for place, offset in begin.items():
            self.delivery.positions.begin(place, offset, own.get(place))
            self._workers.start(place, held=self._held)
        self.assigned.set()

    @orderly(HANDOVER_S)
    def _on_revoke(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        """In the poll thread, which must wait: the next owner may start as soon as this returns."""
        places = self._give_up(partitions)
        fresh = self.delivery.positions.fresh(places)
        if fresh:
            try:
                client.commit(offsets=self._offsets(fresh), asynchronous=False)
            except KafkaException as error:
                # The group went on without us, for example after a slow handover: the next owner
                # begins at the last committed offset, so events come again and none is missing.
                logger.warning("platform.commit.failed", error=str(error), partitions=places)
                if self._stopping:
                    self.failures.append(f"Kafka: {error}; uncommitted events come again")
        logger.info(
            "platform.partitions.revoked", partitions=places, committed=list(fresh.values())
        )
        self._forget(places)

    @orderly(HANDOVER_S)
    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """The group went on without us, so a commit is no longer possible."""
        places = self._give_up(partitions)
        logger.warning("platform.partitions.lost", partitions=places)
        self._forget(places)

    def _give_up(self, partitions: Sequence[TopicPartition]) -> list[Partition]:
        places = [(part.topic, part.partition) for part in partitions]
        self._reader.give_up(places)
        self._in_loop(self._release(places))
        return places

    def _forget(self, places: Sequence[Partition]) -> None:
        for place in places:
            self.delivery.positions.forget(place)
            self._reader.forget(place)

    def _in_loop(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(HANDOVER_S)

    async def _release(self, places: Sequence[Partition]) -> None:
        """Stop the workers, and make what they have written durable, each within a limit."""
        await self._workers.release(places)
        flush = asyncio.create_task(self._flush())
        hurry(flush)
        await asyncio.wait([flush], timeout=FLUSH_S)

    async def _commit_regularly(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_INTERVAL_S)
            await self._commit()

    async def _commit(self) -> None:
        try:
            fresh = await self._loop.run_in_executor(self._poll_thread, self._commit_fresh)
        except KafkaException as error:
            # Nothing is lost: the events would come again, and the next commit covers them.
            logger.warning("platform.commit.failed", error=str(error))
            if self._uncommitted:
                self.delivery.troubles.note(
                    COMMIT, f"Kafka does not take the group's offsets: {error}"
                )
            self._uncommitted = True
        else:
            self._uncommitted = False
            self.delivery.troubles.over(COMMIT)
            self.delivery.positions.commit(fresh)

    def _commit_fresh(self) -> Mapping[Partition, int]:
        """In the poll thread: if a partition was revoked meanwhile, offsets that waited for this
        thread could be older than the committed ones, and the next owner would begin there.
        """
        fresh = self.delivery.positions.fresh(list(self.buffer.queues))
        if fresh:
            self._reader.client.commit(offsets=self._offsets(fresh), asynchronous=False)
        return fresh

    def _offsets(self, positions: Mapping[Partition, int]) -> list[TopicPartition]:
        """The offsets to commit, each with its note."""
        booked = self.delivery.positions.booked
        return [
            TopicPartition(
                *place,
                offset,
                metadata=CommitNote(self._known_ids.get(place[0], ""), booked.get(place)).text(),
            )
            for place, offset in positions.items()
        ]

    def snapshot(self) -> dict[str, object]:
        """Queues, positions and counters, as plain data."""
        positions = self.delivery.positions
        return {
            "polled": self.polled,
            **buffer_state(self.buffer),
            "partitions": partition_states(self.buffer, positions, self.high_watermark),
            "pauses": self.pauses,
            "rebalances": self.rebalances,
            **delivery_state(self.delivery),
            "lost_records": self.gaps.lost_records,
            "skipped_records": self.gaps.skipped_records,
            "gaps": [str(gap) for gap in self.gaps.recent],
            "errors": self.errors,
            "monotonic_ns": time.monotonic_ns(),
        }

    def high_watermark(self, place: Partition) -> int | None:
        """The offset of the partition's next message, as far as the client knows it."""
        return self._reader.high(place)

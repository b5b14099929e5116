"""Kafka to sink: batched polls, one bounded queue and one worker a partition, offsets only for
what is durable.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from cdc_users.measure.clock import Anchor
from infra.platform.consume.broker import (
    ConsumerSettings,
    Watermarks,
    chunks,
    client_settings,
    orderly,
    usable,
)
from infra.platform.consume.buffer import Buffer, PartitionQueue
from infra.platform.consume.delivery import Delivery
from infra.platform.consume.gap import (
    Books,
    CommitNote,
    Gap,
    PartitionSpan,
    begin_at,
    gap_before,
    read_note,
)
from infra.platform.process.error import ConfigError, EventError, RetryableError
from infra.platform.process.retry import hurry
from infra.platform.process.topic_id import WATCH_S, TopicIds, TopicWatch
from infra.platform.sinks.batch import Chunk, Partition

logger = structlog.get_logger()
T = TypeVar("T")

POLL_S = 0.1
#: Messages taken in one poll at most: enough for numpy to pay, few enough for a small bound.
POLL_MESSAGES = 1000
#: Messages read at once at least, where so many wait: reading ten costs nearly as much as reading
#: a hundred.
READ_MESSAGES = 250
COMMIT_INTERVAL_S = 0.5
#: How long the broker may take to tell offsets.
COMMITTED_S = 60.0
#: How long workers may make room before a partition is paused, and how often they are looked after.
PATIENCE_S, NAP_S = 0.02, 0.001
WAKE_S = 1.0
#: A handover within what the group waits for (broker.REBALANCE_S): so long what is in flight may
#: end by itself, then it is cut where nothing is under way, then it is made durable.
FINISH_S, CUT_S, FLUSH_S = 20.0, 90.0, 30.0
HANDOVER_S = 240.0
#: Gaps that are remembered one by one; the counters have all.
GAPS_KEPT = 100


class CDCConsumer:
    """Reads change events and hands each partition's to the sink, in order, a batch at a time.

    A partition whose share of the buffer is full is paused, and the client's own prefetch is
    bounded, so memory is too. Offsets are committed for durable batches only: after a crash events
    come again, none is missing. When a partition is taken away, its batch in flight is finished,
    made durable and committed first, so no key is reordered. What stops a partition shows in
    `errors`.
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
        #: What nobody can read any more, and how many records were skipped for it.
        self.gaps: deque[Gap] = deque(maxlen=GAPS_KEPT)
        self.lost_records = self.skipped_records = 0
        self.polled = self.pauses = self.rebalances = 0
        self.delivery = delivery
        self._settings = settings
        self._anchor = anchor
        self._client = Consumer(client_settings(settings))
        # One thread for all that the client does. A commit beside a rebalance would wait for its
        # end and then put older offsets over those that were committed when the partition was
        # taken away.
        self._poll_thread = ThreadPoolExecutor(1, "poll")
        self._watermarks = Watermarks()
        self._topic_ids = topic_ids or TopicIds(settings.bootstrap)
        #: The topics' ids as they were when partitions were given, and the next offset to read.
        self._known_ids: dict[str, str] = {}
        self._read: dict[Partition, int] = {}
        self._overtaken: dict[Partition, None] = {}
        self._revoked: set[Partition] = set()
        self._given_back: dict[Partition, int] = {}
        self._workers: dict[Partition, asyncio.Task[None]] = {}
        self._flushing = asyncio.Lock()
        self._fatal: ConfigError | None = None
        self._stopping = False
        self._held = settings.held
        self._room = min(settings.batch_size, self.buffer.limit)
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Consume until `stop`; then finish what is held, commit and leave the group.

        Raises a sink's ConfigError.
        """
        self._client.subscribe(
            list(self._settings.topics),
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )
        regularly = [
            asyncio.create_task(self._commit_regularly()),
            asyncio.create_task(self._flush_regularly()),
            asyncio.create_task(self._watch_topics()),
        ]
        try:
            while not self._stopping:
                await self._poll_once()
            await self._drain()
        finally:
            await _end(regularly)
            await _end(list(self._workers.values()))
            await self._commit()
            with orderly(HANDOVER_S):
                await self._loop.run_in_executor(self._poll_thread, self._client.close)
        if self._fatal is not None:
            raise self._fatal

    @property
    def errors(self) -> list[str]:
        """What has failed permanently, and what keeps failing and is tried again."""
        return [*self.failures, *self.delivery.troubles.texts()]

    def stop(self) -> None:
        """Take nothing more from Kafka."""
        self._stopping = True

    def begin(self) -> None:
        """Start to read, where the settings said to wait for this; all instances can so begin at
        one moment.
        """
        self._held = False

    async def _poll_once(self) -> None:
        if self.buffer.free <= 0:
            self._pause(self.buffer.full(self._room))
        size = self.buffer.poll_size(max(POLL_MESSAGES, self._settings.batch_size))
        with orderly(HANDOVER_S):
            polled = await self._loop.run_in_executor(self._poll_thread, self._poll, max(size, 1))
        for place, chunk in polled:
            queue = self.buffer.queues.get(place)
            # Else taken away, or stopped, while the poll was under way.
            if queue is not None and not queue.closed:
                self.buffer.put(place, chunk)
        await self._give_time()
        resumed = self._balance()
        if resumed:
            await self._loop.run_in_executor(self._poll_thread, self._wake, resumed[0])

    async def _give_time(self) -> None:
        """Let quick workers make room first: a pause costs all that the client has fetched ahead
        for the partition.

        Slow ones are not waited for: meanwhile nothing would be read for the partitions that have
        nothing.
        """
        full = self.buffer.full(self._room)
        if not full and not any(queue.paused for queue in self.buffer.queues.values()):
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

    def _poll(self, room: int) -> list[tuple[Partition, Chunk]]:
        """In the poll thread: what is there now, without waiting for a batch to fill."""
        first = self._client.poll(POLL_S)
        self._watermarks.look(self._client)
        if first is None:
            return []
        self._revoked.clear()
        self._given_back.clear()
        messages = [first, *(self._client.consume(room - 1, 0) if room > 1 else ())]
        good, overtaken = usable(messages)
        self.polled += len(good)
        found = list(chunks(good, self._anchor.now_us())) if good else []
        self._read.update({place: chunk.offsets[-1] + 1 for place, chunk in found})
        self._overtaken |= dict.fromkeys(overtaken)
        for place in list(self._overtaken):
            self._look_for_gap(place)
        self._read_again()
        # What was read just before its partition was taken away belongs to the next owner, which
        # may be us again.
        return [(place, chunk) for place, chunk in found if place not in self._revoked]

    def _look_for_gap(self, place: Partition) -> None:
        """In the poll thread: the broker does not have the next offset of this partition."""
        part = TopicPartition(*place)
        try:
            span = PartitionSpan(*self._client.get_watermark_offsets(part, timeout=POLL_S))
        except KafkaException:
            return  # asked again at the next poll
        del self._overtaken[place]
        if place not in self._read:
            return
        gap = gap_before(place, self._read[place], span)
        if gap is not None and not self._goes_on(gap):
            del self._read[place]
            return
        if gap is not None:
            self._read[place] = gap.resume
        # The client has stopped to fetch this partition, and refuses a seek then. So all are given
        # again, each where it is.
        self._client.assign([TopicPartition(*each, offset) for each, offset in self._read.items()])
        self._client.pause(
            [TopicPartition(*each) for each, queue in self.buffer.queues.items() if queue.paused]
        )

    def _goes_on(self, gap: Gap) -> bool:
        """Book a gap; whether the records behind it are read."""
        self.gaps.append(gap)
        self.lost_records += gap.count
        if self._settings.skip_gaps:
            self.skipped_records += gap.count
            logger.warning("platform.gap.skipped", gap=str(gap), records=gap.count)
            return True
        self.failures.append(f"{gap.place[0]}[{gap.place[1]}] stopped: {gap}")
        logger.error("platform.partition.stopped", error=self.failures[-1])
        return False

    async def _watch_topics(self) -> None:
        """See that the topics that are read are still the same."""
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
        """Deliver nothing more of a topic that is another one now: its offsets mean nothing."""
        self._known_ids.pop(topic, None)
        for place, queue in self.buffer.queues.items():
            if place[0] == topic and not queue.closed:
                queue.close()
                next_offset = self._read.pop(place, None)
                self.delivery.positions.forget(place)
                self._fail(
                    place,
                    EventError(
                        f"{what}; it was read up to offset {next_offset}, what it had behind that"
                        " is lost; start again with an empty target, or name the new topic"
                    ),
                )

    def _read_again(self) -> None:
        """Seek to the start position of each partition that one poll took away and gave back.

        Messages that were read for it may come from before or from after; the order is lost.
        """
        for place, offset in self._given_back.items():
            # In the wrong state for a seek nothing has been read yet.
            with contextlib.suppress(KafkaException):
                self._client.seek(TopicPartition(*place, offset))
        self._given_back.clear()

    def _wake(self, place: Partition) -> None:
        """Ask the broker something: the client's thread for it sleeps up to a second where
        everything was paused.
        """
        with contextlib.suppress(KafkaException):
            self._client.get_watermark_offsets(TopicPartition(*place), timeout=WAKE_S)

    def _balance(self) -> list[Partition]:
        """Pause partitions that have had their share, resume those that have worked half of it
        off; returns these.
        """
        self._pause(self.buffer.full(self._room))
        ready = [] if self._held else self.buffer.ready(self._room)
        for place in ready:
            self.buffer.queues[place].paused = False
        if ready:
            self._client.resume([TopicPartition(*place) for place in ready])
        return ready

    def _pause(self, places: Sequence[Partition]) -> None:
        for place in places:
            self.buffer.queues[place].paused = True
        if places:
            self.pauses += len(places)
            self._client.pause([TopicPartition(*place) for place in places])

    async def _work(self, place: Partition, queue: PartitionQueue) -> None:
        """One partition's worker: a batch at a time, in order."""
        size = self._settings.batch_size
        try:
            while True:
                chunk = queue.take(max(2 * size, READ_MESSAGES), size, self._settings.batch_bytes)
                if chunk is None:
                    await queue.filled.wait()
                    continue
                for item, count in await self.delivery.read(place, chunk, size):
                    if queue.closed:
                        break
                    queue.begin(count)
                    await self.delivery.deliver(item)
                    queue.finish()
        except asyncio.CancelledError:
            raise
        except ConfigError as error:
            self._fatal = error
            self._fail(place, error)
            self.stop()
        except Exception as error:  # noqa: BLE001 - whatever a sink raises stops the partition and is shown
            self._fail(place, error)

    def _fail(self, place: Partition, error: Exception) -> None:
        self.failures.append(f"{place[0]}[{place[1]}] stopped: {type(error).__name__}: {error}")
        logger.error("platform.partition.stopped", error=self.failures[-1])

    async def _drain(self) -> None:
        """Finish what is held, as far as its partitions still work, and make it durable."""
        for place, queue in self.buffer.queues.items():
            await _until(queue.empty, self._workers[place])
        await self._flush()

    async def _flush(self) -> None:
        """Flush once at a time; a failure that outlasts the sink's retries is logged once and ends
        intake.
        """
        async with self._flushing:
            if not self.delivery.positions.accepted or self.delivery.failure is not None:
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

    def _on_assign(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        """In the poll thread: begin where Kafka or the sink says, where that is still there."""
        places = [(part.topic, part.partition) for part in partitions]
        if not places:
            self._in_loop(self._assign({}, {}))
            return
        ids = self._topic_ids(sorted({topic for topic, _ in places}))
        self._known_ids |= ids
        self._in_loop(self.delivery.sink.identify(ids))
        own = self._in_loop(self.delivery.sink.positions(places))
        begin, given = {}, []
        for part in client.committed(partitions, timeout=COMMITTED_S):
            place = (part.topic, part.partition)
            low, high = client.get_watermark_offsets(part, timeout=COMMITTED_S)
            span = PartitionSpan(low, high, ids.get(part.topic, ""))
            offset, gap = begin_at(place, _books(part, own), span)
            if gap is not None:
                if not self._goes_on(gap):
                    continue
                offset = gap.resume
            # Never left to the client: paused while it looks for the beginning, it would begin
            # there a second time.
            given.append(TopicPartition(*place, low if offset is None else offset))
            begin[place] = offset
        self._take(client, given)
        self._in_loop(self._assign(begin, own or {}))
        logger.info(
            "platform.partitions.assigned", partitions=list(begin), offsets=list(begin.values())
        )

    def _take(self, client: Consumer, given: list[TopicPartition]) -> None:
        client.assign(given)
        begin = {(part.topic, part.partition): part.offset for part in given}
        self._read |= begin
        self._given_back |= {
            place: offset for place, offset in begin.items() if place in self._revoked
        }
        self._watermarks.begin(list(begin))
        if given:
            # Said either way: the client remembers a pause over the partition's being taken away
            # and given back.
            (client.pause if self._held else client.resume)(given)

    async def _assign(
        self, begin: Mapping[Partition, int | None], own: Mapping[Partition, int]
    ) -> None:
        self.rebalances += 1
        for place, offset in begin.items():
            self.delivery.positions.begin(place, offset, own.get(place))
            queue = self.buffer.queues[place] = PartitionQueue()
            queue.paused = self._held
            self._workers[place] = asyncio.create_task(self._work(place, queue))
        self.assigned.set()

    def _on_revoke(self, client: Consumer, partitions: list[TopicPartition]) -> None:
        """In the poll thread, which must wait: the next owner may start as soon as this returns."""
        places = self._give_up(partitions)
        fresh = self.delivery.positions.fresh(places)
        if fresh:
            try:
                client.commit(offsets=self._offsets(fresh), asynchronous=False)
            except KafkaException as error:
                # The group has gone on, as after a handover that took too long: the next owner
                # begins at what was committed before, so events come again and none is missing.
                logger.warning("platform.commit.failed", error=str(error), partitions=places)
                if self._stopping:
                    self.failures.append(f"Kafka: {error}; what is not committed comes again")
        logger.info(
            "platform.partitions.revoked", partitions=places, committed=list(fresh.values())
        )
        self._forget(places)

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """The group has gone on without us, so there is nothing to commit any more."""
        places = self._give_up(partitions)
        logger.warning("platform.partitions.lost", partitions=places)
        self._forget(places)

    def _give_up(self, partitions: Sequence[TopicPartition]) -> list[Partition]:
        places = [(part.topic, part.partition) for part in partitions]
        self._revoked.update(places)
        self._watermarks.end(places)
        self._in_loop(self._release(places))
        return places

    def _forget(self, places: Sequence[Partition]) -> None:
        for place in places:
            self.delivery.positions.forget(place)
            self._read.pop(place, None)

    def _in_loop(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(HANDOVER_S)

    async def _release(self, places: Sequence[Partition]) -> None:
        """Forget what waits, finish what is in flight and make it durable, end the workers.

        Each within a limit, or the group would go on without us. What waits to be tried again is
        not waited for, and a write that takes too long is cut: its events come again.
        """
        # Not those whose assignment failed.
        held = [place for place in places if place in self.buffer.queues]
        workers = [self._workers.pop(place) for place in held]
        for place, worker in zip(held, workers, strict=True):
            self.buffer.queues[place].close()
            hurry(worker)
        await asyncio.wait(
            [
                asyncio.ensure_future(_until(self.buffer.queues[place].resting, worker))
                for place, worker in zip(held, workers, strict=True)
            ]
            or [asyncio.ensure_future(asyncio.sleep(0))],
            timeout=FINISH_S,
        )
        late = await _cut(workers, CUT_S)
        if late:
            logger.error("platform.handover.late", writes=late, waited_s=FINISH_S + CUT_S)
        for place in held:
            del self.buffer.queues[place]
        flush = asyncio.create_task(self._flush())
        hurry(flush)
        await asyncio.wait([flush], timeout=FLUSH_S)

    async def _commit_regularly(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_INTERVAL_S)
            await self._commit()

    async def _commit(self) -> None:
        fresh = self.delivery.positions.fresh(list(self.buffer.queues))
        if not fresh:
            return
        offsets = self._offsets(fresh)
        try:
            await self._loop.run_in_executor(
                self._poll_thread, lambda: self._client.commit(offsets=offsets, asynchronous=False)
            )
        except KafkaException as error:
            # Not lost: the events would come again. The next commit covers them.
            logger.warning("platform.commit.failed", error=str(error))
        else:
            self.delivery.positions.commit(fresh)

    def _offsets(self, positions: Mapping[Partition, int]) -> list[TopicPartition]:
        """What is committed, each with what it belongs to."""
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
        return {
            "polled": self.polled,
            "enqueued": self.buffer.enqueued,
            "partitions": {
                f"{topic}:{number}": self._partition(topic, number)
                for topic, number in self.buffer.queues
            },
            "queue_depth": self.buffer.depth,
            "queue_high_water": self.buffer.high_water,
            "in_flight": self.buffer.in_flight,
            "paused_partitions": sum(queue.paused for queue in self.buffer.queues.values()),
            "max_buffered_messages": self.buffer.limit,
            "pauses": self.pauses,
            "rebalances": self.rebalances,
            "dead_letters": self.delivery.dead_letters.count,
            "queue_bytes": self.buffer.bytes,
            "queue_high_water_bytes": self.buffer.high_water_bytes,
            "max_buffered_bytes": self.buffer.limit_bytes,
            "accepted_bytes": self.delivery.accepted[0],
            "accepted_events": self.delivery.accepted[1],
            "lost_records": self.lost_records,
            "skipped_records": self.skipped_records,
            "gaps": [str(gap) for gap in self.gaps],
            "errors": self.errors,
            "monotonic_ns": time.monotonic_ns(),
        }

    def _partition(self, topic: str, number: int) -> dict[str, object]:
        place = (topic, number)
        queue = self.buffer.queues[place]
        high = self.high_watermark(place)
        durable = self.delivery.positions.durable.get(place)
        return {
            "queue_depth": queue.depth,
            "in_flight": queue.in_flight,
            "paused": queue.paused,
            "durable": durable,
            "accepted": self.delivery.positions.accepted.get(place),
            "committed": self.delivery.positions.committed.get(place),
            "high_watermark": high,
            "lag": None if high is None else high - (durable or 0),
        }

    def high_watermark(self, place: Partition) -> int | None:
        """The offset that the partition's next message will have, as far as the client has
        heard.
        """
        return self._watermarks.high.get(place)


def _books(part: TopicPartition, own: Mapping[Partition, int] | None) -> Books:
    """What the group and the sink know of a partition."""
    committed = part.offset if part.offset >= 0 else None
    note = read_note(part.metadata) if committed is not None else None
    if own is None:
        return Books(committed, note)
    return Books(committed, note, own.get((part.topic, part.partition)), keeps=True)


async def _until(event: asyncio.Event, worker: asyncio.Task[None]) -> None:
    """Wait for a state of a queue, or for the end of its worker, which then brings it about no
    more.
    """
    waiting = asyncio.ensure_future(event.wait())
    await asyncio.wait([worker, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


async def _cut(tasks: Sequence[asyncio.Task[None]], limit_s: float) -> int:
    """Cancel tasks and wait for their end, but not for ever; how many have not ended."""
    for task in tasks:
        task.cancel()
    if not tasks:
        return 0
    _, late = await asyncio.wait(tasks, timeout=limit_s)
    return len(late)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for their end, whatever it is."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

"""Watches Kafka topics of Debezium's Avro events, without a consumer group, so that the tap has no
part in any lag.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from threading import Event, Thread
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    KafkaException,
    TopicPartition,
)
from typing_extensions import override

from cdc_users.measure.clock import Anchor
from cdc_users.observe.declaration import TapDeclaration
from cdc_users.observe.events.envelope import (
    TOPIC_PARTITIONS,
    EnvelopeParser,
    KafkaMessage,
    Schemas,
)
from cdc_users.observe.message import TapPlace
from cdc_users.observe.settings import KafkaSettings, TopicSettings
from cdc_users.observe.tap import ObservedRecord, Tap, TapError, by_partition, end_thread
from infra.avro.row_reader import RowReader
from infra.client.kafka import kafka_settings
from infra.validate import is_loopback

BATCH = 1000
POLL_S = 0.1
TIMEOUT_S = 10.0
#: How often new partitions are looked for, and how long that may hold up reading.
LOOK_S, LOOK_TIMEOUT_S = 5.0, 1.0

Take = Callable[[Sequence[KafkaMessage], int], None]


class TopicReading:
    """Reads all partitions of some topics in a thread, from their beginning or from their end at
    the start, and passes each batch on by partition.

    It commits no offsets. The partitions of the second topic are numbered from 10,000, those of the
    third from 20,000, and so on.
    """

    def __init__(self, settings: KafkaSettings, record: ObservedRecord, anchor: Anchor) -> None:
        self._anchor = anchor
        self._bootstrap = bootstrap = settings.bootstrap
        self._topics = list(settings.all_topics)
        self._from_end = settings.from_end
        self._record = record
        self._stop = Event()
        self._thread: Thread | None = None
        self._read: dict[int, int] = {}
        self._known: set[tuple[str, int]] = set()
        #: Whether the broker is on another host, whose clock may be off by an unknown time.
        self._one_clock = all(
            is_loopback(place.rpartition(":")[0].strip("[]")) for place in bootstrap.split(",")
        )

    def start(self, take: Take) -> None:
        """Begin to read; `take(messages, seen_us)` is called from the thread. Raises TapError for a
        missing topic.
        """
        own = {
            "group.id": "cdc-observer",  # the client demands one; nothing is ever committed to it
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "queued.max.messages.kbytes": 16_384,
            "fetch.wait.max.ms": 20,
            "log_level": 2,
        }
        consumer = Consumer(kafka_settings(self._bootstrap, own))
        partitions = []
        try:
            for topic in self._topics:
                known = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
                if known.error is not None or not known.partitions:
                    raise TapError(
                        f"topic {topic!r} is not at {self._bootstrap}; create it before the tap"
                        " starts"
                    )
                partitions += [
                    TopicPartition(topic, number, self._first(consumer, topic, number))
                    for number in known.partitions
                ]
            self._known = {(place.topic, place.partition) for place in partitions}
            consumer.assign(partitions)
        except KafkaException as error:
            raise TapError(
                f"Kafka at {self._bootstrap} does not answer: {error.args[0].str()}"
            ) from error
        self._thread = Thread(
            target=self._run, args=(consumer, take), name="topic tap", daemon=True
        )
        self._thread.start()

    def _first(self, consumer: Consumer, topic: str, number: int) -> int:
        """The offset to begin at.

        A number and not "the end", because the client would look that up later, behind the first
        events.
        """
        if not self._from_end:
            return OFFSET_BEGINNING
        return int(consumer.get_watermark_offsets(TopicPartition(topic, number), TIMEOUT_S)[1])

    def _run(self, consumer: Consumer, take: Take) -> None:
        look_s = time.monotonic() + LOOK_S
        try:
            while not self._stop.is_set():
                self._batch(consumer, take)
                if time.monotonic() > look_s:
                    self._follow(consumer)
                    look_s = time.monotonic() + LOOK_S
        finally:
            if not self._stop.is_set():  # the traceback is in the log; later events are not audited
                self._record.fail(
                    f"the tap on {', '.join(self._topics)} crashed; see the observer's log"
                )
            consumer.close()

    def _follow(self, consumer: Consumer) -> None:
        """Also read partitions that were added during the run, from their beginning."""
        with contextlib.suppress(KafkaException):  # a broker that is away has added none
            there = {
                (name, number)
                for name in self._topics
                for number in consumer.list_topics(name, LOOK_TIMEOUT_S).topics[name].partitions
            }
            added = sorted(there - self._known)
            if added:
                consumer.incremental_assign(
                    [TopicPartition(*place, OFFSET_BEGINNING) for place in added]
                )
                self._known.update(added)

    def _batch(self, consumer: Consumer, take: Take) -> None:
        groups: dict[int, list[KafkaMessage]] = {}
        following: dict[int, int] = {}
        # A request for many messages waits for that many or for the whole time; so wait for the
        # first one, and take those that came with it.
        first = consumer.poll(POLL_S)
        if first is None:
            return
        for message in (first, *consumer.consume(BATCH, 0)):
            if (error := message.error()) is not None:
                self._record.fail(f"Kafka: {error.str()}")
                continue
            number, offset = self._number(message), message.offset() or 0
            following[number] = offset + 1
            if (value := message.value()) is not None:  # a tombstone is no event
                kind, appended_ms = message.timestamp()
                made = KafkaMessage(
                    number,
                    offset,
                    message.key(),
                    value,
                    appended_ms * 1000,
                    self._one_clock and kind == TIMESTAMP_LOG_APPEND_TIME,
                )
                groups.setdefault(number, []).append(made)
        seen_us = self._anchor.now_us()
        for messages in groups.values():
            take(messages, seen_us)
        self._read.update(following)

    def _number(self, message: Any) -> int:
        return self._topics.index(message.topic()) * TOPIC_PARTITIONS + int(message.partition())

    def stop(self) -> None:
        """Stop reading."""
        end_thread(self._stop, self._thread)

    def read(self) -> Mapping[str, int]:
        """The offset to be read next, of each partition that has had messages or tombstones."""
        # A copy: the reading thread adds a partition at its first message.
        return by_partition(self._read)


class TopicTap(Tap):
    """The tap on topics of Avro envelopes.

    `readers` are for schemas that need not be fetched from the registry.
    """

    kind = "topic"

    def __init__(
        self,
        settings: TopicSettings,
        run: str,
        anchor: Anchor,
        readers: Mapping[int, RowReader] | None = None,
    ) -> None:
        self.record = ObservedRecord(run)
        self._reading = TopicReading(settings, self.record, anchor)
        schemas = Schemas(settings.schema_registry_url, dict(readers or {}))
        self._parser = EnvelopeParser(schemas, self.record, settings)

    @override
    def start(self) -> TapPlace:
        self._reading.start(self.take)
        return TapPlace()

    def take(self, messages: Sequence[KafkaMessage], seen_us: int) -> None:
        """Take in messages of one partition, in their order."""
        for events in self._parser.parse(messages, seen_us):
            self.record.take(events)

    @override
    def stop(self) -> None:
        self._reading.stop()

    @override
    def gauges(self) -> dict[str, object]:
        return {"read": self._reading.read()}


TOPIC_TAP = TapDeclaration(
    "topic",
    make=TopicTap,
    settings=TopicSettings,
    needs=("bootstrap", "schema_registry_url"),
    either=("topic", "topics"),
)

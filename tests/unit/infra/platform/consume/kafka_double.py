"""A Kafka client without Kafka: gives its partition at the first poll, then the records that it
was made with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

from confluent_kafka import TopicPartition

from cdc_users.measure.clock import new_anchor
from infra.platform.consume.broker import ConsumerSettings
from infra.platform.consume.consumer import CDCConsumer
from infra.platform.consume.dead_letter import NoDeadLetters
from infra.platform.consume.delivery import CommitLimit, Delivery, registry_retries
from infra.platform.consume.registry import Registry
from infra.platform.sinks.connector import SinkConnector
from infra.platform.sinks.retrying import RetryingSink
from tests.change_events import CUSTOMERS, Encoder, envelope_schema, inserts, key_schema

TOPIC = "t"
Callback = Callable[[Any, list[TopicPartition]], None]


@dataclass(frozen=True, slots=True)
class Record:
    """What the consumer asks of a message."""

    at: int
    content: bytes
    name: bytes

    def error(self) -> None:
        return None

    def topic(self) -> str:
        return TOPIC

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return (1, 0)

    def value(self) -> bytes:
        return self.content

    def key(self) -> bytes:
        return self.name


class KafkaDouble:
    """One partition, read from its beginning;

    `take_away` lets the next poll take the partition away.
    """

    def __init__(self, records: Sequence[Record] = ()) -> None:
        self.committed_offsets: list[int] = []
        self.commit_error: Exception | None = None
        self.take_away = False
        self._records = list(records)
        self._on_assign: Callback | None = None
        self._on_revoke: Callback | None = None
        self._given = False
        #: What the partition has, what the group has committed of it, and the topic's id.
        self.low, self.high = 0, len(self._records)
        self.group: tuple[int, str] | None = None
        self.topic_id = "one"
        self.begun_at: list[int] = []
        #: What the broker answers before it tells offsets.
        self.watermark_errors: list[Exception] = []

    def topic_ids(self, topics: Sequence[str]) -> dict[str, str]:
        """As the broker would say."""
        return dict.fromkeys(topics, self.topic_id) if self.topic_id else {}

    def subscribe(self, _: list[str], on_assign: Callback, on_revoke: Callback, **__: Any) -> None:
        self._on_assign, self._on_revoke = on_assign, on_revoke

    def poll(self, _: float) -> Record | None:
        if not self._given and not self.take_away:
            assert self._on_assign is not None
            self._given = True  # also where the callback fails, as librdkafka has it
            self._on_assign(self, [TopicPartition(TOPIC, 0)])
        if self.take_away:
            self._revoke()
        if self._records:
            return self._records.pop(0)
        time.sleep(0.001)  # as the client waits for more
        return None

    def consume(self, room: int, _: float) -> list[Record]:
        taken, self._records = self._records[:room], self._records[room:]
        return taken

    def _revoke(self) -> None:
        if self._given:
            self._given = False
            assert self._on_revoke is not None
            self._on_revoke(self, [TopicPartition(TOPIC, 0)])

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:  # noqa: ARG002
        if self.group is None:
            return partitions
        offset, metadata = self.group
        return [TopicPartition(part.topic, part.partition, offset, metadata) for part in partitions]

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
        if self.watermark_errors:
            raise self.watermark_errors.pop(0)
        return self.low, self.high

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> None:  # noqa: ARG002
        if self.commit_error is not None:
            raise self.commit_error
        self.committed_offsets += [part.offset for part in offsets]
        self.group = offsets[-1].offset, offsets[-1].metadata or ""

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Reads from there on."""
        self.begun_at += [part.offset for part in partitions]

    def pause(self, partitions: list[TopicPartition]) -> None:
        """See confluent_kafka.Consumer."""

    resume = seek = pause

    def close(self) -> None:
        """Leaves the group, which takes the partition away."""
        self._revoke()


class Schemas(Registry):
    """A registry of the two schemas that the test's events have."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")

    def schema(self, number: int) -> Any:
        return {
            1: envelope_schema(CUSTOMERS, "cdc.test.customers"),
            2: key_schema("cdc.test.customers"),
        }[number]


def records(count: int) -> list[Record]:
    """New customers, from the partition's beginning."""
    encoder = Encoder()
    return [
        Record(offset, encoder.value(event) or b"", encoder.key(event))
        for offset, event in enumerate(inserts(count))
    ]


def consumer_of(
    client: KafkaDouble,
    sink: SinkConnector,
    flush_interval_s: float = 0.01,
    limit: CommitLimit | None = None,
    skip_gaps: bool = False,
) -> CDCConsumer:
    """A consumer of the double, a batch of ten at a time.

    What a retrying sink has to try again it shows.
    """
    troubles = sink.troubles if isinstance(sink, RetryingSink) else None
    retries = registry_retries(troubles=troubles)
    settings = ConsumerSettings("", "g", (TOPIC,), 10, 1000, flush_interval_s, skip_gaps=skip_gaps)
    with mock.patch("infra.platform.consume.partition_reader.Consumer", return_value=client):
        return CDCConsumer(
            settings,
            Delivery(Schemas(), sink, NoDeadLetters(), retries, limit),
            new_anchor(),
            topic_ids=client.topic_ids,
        )

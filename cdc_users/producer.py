"""Produces change events straight to Kafka, as Debezium would have written them, at any rate and of any shape.

`AvroProducer` knows neither gevent nor threads: whoever owns it calls `push` and `poll` from one thread (or
greenlet), and `flush` from anywhere that may wait. Every record's acknowledgement is timed; a record whose fate
the broker did not tell is `unknown`, never guessed.
"""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from cdc_users.channel import Channel, evolve, open_channel
from cdc_users.flight import Flight
from cdc_users.keyspace import Outcome
from cdc_users.measure.clock import Anchor
from cdc_users.measure.probe import Operation
from infra.schemas.encoder import EnvelopeEncoder, Origin

logger = structlog.get_logger()

PROGRESS_S = 10.0
#: The client's own bounds; beyond them `push` says that the queue is full.
QUEUE_RECORDS = 50_000
QUEUE_KBYTES = 256 * 1024
#: The largest batch of several records. The broker's limit is on batches; a larger record gets one alone.
BATCH_BYTES = 900_000
CLIENT_LIMIT_BYTES = 1_000_000_000
#: A batch's head and its only record's own, at their longest (Kafka protocol, "Record Batch").
BATCH_HEAD_BYTES = 61 + 36
HEADER_HEAD_BYTES = 10
FIRST_LSN = 2**24

_OPERATION: Mapping[Operation, str] = {
    Operation.INSERT: "c",
    Operation.FENCE: "c",
    Operation.UPDATE: "u",
    Operation.STAMP: "u",
    Operation.DELETE: "d",
}
#: With these answers a record is certainly not in the topic; any other may have come after the broker wrote it.
_NOT_WRITTEN = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError._PURGE_QUEUE,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    }
)
#: What Debezium puts beside each record.
HEADERS: tuple[tuple[str, bytes], ...] = (
    ("__debezium.context.connectorLogicalName", b"cdc"),
    ("__debezium.context.taskId", b"0"),
    ("__debezium.context.connectorName", b"postgresql"),
)


@dataclass(slots=True)
class Figures:
    """What a producer has done so far. `records` and `bytes` (keys and values) are what the client took, tombstones
    included; the outcomes count changes."""

    records: int = 0
    bytes: int = 0
    acked: int = 0
    failed: int = 0
    unknown: int = 0
    tombstones_failed: int = 0
    #: How often the local queue was full: local backpressure.
    queue_full: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    #: What the client says of itself, in ms, of the last second (librdkafka's STATISTICS.md).
    client_ms: Mapping[str, float] = field(default_factory=dict)

    def note(self, flight: Flight) -> None:
        """Count a flight that has landed."""
        outcomes = Counter(outcome for outcome, _ in flight.failures.values())
        self.failed += outcomes["failed"]
        self.unknown += outcomes["unknown"]
        self.acked += len(flight) - len(flight.failures)
        self.causes += flight.causes()


class AvroProducer:
    """Produces changes in Debezium's envelope, keys and values in Confluent's wire format.

    `channels` are the tables' topics in the tables' order (Change.table counts from 0). A key goes to the partition
    where Debezium would put it, or where its flight says. Not safe for several threads.
    """

    def __init__(
        self,
        bootstrap: str,
        channels: Sequence[Channel],
        anchor: Anchor,
        *,
        headers: bool = False,
        linger_ms: float = 5,
    ) -> None:
        self.figures = Figures()
        self._anchor = anchor
        self._headers: list[tuple[str, str | bytes | None]] | None = list(HEADERS) if headers else None
        self._outlets = [_Outlet(channel, headers) for channel in channels]
        self._producer = Producer(_settings(bootstrap, channels, linger_ms) | {"stats_cb": self._note_statistics})
        self._flights: deque[Flight] = deque()
        self._lsn = FIRST_LSN
        self._told_s = time.monotonic()

    @classmethod
    def open(
        cls, bootstrap: str, registry_url: str, topics: Sequence[str], anchor: Anchor, **options: Any
    ) -> AvroProducer:
        """A producer that finds out by itself what the topics need (channel.open_channel has the errors)."""
        return cls(bootstrap, [open_channel(bootstrap, registry_url, topic) for topic in topics], anchor, **options)

    @property
    def channels(self) -> Sequence[Channel]:
        """The tables' topics as they are now."""
        return [outlet.channel for outlet in self._outlets]

    def evolve(self, registry_url: str, column: str) -> None:
        """From now on every row has one column more, a nullable text, the last."""
        channels = [evolve(channel, registry_url, column) for channel in self.channels]
        self._outlets = [_Outlet(channel, self._headers is not None) for channel in channels]

    def push(self, flight: Flight) -> bool:
        """Hand over a flight, or the rest of one; False where the local queue is full, and `poll` must make room."""
        if not flight.begun:
            flight.begun = True
            self._flights.append(flight)
        moment_us = self._anchor.now_us()
        for outlet in self._outlets:
            outlet.moment = outlet.encoder.moment(moment_us)
        try:
            if flight.owed is not None:
                self._bury(flight, flight.owed)
            for index in range(flight.sent, len(flight)):
                self._send(flight, index)
        except BufferError:
            self.figures.queue_full += 1
            return False
        return True

    def _send(self, flight: Flight, index: int) -> None:
        change = flight.changes[index]
        outlet = self._outlets[change.table]
        self._lsn = lsn = self._lsn + 1
        before, row, transaction = change.before, change.row, flight.transactions[index]
        key = outlet.encoder.key(row or before or ())
        value = outlet.encoder.value(_OPERATION[change.operation], before, row, transaction, lsn, outlet.moment)
        size = len(key) + len(value)
        called_ns = time.monotonic_ns()
        if size > outlet.room_bytes:
            flight.refuse(called_ns, index, outlet.too_large(size))
            return
        try:
            self._produce(outlet.topic, key, value, flight.partition, partial(_answer, flight, index))
        except KafkaException as error:
            flight.refuse(called_ns, index, f"the client did not take it: {error.args[0].str()}")
            return
        flight.depart(called_ns)
        self.figures.records += 1
        self.figures.bytes += size
        if row is None:
            self._bury(flight, key)

    def _produce(self, topic: str, key: bytes, value: bytes | None, partition: int, answer: Any) -> None:
        if self._headers is None:
            self._producer.produce(topic, value, key, partition, answer)
        else:
            self._producer.produce(topic, value, key, partition, answer, headers=self._headers)

    def _bury(self, flight: Flight, key: bytes) -> None:
        """Send the tombstone that follows a delete. It is no event: what becomes of it changes no outcome."""
        flight.owed = key
        outlet = self._outlets[flight.changes[flight.sent - 1].table]
        self._produce(outlet.topic, key, None, flight.partition, partial(self._buried, flight))
        flight.owed = None
        flight.open += 1
        self.figures.records += 1
        self.figures.bytes += len(key)

    def _buried(self, flight: Flight, error: KafkaError | None, _message: Message) -> None:
        flight.open -= 1
        self.figures.tombstones_failed += error is not None

    def poll(self, timeout_s: float = 0) -> Sequence[Flight]:
        """Let acknowledgements in; returns the flights that have landed, in the order in which they were pushed."""
        self._producer.poll(timeout_s)
        landed = []
        while self._flights and self._flights[0].landed:
            flight = self._flights.popleft()
            self.figures.note(flight)
            landed.append(flight)
        if time.monotonic() - self._told_s > PROGRESS_S:
            self._tell()
        return landed

    def flush(self, limit_s: float) -> Sequence[Flight]:
        """Wait until everything has landed. What has not by then is given up: its outcome is `unknown`.

        Waits in C: under gevent call it in the hub's thread pool.
        """
        if self._producer.flush(limit_s):
            self._producer.purge()
            self._producer.flush(limit_s)
        return self.poll()

    def _tell(self) -> None:
        self._told_s = time.monotonic()
        figures = self.figures
        logger.info(
            "benchmark.produce.progress",
            records=figures.records,
            acked=figures.acked,
            failed=figures.failed,
            unknown=figures.unknown,
            queued=len(self._producer),
            queue_full=figures.queue_full,
            **figures.client_ms,
        )

    def _note_statistics(self, text: str) -> None:
        brokers = json.loads(text)["brokers"].values()
        used = [broker for broker in brokers if broker["nodeid"] >= 0 and broker["rtt"]["cnt"]]
        names = {"rtt": "broker_ms", "int_latency": "local_queue_ms", "outbuf_latency": "send_buffer_ms"}
        self.figures.client_ms = {
            ours: round(max(broker[theirs]["avg"] for broker in used) / 1000, 3)
            for theirs, ours in names.items()
            if used
        }


class _Outlet:
    """One table's topic while it is written to: its encoder, the moment of the current push, the room for a record."""

    __slots__ = ("channel", "encoder", "moment", "room_bytes", "topic")

    def __init__(self, channel: Channel, headers: bool) -> None:
        schema, table = [*channel.topic.split(".")[-2:], "customers"][:2]
        self.channel = channel
        self.topic = channel.topic
        self.encoder = EnvelopeEncoder(
            channel.schemas, channel.key_id, channel.value_id, Origin(schema=schema, table=table)
        )
        self.moment = self.encoder.moment(0)
        beside = sum(len(name) + len(value) + HEADER_HEAD_BYTES for name, value in HEADERS) if headers else 0
        self.room_bytes = channel.max_message_bytes - BATCH_HEAD_BYTES - beside

    def too_large(self, size: int) -> str:
        """Why a record of so many bytes is not sent."""
        return f"a record of {size} bytes is larger than the {self.room_bytes} that topic {self.topic!r} takes"


def _answer(flight: Flight, index: int, error: KafkaError | None, _message: Message) -> None:
    """The client's callback for one record: it only takes note."""
    if error is None:
        flight.acknowledge(index)
    else:
        outcome: Outcome = "failed" if error.code() in _NOT_WRITTEN else "unknown"
        flight.fail(index, outcome, f"{error.name()}: {error.str()}")


def _settings(bootstrap: str, channels: Sequence[Channel], linger_ms: float) -> dict[str, Any]:
    smallest = min(channel.max_message_bytes for channel in channels)
    return {
        "bootstrap.servers": bootstrap,
        # Kafka's own hash, so that a key lands where a Java producer would put it.
        "partitioner": "murmur2_random",
        # Retries neither double nor reorder, as with Debezium's own producer.
        "enable.idempotence": True,
        "linger.ms": linger_ms,
        "queue.buffering.max.messages": QUEUE_RECORDS,
        "queue.buffering.max.kbytes": QUEUE_KBYTES,
        "batch.size": min(BATCH_BYTES, smallest * 9 // 10),
        # Too large is told by us, precisely and for the record alone; the client would count without the batch's head.
        "message.max.bytes": CLIENT_LIMIT_BYTES,
        "statistics.interval.ms": 1000,
        "log_level": 2,
    }

"""Produces change events straight to Kafka in Debezium's format, at any rate and of any shape.

`AvroProducer` knows neither gevent nor threads: its owner calls `push` and `poll` from one thread
(or greenlet), and `flush` from any place that may wait. Every record's acknowledgement is timed. A
record whose outcome the broker did not report is `unknown`.
"""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from cdc_users.measure.clock import Anchor
from cdc_users.users.producer.added_column import Widening
from cdc_users.users.producer.in_flight import Flight
from cdc_users.users.producer.record import HEADERS, Outlet
from cdc_users.users.producer.topic_schemas import Channel, evolve, open_channel
from cdc_users.users.workload.keyspace import Outcome
from infra.client.kafka import LARGEST_MESSAGE_BYTES, kafka_settings

logger = structlog.get_logger()

PROGRESS_S = 10.0
#: The client's own bounds; beyond them `push` reports a full queue. One `poll` may handle this many
#: acknowledgements at once, so larger bounds would stall its caller.
QUEUE_RECORDS = 20_000
QUEUE_KBYTES = 256 * 1024
#: The largest batch of several records. The broker limits batches; a larger record is sent as a
#: batch of its own.
BATCH_BYTES = 900_000
#: A broker that was killed is back within seconds; records without an answer by now are unknown.
GIVE_UP_S = 60.0
FIRST_LSN = 2**24

#: With these answers a record is certainly not in the topic; with any other one the broker may have
#: written it.
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


@dataclass(slots=True)
class Figures:
    """What a producer has done so far.

    `bytes` counts keys and values that the client took, including those of tombstones; all counts
    but `tombstones` are of changes.
    """

    records: int = 0
    bytes: int = 0
    acked: int = 0
    failed: int = 0
    unknown: int = 0
    tombstones: int = 0
    tombstones_failed: int = 0
    #: How often the local queue was full, which is backpressure inside this process.
    queue_full: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    #: The client's own statistics in ms, of the last second (librdkafka's STATISTICS.md).
    client_ms: Mapping[str, float] = field(default_factory=dict)

    def note(self, flight: Flight) -> None:
        """Count a flight that has landed."""
        outcomes = Counter(outcome for outcome, _ in flight.failures.values())
        self.failed += outcomes["failed"]
        self.unknown += outcomes["unknown"]
        self.acked += len(flight) - len(flight.failures)
        self.causes += flight.causes()


@dataclass(frozen=True, slots=True)
class SendOptions:
    """How records are sent: schema ids in headers or before the value, how long the client waits to
    fill a batch (linger), and the length of its local queue.
    """

    headers: bool = False
    linger_ms: float = 5
    queue_records: int = QUEUE_RECORDS


class AvroProducer:
    """Produces changes in Debezium's envelope, keys and values in Confluent's wire format.

    `channels` are the tables' topics in the tables' order (Change.table counts from 0). A key goes
    to the partition that Debezium would choose, unless its flight names one. Not safe for several
    threads.
    """

    def __init__(
        self,
        bootstrap: str,
        channels: Sequence[Channel],
        anchor: Anchor,
        options: SendOptions = SendOptions(),
    ) -> None:
        self.figures = Figures()
        self._anchor = anchor
        self._more: dict[str, Any] = {"headers": list(HEADERS)} if options.headers else {}
        self._outlets = [Outlet(channel, headers=options.headers) for channel in channels]
        settings = _settings(bootstrap, channels, options)
        self._producer = Producer(settings | {"stats_cb": self._note_statistics})
        self._flights: deque[Flight] = deque()
        self._lsns = itertools.count(FIRST_LSN)
        self._widening: Widening | None = None
        self._shown_s = time.monotonic()

    @classmethod
    def open(
        cls,
        bootstrap: str,
        registry_url: str,
        topics: Sequence[str],
        anchor: Anchor,
        options: SendOptions = SendOptions(),
    ) -> AvroProducer:
        """A producer that asks broker and registry itself (errors as in
        topic_schemas.open_channel).
        """
        return cls(
            bootstrap,
            [open_channel(bootstrap, registry_url, topic) for topic in topics],
            anchor,
            options,
        )

    @property
    def channels(self) -> Sequence[Channel]:
        """The tables' topics as they are now."""
        return [outlet.channel for outlet in self._outlets]

    def room_bytes(self, table: int) -> int:
        """The largest size of key and value together that a table's topic accepts."""
        return self._outlets[table].room_bytes

    @property
    def flying(self) -> int:
        """The number of flights that have not landed."""
        return len(self._flights)

    def evolve(self, registry_url: str, column: str) -> None:
        """Add a nullable text column as the last one; from now on every row has it."""
        channels = [evolve(channel, registry_url, column) for channel in self.channels]
        self._outlets = [Outlet(channel, headers=bool(self._more)) for channel in channels]
        self._widening = Widening()

    def push(self, flight: Flight) -> bool:
        """Hand over a flight or the rest of one; False if the local queue is full, and `poll` must
        make room.
        """
        if not flight.begun:
            flight.begun = True
            self._flights.append(flight)
        moment_us = self._anchor.now_us()
        for outlet in self._outlets:
            outlet.moment = outlet.encoder.moment(moment_us)
        # Answers come only in `poll`, so a failure in between is a refusal.
        taken, size = flight.sent - len(flight.failures), flight.bytes
        try:
            self._push(flight)
        except BufferError:
            self.figures.queue_full += 1
            return False
        finally:
            self.figures.records += flight.sent - len(flight.failures) - taken
            self.figures.bytes += flight.bytes - size
        return True

    def _push(self, flight: Flight) -> None:
        produce, more, partition, now_ns = (
            self._producer.produce,
            self._more,
            flight.partition,
            time.monotonic_ns,
        )
        if flight.owed is not None:
            self._bury(flight, *flight.owed)
        for outlet, key, value in flight.records(self._outlets, self._lsns, self._widening):
            if value is None:
                self._bury(flight, outlet.topic, key)
                continue
            size, called_ns = len(key) + len(value), now_ns()
            if size > outlet.room_bytes:
                flight.refuse(called_ns, outlet.too_large(size))
                continue
            try:
                produce(
                    outlet.topic,
                    value,
                    key,
                    partition,
                    partial(_answer, flight, flight.sent),
                    **more,
                )
            except KafkaException as error:
                flight.refuse(called_ns, f"the client did not take it: {error.args[0].str()}")
                continue
            flight.depart(called_ns, size)

    def _bury(self, flight: Flight, topic: str, key: bytes) -> None:
        """Send the tombstone that follows a delete.

        A tombstone is no event, so its fate changes no outcome.
        """
        flight.owed = topic, key
        self._producer.produce(
            topic, None, key, flight.partition, partial(self._buried, flight), **self._more
        )
        flight.owed = None
        flight.open += 1
        flight.bytes += len(key)
        self.figures.tombstones += 1

    def _buried(self, flight: Flight, error: KafkaError | None, _message: Message) -> None:
        flight.open -= 1
        self.figures.tombstones_failed += error is not None

    def poll(self, timeout_s: float = 0) -> Sequence[Flight]:
        """Handle acknowledgements; returns the flights that have landed, in the order of their
        push.
        """
        self._producer.poll(timeout_s)
        landed = []
        while self._flights and self._flights[0].landed:
            flight = self._flights.popleft()
            self.figures.note(flight)
            landed.append(flight)
        if time.monotonic() - self._shown_s > PROGRESS_S:
            self._show_progress()
        return landed

    def flush(self, limit_s: float) -> Sequence[Flight]:
        """Wait until everything has landed.

        Records without an answer by then are given up and become `unknown`. Waits in C, so under
        gevent it must run in the hub's thread pool.
        """
        if self._producer.flush(limit_s):
            self._producer.purge()
            self._producer.flush(limit_s)
        return self.poll()

    def _show_progress(self) -> None:
        self._shown_s = time.monotonic()
        figures = self.figures
        logger.info(
            "benchmark.produce.progress",
            records=figures.records,
            tombstones=figures.tombstones,
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
        names = {
            "rtt": "broker_ms",
            "int_latency": "local_queue_ms",
            "outbuf_latency": "send_buffer_ms",
        }
        self.figures.client_ms = {
            ours: round(max(broker[theirs]["avg"] for broker in used) / 1000, 3)
            for theirs, ours in names.items()
            if used
        }


def _answer(flight: Flight, index: int, error: KafkaError | None, _message: Message) -> None:
    """The client's callback for one record: it only takes a note."""
    if error is None:
        flight.acknowledge(index)
    else:
        outcome: Outcome = "failed" if error.code() in _NOT_WRITTEN else "unknown"
        flight.fail(index, outcome, f"{error.name()}: {error.str()}")


def _settings(
    bootstrap: str, channels: Sequence[Channel], options: SendOptions
) -> dict[str, object]:
    smallest = min(channel.max_message_bytes for channel in channels)
    own = {
        # Kafka's own hash, so that a key reaches the same partition as from a Java producer.
        "partitioner": "murmur2_random",
        # Retries neither duplicate nor reorder, as with Debezium's own producer.
        "enable.idempotence": True,
        "linger.ms": options.linger_ms,
        "queue.buffering.max.messages": options.queue_records,
        "queue.buffering.max.kbytes": QUEUE_KBYTES,
        "message.timeout.ms": round(GIVE_UP_S * 1000),
        "batch.size": min(BATCH_BYTES, smallest * 9 // 10),
        # `push` refuses records that are too large one by one; the client's own check leaves out
        # the batch's head.
        "message.max.bytes": LARGEST_MESSAGE_BYTES,
        "statistics.interval.ms": 1000,
        "log_level": 2,
    }
    return kafka_settings(bootstrap, own)

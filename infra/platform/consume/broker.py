"""The platform's Kafka client: its settings, and the handling of its messages and errors."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from infra.client.kafka import kafka_settings
from infra.platform.consume.buffer import BATCH_BYTES, BUFFERED_BYTES
from infra.platform.process.error import PlatformError, UnreachableError
from infra.platform.sinks.batch import Chunk, Partition

T = TypeVar("T")

WATERMARKS_S = 0.05
_PASSING = frozenset({KafkaError._PARTITION_EOF, KafkaError.UNKNOWN_TOPIC_OR_PART})
#: Errors after which the same request is repeated: a leader or coordinator was just elected, or a
#: topic was just created (Kafka protocol, "Error Codes").
_OF_THE_MOMENT = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._WAIT_COORD,
    }
)
AGAIN_S = 0.1
#: An answer of the broker, and the part of it that belongs to one partition.
FETCH_BYTES = 4 * 1024 * 1024
#: How long a rebalance waits for a member that hands over its partitions (KIP-62).
REBALANCE_S = 300


@dataclass(frozen=True, slots=True)
class ConsumerSettings:
    """A consumer's settings: where it reads, what, and how much it may hold."""

    bootstrap: str
    group: str
    topics: tuple[str, ...]
    batch_size: int
    max_buffered_messages: int
    flush_interval_s: float = 1.0
    #: Join the group and take partitions, but read nothing before `begin`.
    held: bool = False
    #: Whether a gap is skipped, counted and logged; otherwise it is an error.
    skip_gaps: bool = False
    #: The most bytes of messages that wait or are being written.
    max_buffered_bytes: int = BUFFERED_BYTES
    #: The most bytes of messages in one write; a single larger message is written alone.
    batch_bytes: int = BATCH_BYTES


def client_settings(settings: ConsumerSettings) -> dict[str, object]:
    """For librdkafka."""
    own = {
        "group.id": settings.group,
        # An offset that is gone must be an error: any other value would silently continue
        # elsewhere.
        "auto.offset.reset": "error",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # A limit in events has no effect while the client itself prefetches without a limit.
        "queued.max.messages.kbytes": 16384,
        "fetch.queue.backoff.ms": 10,
        # A whole answer may be of one partition: many consecutive messages make large batches, even
        # with many partitions.
        "max.partition.fetch.bytes": FETCH_BYTES,
        "fetch.max.bytes": FETCH_BYTES,
        # One request at a time: while it waits for empty partitions, resumed ones wait too.
        "fetch.wait.max.ms": 50,
        "session.timeout.ms": 6000,
        # A topic may get partitions while it is read; the first messages in them wait for this
        # refresh.
        "topic.metadata.refresh.interval.ms": 10_000,
        # A heartbeat's answer says that partitions must change hands.
        "heartbeat.interval.ms": 500,
        "max.poll.interval.ms": REBALANCE_S * 1000,
        # A broker that went silent without closing is detected by the kernel, and by the client's
        # limit.
        "socket.keepalive.enable": True,
        "socket.timeout.ms": 30_000,
        "log_level": 3,
    }
    return kafka_settings(settings.bootstrap, own)


def check_reachable(bootstrap: str, topics: Sequence[str], timeout_s: float) -> None:
    """Ask the broker for the topics; raises UnreachableError that says what was tried."""
    client = AdminClient(kafka_settings(bootstrap, {"log_level": 0}))
    try:
        known = client.list_topics(timeout=timeout_s).topics
    except KafkaException as error:
        raise UnreachableError(
            f"Kafka at {bootstrap} does not answer within {timeout_s:g} s: {error.args[0].str()}"
        ) from error
    missing = [topic for topic in topics if topic not in known]
    if missing:
        raise UnreachableError(
            f"Kafka at {bootstrap} has no topic {', '.join(missing)}; create it first"
        )


def usable(messages: Sequence[Message]) -> tuple[Sequence[Message], list[Partition]]:
    """The messages without those that only report an error, and the partitions whose next offset
    the broker no longer has; raises PlatformError for permanent errors.
    """
    errors = [message.error() for message in messages]
    if not any(errors):
        return messages, []
    overtaken: list[Partition] = []
    for message, error in zip(messages, errors, strict=True):
        if error is None:
            continue
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            overtaken.append((message.topic() or "", message.partition() or 0))
        elif error.code() not in _PASSING and not error.retriable():
            raise PlatformError(f"Kafka: {error.str()}")
    good = [message for message, error in zip(messages, errors, strict=True) if error is None]
    return good, overtaken


def answered(ask: Callable[[], T], limit_s: float) -> T:
    """The broker's answer; the request is repeated after temporary errors. Raises PlatformError.

    For the client's callbacks: a KafkaException that leaves a callback ends the polling thread
    silently (confluent-kafka 2.16 raises its KafkaError, which is no exception).
    """
    until_s = time.monotonic() + limit_s
    while True:
        try:
            return ask()
        except KafkaException as error:
            problem = error.args[0]
            if problem.code() not in _OF_THE_MOMENT or time.monotonic() > until_s:
                raise PlatformError(
                    f"Kafka: {problem.str()}; uncommitted events come again"
                ) from error
        time.sleep(AGAIN_S)


@contextlib.contextmanager
def orderly(wait_s: float) -> Iterator[None]:
    """Turns errors of the client's poll and close during a rebalance into a PlatformError."""
    try:
        yield
    except KafkaException as error:
        raise PlatformError(
            f"Kafka: {error.args[0].str()}; uncommitted events come again"
        ) from error
    except TimeoutError as error:
        raise PlatformError(
            f"partitions could not be handed over within {wait_s:g} s; uncommitted events come"
            " again"
        ) from error


def chunks(messages: Sequence[Message], polled_us: int) -> Iterator[tuple[Partition, Chunk]]:
    """The messages of each partition, in their order."""
    places: list[Any] = [(message.topic(), message.partition()) for message in messages]
    if len(set(places)) == 1:
        yield places[0], _chunk(messages, polled_us)
        return
    groups: dict[Partition, list[Message]] = {}
    for place, message in zip(places, messages, strict=True):
        groups.setdefault(place, []).append(message)
    for place, group in groups.items():
        yield place, _chunk(group, polled_us)


def _chunk(messages: Sequence[Message], polled_us: int) -> Chunk:
    return Chunk(
        values=[message.value() for message in messages],
        keys=[message.key() for message in messages],
        offsets=[message.offset() or 0 for message in messages],
        appended_us=[message.timestamp()[1] * 1000 for message in messages],
        polled_us=[polled_us] * len(messages),
    )


class Watermarks:
    """The offset that each partition's next message will have.

    Fetched in the poll thread only, readable in any thread. The client answers only after a
    rebalance has ended, and the rebalance waits for us; so a request from the event loop would
    block for ever.
    """

    def __init__(self) -> None:
        self.high: dict[Partition, int | None] = {}
        self._due_s = 0.0

    def begin(self, places: Sequence[Partition]) -> None:
        """Watch these partitions."""
        self.high = self.high | dict.fromkeys(places)
        self._due_s = 0.0

    def end(self, places: Sequence[Partition]) -> None:
        """Watch these no more."""
        self.high = {place: high for place, high in self.high.items() if place not in places}

    def look(self, client: Consumer) -> None:
        """Fetch the offsets that the client knows, a few times a second."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            return
        self._due_s = now_s + WATERMARKS_S
        self.high = {place: _high(client, place) for place in self.high}


def _high(client: Consumer, place: Partition) -> int | None:
    with contextlib.suppress(KafkaException, RuntimeError):
        _, high = client.get_watermark_offsets(TopicPartition(*place), cached=True)
        return int(high) if high >= 0 else None
    return None

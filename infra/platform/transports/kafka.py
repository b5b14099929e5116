"""Publishes to Kafka without Connect, with the keys, partitions and order of a Java producer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import structlog
from typing_extensions import override

from infra.client.kafka import LARGEST_MESSAGE_BYTES, kafka_settings
from infra.platform.process.error import RetryableError
from infra.platform.process.topic_id import WATCH_S, TopicIds, TopicWatch
from infra.platform.transports import naming
from infra.platform.transports.plugin import Destination, TransportPlugin
from infra.platform.transports.transport import (
    PublishRefusedError,
    Record,
    TransportError,
    UnreachableError,
    WalPublisher,
)
from infra.validate import are_addresses

logger = structlog.get_logger()

POLL_S = 0.05
#: The partition of records that have no key.
KEYLESS = 0
FLUSH_S = 1.0
PATIENCE_S = 60.0
#: The most bytes that a record takes in a batch beside key and value (KIP-98, message format 2).
OVERHEAD_BYTES = 512
#: How many bytes of unacknowledged records the client may hold, beside one of the largest.
HELD_BYTES = 64 << 20
BATCH_BYTES = 262_144
#: The broker's own default, for a topic whose limit cannot be read.
DEFAULT_LIMIT_BYTES = 1_048_588
#: Answers after which the same record would be refused again.
REFUSALS = frozenset(
    {
        "MSG_SIZE_TOO_LARGE",
        "TOPIC_AUTHORIZATION_FAILED",
        "CLUSTER_AUTHORIZATION_FAILED",
        "INVALID_MSG",
        "INVALID_RECORD",
        "RECORD_LIST_TOO_LARGE",
        "POLICY_VIOLATION",
    }
)
NO_TOPIC = frozenset({"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "TOPIC_EXCEPTION"})


class KafkaWalPublisher(WalPublisher):
    """Publishes to Kafka topics.

    `client` is confluent_kafka's Producer, or one that behaves like it. `limits` are the topics'
    own (max.message.bytes); `topic_ids` asks for the topics' ids.

    Order within a key survives retries because the producer is idempotent (KIP-98); a record is
    durable when all in-sync replicas have it.
    """

    name = "kafka"

    def __init__(
        self,
        client: Any,
        limits: Mapping[str, int] | None = None,
        topic_ids: Callable[[], Mapping[str, str]] | None = None,
    ) -> None:
        self.acknowledged = 0
        self._topic_ids = topic_ids
        self._known_ids = topic_ids() if topic_ids is not None else {}
        self._watch = TopicWatch()
        self._looked_s = time.monotonic()
        self._limits = limits or {}
        least = min(self._limits.values(), default=DEFAULT_LIMIT_BYTES)
        # The topic's limit applies to the whole batch that carries a record.
        self.limit_bytes = least - OVERHEAD_BYTES
        self._client = client
        self._failure: tuple[Any, str] | None = None

    @property
    @override
    def trouble(self) -> str:
        return ""

    @override
    def refusal(self, record: Record) -> str:
        limit = self._limits.get(record.stream, DEFAULT_LIMIT_BYTES)
        size = len(record.data) + len(record.key) + OVERHEAD_BYTES
        if size <= limit:
            return ""
        return (
            f"a record of {size} bytes is over the limit of topic {record.stream!r}"
            f" (max.message.bytes={limit})"
        )

    @override
    def publish(self, records: Sequence[Record]) -> None:
        # One bound callback for all records: a closure for each would be an object for each.
        produce, note = self._client.produce, self._note
        for record in records:
            while True:
                try:
                    if record.keyless:
                        # Records without a key are spread over the partitions, in no order.
                        produce(record.stream, record.data, None, KEYLESS, on_delivery=note)
                    else:
                        produce(record.stream, record.data, record.key, on_delivery=note)
                    break
                except BufferError:
                    self._client.poll(
                        POLL_S
                    )  # the client's queue is full: wait for acknowledgements
                    self._check()
        self._client.poll(0)
        self._check()

    @override
    def flush(self) -> None:
        # A second at a time, so that a failure ends the wait sooner than the client's own limit.
        while self._client.flush(FLUSH_S):
            self._check()
        self._check()

    def _note(self, error: Any, message: Any) -> None:
        if error is None:
            self.acknowledged += 1
        # The first failure is the cause; later ones follow from it. It is kept for `_check`,
        # because the client calls this function in the middle of its own work.
        elif self._failure is None:
            self._failure = error, _which(message)

    def _check(self) -> None:
        if self._failure is None:
            return
        error, which = self._failure
        name = str(error.name()) if hasattr(error, "name") else ""
        text = f"Kafka did not take a record{which}: {error}"
        if name in REFUSALS:
            raise PublishRefusedError(
                f"{text}; correct the topic's settings or rights, or leave the table out of the"
                " publication, and start again"
            )
        if name in NO_TOPIC:
            raise UnreachableError(f"{text}; create the topic, and start again")
        raise TransportError(
            f"{text}; the slot keeps the events, start again when the broker answers"
        )

    @override
    def moved(self) -> str:
        """Asks the broker at most every few seconds."""
        now_s = time.monotonic()
        if self._topic_ids is None or now_s - self._looked_s < WATCH_S:
            return ""
        self._looked_s = now_s
        try:
            now = self._topic_ids()
        except RetryableError:
            return ""  # publishing reports a broker that does not answer
        changed = self._watch.changed(self._known_ids, now)
        return "; ".join(f"topic {name!r}: {what}" for name, what in changed.items())

    @override
    def close(self) -> None:
        self.flush()


def _which(message: Any) -> str:
    """The record that failed, if the client names it."""
    if message is None:
        return ""
    return f" for topic {message.topic()!r} with key {(message.key() or b'')[:80]!r}"


def client(bootstrap: str, limits: Mapping[str, int] | None = None) -> Any:
    """A producer that never reorders a key, and whose acknowledgement means durable.

    It accepts records up to the largest of the topics' limits (bytes).
    """
    from confluent_kafka import Producer

    sizes = (limits or {}).values()
    largest = min(max(sizes, default=DEFAULT_LIMIT_BYTES), LARGEST_MESSAGE_BYTES)
    own = {
        "enable.idempotence": True,
        "acks": "all",
        # Java's partitioner, so that every producer puts a key into the same partition.
        "partitioner": "murmur2_random",
        "linger.ms": 2,
        "message.max.bytes": largest,
        # A batch of small records must stay below the smallest limit too.
        "batch.size": min(BATCH_BYTES, min(sizes, default=DEFAULT_LIMIT_BYTES)),
        "compression.type": "lz4",
        "queue.buffering.max.messages": 200_000,
        "queue.buffering.max.kbytes": (HELD_BYTES + largest) // 1024,
        "socket.keepalive.enable": True,
        "delivery.timeout.ms": int(PATIENCE_S * 1000),
        "log_level": 3,
    }
    return Producer(kafka_settings(bootstrap, own))


def topic_limits(bootstrap: str, topics: Sequence[str], timeout_s: float = 10.0) -> dict[str, int]:
    """The largest record batch of each topic in bytes (max.message.bytes); topics that do not
    report it are left out.
    """
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import (  # type: ignore[attr-defined]
        AdminClient,
        ConfigResource,
        ResourceType,
    )

    admin = AdminClient(kafka_settings(bootstrap, {"log_level": 0}))
    wanted = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
    limits: dict[str, int] = {}
    for resource, answer in admin.describe_configs(wanted, request_timeout=timeout_s).items():
        try:
            limits[resource.name] = int(answer.result(2 * timeout_s)["max.message.bytes"].value)
        except (KafkaException, KeyError, TypeError, ValueError, TimeoutError) as error:
            # A cluster may forbid the request; then the broker's default is assumed.
            logger.warning("platform.kafka.limit_unknown", topic=resource.name, error=str(error))
            limits[resource.name] = DEFAULT_LIMIT_BYTES
    return limits


def check_reachable(bootstrap: str, topics: Sequence[str], timeout_s: float = 5.0) -> None:
    """Ask the broker for the topics; raises UnreachableError that says what was tried."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    try:
        known = (
            AdminClient(kafka_settings(bootstrap, {"log_level": 0}))
            .list_topics(timeout=timeout_s)
            .topics
        )
    except KafkaException as error:
        raise UnreachableError(
            f"Kafka at {bootstrap} does not answer within {timeout_s:g} s: {error.args[0].str()}"
        ) from error
    missing = [topic for topic in topics if topic not in known]
    if missing:
        raise UnreachableError(
            f"Kafka at {bootstrap} has no topic {', '.join(missing)}; create it first"
        )


def _connect(destination: Destination) -> KafkaWalPublisher:
    topics = sorted(set(destination.streams))
    check_reachable(destination.endpoint, topics)
    limits = topic_limits(destination.endpoint, topics) if topics else {}
    ids = partial(TopicIds(destination.endpoint), topics) if topics else None
    try:
        return KafkaWalPublisher(client(destination.endpoint, limits), limits, ids)
    except RetryableError as error:
        raise UnreachableError(str(error)) from error


def _endpoint_mistakes(_: str, endpoint: str) -> list[str]:
    if are_addresses(endpoint):
        return []
    return [f"--transport kafka needs --endpoint HOST:PORT of a broker, not {endpoint!r}"]


KAFKA = TransportPlugin(
    "kafka",
    connect=_connect,
    naming=naming.KAFKA,
    endpoint_mistakes=_endpoint_mistakes,
    hint="HOST:PORT",
)

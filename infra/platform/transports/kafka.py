"""Kafka without Connect: the same keys, partitions and order as a Java producer's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infra.platform.transports import naming
from infra.platform.transports.plugin import Destination, TransportPlugin
from infra.platform.transports.transport import (
    PublishRefusedError,
    Record,
    TransportError,
    UnreachableError,
)
from infra.validate import are_addresses

POLL_S = 0.05
FLUSH_S = 1.0
PATIENCE_S = 60.0


class KafkaWalPublisher:
    """Publishes to Kafka topics.

    `client` is confluent_kafka's Producer, or one that behaves like it.

    Order within a key survives retries because the producer is idempotent (KIP-98); a record is
    durable when all in-sync replicas have it.
    """

    name = "kafka"

    def __init__(self, client: Any) -> None:
        self.acknowledged = 0
        self._client = client
        self._failure: Any = None

    def publish(self, records: Sequence[Record]) -> None:
        """See WalPublisher."""
        produce, note = self._client.produce, self._note
        for record in records:
            while True:
                try:
                    produce(record.stream, record.data, record.key, on_delivery=note)
                    break
                except BufferError:
                    self._client.poll(
                        POLL_S
                    )  # the client's own queue is full: wait for acknowledgements
                    self._check()
        self._client.poll(0)
        self._check()

    def flush(self) -> None:
        """See WalPublisher."""
        while self._client.flush(FLUSH_S):
            self._check()
        self._check()

    def _note(self, error: Any, _: Any) -> None:
        if error is None:
            self.acknowledged += 1
        elif self._failure is None:
            self._failure = error

    def _check(self) -> None:
        if self._failure is None:
            return
        name = str(self._failure.name()) if hasattr(self._failure, "name") else ""
        text = f"Kafka did not take a record: {self._failure}"
        if name in (
            "MSG_SIZE_TOO_LARGE",
            "TOPIC_AUTHORIZATION_FAILED",
            "INVALID_MSG",
            "RECORD_LIST_TOO_LARGE",
        ):
            raise PublishRefusedError(text)
        raise TransportError(
            f"{text}; the slot keeps the events, start again when the broker answers"
        )

    def close(self) -> None:
        """See WalPublisher."""
        self.flush()


def client(bootstrap: str) -> Any:
    """A producer that never reorders a key and whose acknowledgement means durable."""
    from confluent_kafka import Producer

    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "acks": "all",
            # Java's partitioner, so that a key is in the same partition whoever has produced it.
            "partitioner": "murmur2_random",
            "linger.ms": 2,
            "batch.size": 262_144,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 200_000,
            "delivery.timeout.ms": int(PATIENCE_S * 1000),
            "log_level": 3,
        }
    )


def check_reachable(bootstrap: str, topics: Sequence[str], timeout_s: float = 5.0) -> None:
    """Ask the broker for the topics; raises UnreachableError that says what was tried."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    try:
        known = (
            AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
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
    check_reachable(destination.endpoint, sorted(set(destination.streams)))
    return KafkaWalPublisher(client(destination.endpoint))


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

"""Where events go that cannot be delivered: a topic, with the cause and the position in the
headers.

The headers are named as Kafka Connect's sink tasks name theirs (Kafka's documentation, KIP-298).
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from typing_extensions import override

from infra.client.kafka import LARGEST_MESSAGE_BYTES, kafka_settings
from infra.platform.process.error import EventError
from infra.platform.sinks.batch import Poison

DELIVERY_S = 30.0


class DeadLetters(Protocol):
    """Takes what cannot be delivered; raises EventError where it cannot, and then the partition
    stops.
    """

    count: int

    async def send(self, poison: Poison) -> None:
        """Return when the event is safe."""

    def close(self) -> None:
        """Give back what is held."""


class NoDeadLetters(DeadLetters):
    """Nowhere to go: every such event stops its partition."""

    def __init__(self) -> None:
        self.count = 0

    @override
    async def send(self, poison: Poison) -> None:
        raise EventError(
            f"{poison.cause}; give a --dead-letter-topic if it may be put aside"
        ) from poison.cause

    @override
    def close(self) -> None:
        pass


class DeadLetterTopic(DeadLetters):
    """A Kafka topic, which must exist.

    An event may come twice after a crash, as everywhere in Kafka.
    """

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.count = 0
        self._topic = topic
        own = {
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 0,
            "log_level": 3,
            "delivery.timeout.ms": round(DELIVERY_S * 1000),
            # How large an event may be is the topic's to say (max.message.bytes), not the client's.
            "message.max.bytes": LARGEST_MESSAGE_BYTES,
        }
        self._producer = Producer(kafka_settings(bootstrap, own))

    @override
    async def send(self, poison: Poison) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._send, poison)
        self.count += 1

    def _send(self, poison: Poison) -> None:
        answers: list[KafkaError | None] = []

        def settle(error: KafkaError | None, _: Message) -> None:
            answers.append(error)

        where = f"{poison.topic}[{poison.partition}]@{poison.offset}"
        try:
            self._producer.produce(
                self._topic, poison.value, poison.key, headers=headers(poison), on_delivery=settle
            )
            self._producer.flush(DELIVERY_S)
        except (BufferError, KafkaException) as error:
            raise EventError(
                f"event {where} cannot be put aside in {self._topic!r}: {error}"
            ) from error
        # By identity: a KafkaError cannot be compared with None (confluent-kafka 2.16).
        refused = answers[0] if answers else None
        if refused is not None or not answers:
            reason = "no answer" if refused is None else refused.str()
            raise EventError(
                f"event {where} cannot be put aside in {self._topic!r}: {reason}"
            ) from poison.cause

    @override
    def close(self) -> None:
        self._producer.flush(DELIVERY_S)


def headers(poison: Poison) -> list[tuple[str, Any]]:
    """Cause and position."""
    return [
        ("__connect.errors.topic", poison.topic.encode()),
        ("__connect.errors.partition", str(poison.partition).encode()),
        ("__connect.errors.offset", str(poison.offset).encode()),
        ("__connect.errors.exception.class.name", type(poison.cause).__name__.encode()),
        ("__connect.errors.exception.message", _text(poison.cause)),
    ]


def _text(cause: Exception) -> bytes:
    """What an error says: it may repeat characters of a schema that are no Unicode text."""
    return str(cause).encode(errors="backslashreplace")

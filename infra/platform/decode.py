"""From Kafka's messages to batches by columns, with the schemas that the registry knows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np
import requests
from confluent_kafka import Message

from infra.platform.batch import Batch
from infra.platform.error import EventError, UnreachableError
from infra.schemas.envelope import Envelope, EnvelopeError, compile_reader, key_id, schema_id

TIMEOUT_S = 10.0


class Decoder:
    """Reads envelopes; each schema is fetched and compiled once. For one thread."""

    def __init__(self, registry_url: str, probe_column: str) -> None:
        self._registry_url = registry_url
        self._probe_column = probe_column
        self._readers: dict[int, Callable[[bytes], Envelope]] = {}

    def batches(self, messages: Sequence[Message], polled_us: int) -> list[Batch]:
        """One batch a topic and partition, in the messages' order; tombstones are left out.

        Raises EventError for a message that is no envelope.
        """
        groups: dict[tuple[str, int], list[Message]] = {}
        for message in messages:
            if message.value() is not None:
                groups.setdefault((str(message.topic()), int(message.partition() or 0)), []).append(message)
        return [self._batch(topic, partition, group, polled_us) for (topic, partition), group in groups.items()]

    def _batch(self, topic: str, partition: int, messages: Sequence[Message], polled_us: int) -> Batch:
        values = [message.value() or b"" for message in messages]
        return Batch(
            topic=topic,
            partition=partition,
            events=[self._read(message, value) for message, value in zip(messages, values, strict=True)],
            values=values,
            keys=np.array([key_id(message.key()) for message in messages], dtype=np.int64),
            offsets=np.array([message.offset() for message in messages], dtype=np.int64),
            appended_us=np.array([message.timestamp()[1] for message in messages], dtype=np.int64) * 1000,
            polled_us=polled_us,
        )

    def _read(self, message: Message, value: bytes) -> Envelope:
        try:
            number = schema_id(value)
            reader = self._readers.get(number) or self._compile(number)
            return reader(value)
        except EnvelopeError as error:
            place = f"{message.topic()}[{message.partition()}]@{message.offset()}"
            raise EventError(f"event {place} cannot be read: {error}") from error

    def _compile(self, number: int) -> Callable[[bytes], Envelope]:
        url = f"{self._registry_url}/schemas/ids/{number}"
        try:
            answer = requests.get(url, timeout=TIMEOUT_S)
            answer.raise_for_status()
        except requests.RequestException as error:
            raise UnreachableError(f"schema {number} cannot be fetched from {url}: {error}") from error
        reader = compile_reader(json.loads(answer.json()["schema"]), self._probe_column)
        self._readers[number] = reader
        return reader

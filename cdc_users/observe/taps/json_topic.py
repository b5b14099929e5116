"""Watches Kafka topics of change events in many pipelines' forms: JSON, also from the direct WAL
reader; and Avro, as Debezium's envelope or as bare rows.
"""

from __future__ import annotations

import base64
import contextlib
import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import fastavro
import orjson
from typing_extensions import override

from cdc_users.measure.clock import Anchor
from cdc_users.observe.declaration import TapDeclaration
from cdc_users.observe.events.envelope import (
    EnvelopeParser,
    ForeignSchemaError,
    KafkaMessage,
    Schemas,
)
from cdc_users.observe.message import TapPlace
from cdc_users.observe.settings import JsonTopicSettings
from cdc_users.observe.tap import ObservedRecord, Tap
from cdc_users.observe.taps.stream import StreamFeed, StreamItem
from cdc_users.observe.taps.topic import TopicReading
from infra.schemas.envelope import EnvelopeError

#: The first byte from Confluent's serializers; the schema's number follows in four bytes.
MAGIC, HEAD_BYTES = b"\0", 5


class JsonTopicTap(Tap):
    """The tap on topics of change events; each message may have another form."""

    kind = "json-topic"

    def __init__(self, settings: JsonTopicSettings, run: str, anchor: Anchor) -> None:
        self.record = ObservedRecord(run)
        self._reading = TopicReading(settings, self.record, anchor)
        self._feed = StreamFeed(self.record, settings)
        schemas = Schemas(settings.schema_registry_url)
        self._forms = Forms(schemas) if settings.schema_registry_url else None
        self._envelopes = EnvelopeParser(schemas, self.record, settings)

    @override
    def start(self) -> TapPlace:
        self._reading.start(self.take)
        return TapPlace()

    def take(self, messages: Sequence[KafkaMessage], seen_us: int) -> None:
        """Take in messages of one partition, in their order; an unreadable one is reported and left
        out.
        """
        forms = [self._form(message) for message in messages]
        for enveloped, run in groupby(
            zip(forms, messages, strict=True), lambda one: one[0] is None
        ):
            part = list(run)
            if enveloped:
                for events in self._envelopes.parse([message for _, message in part], seen_us):
                    self.record.take(events)
            else:
                items = [_item(message, text or b"") for text, message in part]
                self._feed.take(messages[0].partition, items, seen_us)

    def _form(self, message: KafkaMessage) -> bytes | None:
        """The message as JSON; None where it is an Avro envelope."""
        if self._forms is None or not message.value.startswith(MAGIC):
            return message.value
        return self._forms.json_of(message.value)

    @override
    def stop(self) -> None:
        self._reading.stop()

    @override
    def gauges(self) -> dict[str, object]:
        return {"read": self._reading.read()}


def _item(message: KafkaMessage, text: bytes) -> StreamItem:
    key = (message.key or b"").decode("utf-8", "replace")
    return StreamItem(message.offset, key, text, message.appended_us, message.by_broker)


@dataclass(slots=True)
class Forms:
    """Forms of messages with a schema's number in front: Avro envelopes, bare Avro rows, or
    JSON.
    """

    schemas: Schemas
    _bare: dict[int, Any] = field(default_factory=dict)

    def json_of(self, value: bytes) -> bytes | None:
        """The message as JSON; None where it is an Avro envelope, or of no known schema. Raises
        TapError.
        """
        body = value[HEAD_BYTES:]
        if body.startswith(b"{"):
            with contextlib.suppress(orjson.JSONDecodeError):
                orjson.loads(body)
                return body
        number = int.from_bytes(value[1:HEAD_BYTES], "big")
        schema = self._schema(number)
        if schema is None:
            return None
        try:
            row = fastavro.schemaless_reader(io.BytesIO(body), schema, None)
        except (ValueError, EOFError, IndexError, TypeError, struct.error):
            return body  # the JSON parser reports it as unreadable
        return orjson.dumps(row, default=_plain)

    def _schema(self, number: int) -> Any:
        """The schema of bare rows; None for an envelope's, and for one that is not known."""
        if number not in self._bare:
            try:
                self.schemas.reader(number)
                self._bare[number] = None
            except ForeignSchemaError:  # the reader of envelopes reports the message
                return None
            except EnvelopeError:
                self._bare[number] = self._parsed(number)
        return self._bare[number]

    def _parsed(self, number: int) -> Any:
        try:
            return fastavro.parse_schema(self.schemas.schema(number))
        except (fastavro.schema.SchemaParseException, ValueError, LookupError, TypeError):
            return None


def _plain(value: Any) -> Any:
    """A value that JSON lacks, in the form that Connect's JSON gives it."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


JSON_TOPIC_TAP = TapDeclaration(
    "json-topic",
    make=JsonTopicTap,
    settings=JsonTopicSettings,
    needs=("bootstrap",),
    either=("topic", "topics"),
)

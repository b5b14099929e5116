"""Debezium-like change events for tests that need no Debezium: schemas, messages, and a topic full
of them.

Made with plain fastavro and confluent_kafka, so that nothing of what is tested takes part.
"""

from __future__ import annotations

import io
import json
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import fastavro
import requests
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from cdc_users.error import TargetError
from cdc_users.measure.ledger.checksum import checksum
from cdc_users.measure.ledger.probe import Probe, format_probe
from cdc_users.pipeline.provision import kafka_topics as topics
from infra.stack.endpoints import Endpoints

RUN = "abcd1234"
DECIMAL = {
    "type": "bytes",
    "scale": 2,
    "precision": 12,
    "connect.name": "org.apache.kafka.connect.data.Decimal",
    "logicalType": "decimal",
}
VARIABLE = {
    "type": "record",
    "name": "VariableScaleDecimal",
    "namespace": "io.debezium.data",
    "fields": [{"name": "scale", "type": "int"}, {"name": "value", "type": "bytes"}],
    "connect.name": "io.debezium.data.VariableScaleDecimal",
}
ZONED = {"type": "string", "connect.version": 1, "connect.name": "io.debezium.time.ZonedTimestamp"}
#: By name, in order: the Avro type, whether the column may be NULL, and its default if it has one.
Columns = Mapping[str, tuple[Any, ...]]
CUSTOMERS: Columns = {
    "id": ("long", False),
    "first_name": ("string", False),
    "last_name": ("string", False),
    "email": ("string", False),
    "phone": ("string", True),
    "balance": (DECIMAL, True),
    "created_at": (ZONED, False),
    "notes": ("string", True),
    "probe": ("string", True),
}
SOURCE = {
    "type": "record",
    "name": "Source",
    "namespace": "io.debezium.connector.postgresql",
    "fields": [
        {"name": "version", "type": "string"},
        {"name": "connector", "type": "string"},
        {"name": "name", "type": "string"},
        {"name": "ts_ms", "type": "long"},
        {
            "name": "snapshot",
            "type": [{"type": "string", "connect.name": "io.debezium.data.Enum"}, "null"],
        },
        {"name": "db", "type": "string"},
        {"name": "sequence", "type": ["null", "string"], "default": None},
        {"name": "ts_us", "type": ["null", "long"], "default": None},
        {"name": "ts_ns", "type": ["null", "long"], "default": None},
        {"name": "schema", "type": "string"},
        {"name": "table", "type": "string"},
        {"name": "txId", "type": ["null", "long"], "default": None},
        {"name": "lsn", "type": ["null", "long"], "default": None},
        {"name": "xmin", "type": ["null", "long"], "default": None},
    ],
}


def envelope_schema(columns: Columns, namespace: str) -> dict[str, Any]:
    """Debezium's envelope around a table."""
    fields = [
        {"name": name, "type": _optional(kind, first=not default) if null else kind}
        | ({"default": default[0]} if default else {})
        for name, (kind, null, *default) in columns.items()
    ]
    moments: list[dict[str, Any]] = [
        {"name": name, "type": ["null", "long"]} for name in ("ts_ms", "ts_us", "ts_ns")
    ]
    return {
        "type": "record",
        "name": "Envelope",
        "namespace": namespace,
        "fields": [
            {
                "name": "before",
                "type": ["null", {"type": "record", "name": "Value", "fields": fields}],
            },
            {"name": "after", "type": ["null", "Value"]},
            {"name": "source", "type": SOURCE},
            {"name": "op", "type": "string"},
            *moments,
        ],
    }


def _optional(kind: Any, *, first: bool) -> list[Any]:
    """NULL stands first, unless there is a default, which is of the first type (Avro's
    specification, "Records").
    """
    return ["null", kind] if first else [kind, "null"]


KEY: Columns = {"id": ("long", False)}


def key_schema(namespace: str, columns: Columns = KEY) -> dict[str, Any]:
    """The key of a table, by default of one whose key is `id`."""
    return {
        "type": "record",
        "name": "Key",
        "namespace": namespace,
        "fields": [{"name": name, "type": kind} for name, (kind, *_) in columns.items()],
    }


@dataclass(frozen=True, slots=True)
class Event:
    """One change; a `row` of None is a delete, an `op` of "tombstone" a tombstone."""

    op: str
    key: int
    row: Sequence[Any] | None = None
    before: Sequence[Any] | None = None


@dataclass(slots=True)
class Encoder:
    """From events to messages in Confluent's wire format."""

    columns: Columns = field(default_factory=lambda: CUSTOMERS)
    namespace: str = "cdc.test.customers"
    value_id: int = 1
    key_id: int = 2
    lsn: int = 1000
    table: str = "customers"
    key_columns: Columns = field(default_factory=lambda: KEY)
    _value: Any = None
    _key: Any = None

    def __post_init__(self) -> None:
        self._value = fastavro.parse_schema(envelope_schema(self.columns, self.namespace))
        self._key = fastavro.parse_schema(key_schema(self.namespace, self.key_columns))

    def key(self, event: Event) -> bytes:
        """The record's key; of several columns, those of the event's row."""
        if list(self.key_columns) == ["id"]:
            return _wire(self.key_id, self._key, {"id": event.key})
        row = self._row(event.row or event.before) or {}
        return _wire(self.key_id, self._key, {name: row[name] for name in self.key_columns})

    def value(self, event: Event) -> bytes | None:
        """The record's value."""
        if event.op == "tombstone":
            return None
        self.lsn += 8
        now_us = time.time_ns() // 1000
        source = {
            "version": "3.6.3.Final",
            "connector": "postgresql",
            "name": "cdc_test",
            "ts_ms": now_us // 1000,
            "snapshot": "false",
            "db": "postgres",
            "sequence": f'["{self.lsn - 8}","{self.lsn}"]',
            "ts_us": now_us,
            "ts_ns": now_us * 1000,
            "schema": "test",
            "table": self.table,
            "txId": 791,
            "lsn": self.lsn,
            "xmin": None,
        }
        moments = {"ts_ms": now_us // 1000, "ts_us": now_us, "ts_ns": now_us * 1000}
        row, before = self._row(event.row), self._row(event.before)
        return _wire(
            self.value_id,
            self._value,
            {"before": before, "after": row, "source": source, "op": event.op, **moments},
        )

    def _row(self, row: Sequence[Any] | None) -> dict[str, Any] | None:
        if row is None:
            return None
        plain = [
            item.isoformat().replace("+00:00", "Z") if isinstance(item, datetime) else item
            for item in row
        ]
        return dict(zip(self.columns, plain, strict=True))


def _wire(number: int, schema: Any, record: Mapping[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, record)
    return struct.pack(">bI", 0, number) + out.getvalue()


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def customer(
    key: int,
    version: int = 1,
    writer: int = 10_001,
    sequence: int | None = None,
    op: str = "i",
    text: str = "",
) -> tuple[Any, ...]:
    """A row of `customers` with its probe; NULLs as the key has it."""
    now_us = time.time_ns() // 1000
    columns = (
        f"First{key}",
        'O\'Neil, "Ångström" \\ 🐘',
        f"c{key}@example.test",
        None if key % 3 == 0 else f"+49 30 {key:07d}",
        None if key % 5 == 0 else Decimal(key * 37 % 10**7).scaleb(-2),
        EPOCH + timedelta(microseconds=now_us),
        text or (None if key % 2 else f"version {version}"),
    )
    number = key if sequence is None else sequence
    check = checksum(key, version, columns)
    probe = Probe(RUN, writer, number, number, 0, 1, version, op, now_us, check)
    return (key, *columns, format_probe(probe))


def inserts(count: int, first: int = 1, text: str = "", writer: int = 10_001) -> Iterator[Event]:
    """New customers, one key each."""
    for key in range(first, first + count):
        yield Event("c", key, customer(key, text=text, writer=writer))


@dataclass(frozen=True, slots=True)
class FilledTopic:
    """A topic of the test's own; `fill` puts events into it."""

    name: str
    endpoints: Endpoints
    encoder: Encoder

    def fill(self, events: Iterable[Event]) -> int:
        """Produce the events, each key to the partition where Debezium would put it; returns how
        many.
        """
        return self.put((self.encoder.key(event), self.encoder.value(event)) for event in events)

    def ends(self) -> list[int]:
        """The offset behind the last record of each partition."""
        admin = AdminClient({"bootstrap.servers": self.endpoints.kafka_bootstrap, "log_level": 0})
        numbers = sorted(admin.list_topics(self.name, timeout=30).topics[self.name].partitions)
        latest: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        places = {TopicPartition(self.name, number): latest for number in numbers}
        return [int(future.result(30).offset) for future in admin.list_offsets(places).values()]

    def put(self, records: Iterable[tuple[bytes | None, bytes | None]]) -> int:
        """Produce records as they are."""
        producer = Producer(
            {
                "bootstrap.servers": self.endpoints.kafka_bootstrap,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
            }
            | {
                "log_level": 3,
                "queue.buffering.max.messages": 2_000_000,
                "message.max.bytes": 5_000_000,
            }
        )
        failed: list[str] = []
        count = 0
        for key, value in records:
            producer.produce(
                self.name,
                value,
                key,
                on_delivery=lambda error, _: failed.append(str(error)) if error else None,
            )
            count += 1
            if count % 1000 == 0:
                producer.poll(0)
        assert producer.flush(60) == 0
        assert not failed, failed[:3]
        return count


@contextmanager
def filled_topic(
    endpoints: Endpoints,
    name: str,
    partitions: int,
    columns: Columns = CUSTOMERS,
    groups: Sequence[str] = (),
) -> Iterator[FilledTopic]:
    """A topic with its subjects registered, removed afterwards with the named groups."""
    topics.create_topic(endpoints.kafka_bootstrap, name, partitions)
    try:
        value_id = register(endpoints, f"{name}-value", envelope_schema(columns, name))
        key_id = register(endpoints, f"{name}-key", key_schema(name))
        yield FilledTopic(name, endpoints, Encoder(columns, name, value_id, key_id))
    finally:
        topics.delete_topics(endpoints.kafka_bootstrap, [name])
        topics.delete_subjects(endpoints.schema_registry_url, name)
        # The group of an instance that was killed counts it as a member for some seconds; the
        # broker forgets it later.
        with suppress(TargetError):
            topics.delete_groups(endpoints.kafka_bootstrap, list(groups) or [name])


def register(endpoints: Endpoints, subject: str, schema: Mapping[str, Any]) -> int:
    """Register a schema; returns its id."""
    url = f"{endpoints.schema_registry_url}/subjects/{subject}/versions"
    answer = requests.post(url, json={"schema": json.dumps(schema)}, timeout=30)
    answer.raise_for_status()
    return int(answer.json()["id"])

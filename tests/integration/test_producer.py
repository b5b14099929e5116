"""The producer on real servers: what lies in the topic is what was acknowledged, where and as
Debezium puts it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import requests
from confluent_kafka import Message, murmur2
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from cdc_users.error import SubjectError, TargetError
from cdc_users.measure.clock import new_anchor
from cdc_users.measure.ledger.probe import Operation
from cdc_users.pipeline.provision.kafka_topics import create_topic, delete_subjects, delete_topics
from cdc_users.users.producer.added_column import VALUE
from cdc_users.users.producer.in_flight import ChangeFlight, PipelinedWriter
from cdc_users.users.producer.producer import AvroProducer, SendOptions
from cdc_users.users.producer.record import HEADERS
from cdc_users.users.producer.topic_schemas import open_channel
from cdc_users.users.workload.workload import Workload
from infra.stack.endpoints import Endpoints
from tests.integration.debezium_capture import read

ANCHOR = new_anchor()
PARTITIONS = 4
LETTERS = {
    Operation.INSERT: "c",
    Operation.UPDATE: "u",
    Operation.STAMP: "u",
    Operation.DELETE: "d",
}


@pytest.fixture
def topic(stack: Endpoints) -> Iterator[str]:
    name = f"cdc.cdc_producer_{uuid.uuid4().hex[:8]}.customers"
    create_topic(stack.kafka_bootstrap, name, PARTITIONS)
    yield name
    delete_topics(stack.kafka_bootstrap, [name])
    delete_subjects(stack.schema_registry_url, name)


def producer_of(stack: Endpoints, topic: str, headers: bool = False) -> AvroProducer:
    return AvroProducer.open(
        stack.kafka_bootstrap,
        stack.schema_registry_url,
        [topic],
        ANCHOR,
        SendOptions(headers=headers),
    )


def produced(
    producer: AvroProducer, workload: Workload, count: int, partition: int = -1
) -> ChangeFlight:
    """A flight that has landed."""
    writer = PipelinedWriter("abcd1234", 10_001, workload)
    flight = ChangeFlight(partition=partition)
    for _ in range(count):
        flight.add(writer.transaction(1, ANCHOR.now_us()), ANCHOR.monotonic_ns_at(ANCHOR.now_us()))
    assert producer.push(flight)
    assert producer.flush(30) == [flight]
    return flight


def plain(value: Any) -> Any:
    return (
        value.isoformat(timespec="microseconds")[:-6] + "Z"
        if hasattr(value, "isoformat")
        else value
    )


@pytest.fixture
def deserialize(stack: Endpoints) -> Iterator[Any]:
    """Confluent's own reader of keys and values."""
    with SchemaRegistryClient({"url": stack.schema_registry_url}) as client:
        # By default it asks the registry for associations before every single message.
        yield AvroDeserializer(client, conf={"subject.name.strategy.type": "TOPIC"})


def by_key(messages: Sequence[Message]) -> dict[bytes, list[Message]]:
    found: dict[bytes, list[Message]] = {}
    for message in messages:
        found.setdefault(message.key() or b"", []).append(message)
    return found


def test_changes_are_whole_and_in_the_order_of_each_key(
    stack: Endpoints, topic: str, deserialize: Any
) -> None:
    producer = producer_of(stack, topic, headers=True)
    flight = produced(producer, Workload(mix=(50, 35, 15), live_keys=20), 300)
    deletes = [change for change in flight.changes if change.operation is Operation.DELETE]
    messages = read(stack.kafka_bootstrap, topic, PARTITIONS, len(flight) + len(deletes))

    assert list(flight.runs()) == [("acked", 1, len(flight))]
    assert deletes
    context = SerializationContext(topic, MessageField.VALUE)
    keys = by_key(messages)
    for key, records in keys.items():
        (number,) = deserialize(key, SerializationContext(topic, MessageField.KEY)).values()
        expected = [change for change in flight.changes if change.key == number]
        events = [
            deserialize(value, context)
            for record in records
            if (value := record.value()) is not None
        ]
        assert [event["op"] for event in events] == [
            LETTERS[change.operation] for change in expected
        ]
        for event, change in zip(events, expected, strict=True):
            for side, row in (("before", change.before), ("after", change.row)):
                assert (event[side] and tuple(event[side].values())) == (
                    row and tuple(map(plain, row))
                )
        # Debezium's tombstone comes right after its delete, and a deleted key never comes again.
        assert (records[-1].value() is None) == (expected[-1].operation is Operation.DELETE)
        assert {record.partition() for record in records} == {murmur2(key, PARTITIONS)}
    assert all(dict(message.headers() or ()) == dict(HEADERS) for message in messages)
    assert producer.figures.acked == len(flight)
    assert producer.figures.bytes == sum(
        len(m.key() or b"") + len(m.value() or b"") for m in messages
    )


def test_a_named_partition_takes_precedence(stack: Endpoints, topic: str) -> None:
    produced(producer_of(stack, topic), Workload(), 20, partition=2)

    assert {
        message.partition() for message in read(stack.kafka_bootstrap, topic, PARTITIONS, 20)
    } == {2}


def test_a_column_added_in_mid_run_is_a_second_version_that_the_registry_finds_compatible(
    stack: Endpoints, topic: str, deserialize: Any
) -> None:
    producer = producer_of(stack, topic)
    produced(producer, Workload(), 1)
    producer.evolve(stack.schema_registry_url, "tier")
    produced(producer, Workload(), 1)

    versions = requests.get(
        f"{stack.schema_registry_url}/subjects/{topic}-value/versions", timeout=10
    ).json()
    assert len(versions) == 2
    messages = read(stack.kafka_bootstrap, topic, PARTITIONS, 2)
    events = [
        deserialize(m.value(), SerializationContext(topic, MessageField.VALUE)) for m in messages
    ]
    assert [event["after"].get("tier") for event in events] == [None, VALUE]


def test_a_record_larger_than_the_broker_takes_fails_with_its_size_and_nothing_else_is_lost(
    stack: Endpoints, topic: str
) -> None:
    limit = 20_000
    entry = ConfigEntry(
        "max.message.bytes", str(limit), incremental_operation=AlterConfigOpType.SET
    )
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": stack.kafka_bootstrap})
    admin.incremental_alter_configs([resource])[resource].result(30)
    producer = producer_of(stack, topic)
    flight = ChangeFlight(partition=0)
    for number, row_bytes in enumerate((0, 19_500, 30_000, 0, 0)):
        flight.add(
            PipelinedWriter("abcd1234", 10_001 + number, Workload(row_bytes=row_bytes)).transaction(
                1, 1
            ),
            0,
        )

    assert producer.push(flight)
    producer.flush(30)

    assert {index: outcome for index, (outcome, _) in flight.failures.items()} == {2: "failed"}
    assert "a record of 30" in flight.failures[2][1]
    assert len(read(stack.kafka_bootstrap, topic, PARTITIONS, 4)) == 4


@pytest.mark.parametrize("margin", [0, 1])
def test_the_largest_record_that_is_sent_is_one_that_the_broker_takes(
    stack: Endpoints, topic: str, margin: int
) -> None:
    channel = open_channel(stack.kafka_bootstrap, stack.schema_registry_url, topic)
    producer = AvroProducer(stack.kafka_bootstrap, [channel], ANCHOR, SendOptions(headers=True))
    small = produced(producer, Workload(row_bytes=1000), 1)
    # Lengths of five digits more take two bytes more of their own.
    beside = producer.figures.bytes - 1000 + 1
    room = producer.room_bytes(0)
    big = produced(producer, Workload(row_bytes=room - beside + margin), 1)

    assert not small.failures
    assert bool(big.failures) == bool(margin)


def test_a_subject_that_holds_something_else_is_refused(stack: Endpoints, topic: str) -> None:
    body = {
        "schema": '{"type": "record", "name": "Other", "fields": [{"name": "a", "type": "string"}]}'
    }
    requests.post(
        f"{stack.schema_registry_url}/subjects/{topic}-value/versions", json=body, timeout=10
    )

    with pytest.raises(SubjectError, match=r"not compatible .*use a topic of its own") as caught:
        producer_of(stack, topic)

    assert caught.value.exit_code == 2


def test_a_topic_or_registry_that_is_not_there_is_said_with_what_was_tried(
    stack: Endpoints, topic: str
) -> None:
    with pytest.raises(TargetError, match=r"topic 'cdc\.no.such' cannot be written to"):
        producer_of(stack, "cdc.no.such")
    with pytest.raises(TargetError, match=r"registry does not answer http://127\.0\.0\.1:1/"):
        open_channel(stack.kafka_bootstrap, "http://127.0.0.1:1", topic)

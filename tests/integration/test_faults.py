"""Faults that servers must understand: done for real, met by whoever uses them, and undone."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from cdc_users.measure.clock import new_anchor
from cdc_users.observe.events.envelope import KafkaMessage
from cdc_users.observe.settings import TopicSettings
from cdc_users.observe.tap import ObservedRecord
from cdc_users.observe.taps.topic import TopicReading
from cdc_users.pipeline.provision.kafka_topics import (
    count_partitions,
    create_topic,
    delete_groups,
    delete_topics,
    deleted_records,
)
from infra.faults.fault import FaultGround, FaultObjects, faults, heal, inject
from infra.stack.endpoints import Endpoints

LIMIT_S = 30.0


def nothing(action: str, name: str, /) -> None:
    """No process is acted on here."""
    raise AssertionError(f"nobody asked to {action} {name}")


@pytest.fixture
def topic(stack: Endpoints) -> Iterator[str]:
    name = f"cdc_faults_{uuid.uuid4().hex[:8]}"
    create_topic(stack.kafka_bootstrap, name, 1)
    yield name
    delete_groups(stack.kafka_bootstrap, [name])
    delete_topics(stack.kafka_bootstrap, [name])


def of_topic(stack: Endpoints, topic: str) -> FaultGround:
    return FaultGround(stack, FaultObjects(topics=(topic,), group=topic), nothing)


def produce(stack: Endpoints, topic: str, partition: int = 0) -> KafkaError | None:
    """What the broker says to one record; None where it took it."""
    said: list[KafkaError | None] = []
    producer = Producer({"bootstrap.servers": stack.kafka_bootstrap})
    producer.produce(
        topic, b"x" * 100, partition=partition, on_delivery=lambda error, _: said.append(error)
    )
    assert producer.flush(LIMIT_S) == 0
    return said[0]


def committed(stack: Endpoints, topic: str) -> int:
    settings = {"bootstrap.servers": stack.kafka_bootstrap, "group.id": topic}
    with closing(Consumer(settings)) as consumer:
        (found,) = consumer.committed([TopicPartition(topic, 0)], LIMIT_S)
        return int(found.offset)


def test_a_group_is_set_back_to_the_topics_beginning(stack: Endpoints, topic: str) -> None:
    for _ in range(3):
        assert produce(stack, topic) is None
    settings = {"bootstrap.servers": stack.kafka_bootstrap, "group.id": topic}
    with closing(Consumer(settings)) as consumer:
        consumer.commit(offsets=[TopicPartition(topic, 0, 3)], asynchronous=False)
    assert committed(stack, topic) == 3

    inject("reset-group", of_topic(stack, topic))

    assert committed(stack, topic) == 0


def test_a_topic_that_takes_no_record_takes_them_again(stack: Endpoints, topic: str) -> None:
    ground = of_topic(stack, topic)
    inject("message-too-large", ground)
    refused = produce(stack, topic)
    assert refused is not None
    assert refused.code() == KafkaError.MSG_SIZE_TOO_LARGE

    heal("message-too-large", ground)

    assert produce(stack, topic) is None


def test_what_is_gone_meanwhile_needs_nothing_undone(stack: Endpoints) -> None:
    gone = FaultObjects(topics=("cdc_nowhere",), connector="cdc-nowhere", publication="cdc_nowhere")
    for name in ("message-too-large", "hide-publication"):
        heal(name, FaultGround(stack, gone, nothing))


def test_a_tap_reads_partitions_that_are_added_while_it_reads(stack: Endpoints, topic: str) -> None:
    settings = TopicSettings(
        name="topic",
        bootstrap=stack.kafka_bootstrap,
        topic=topic,
        schema_registry_url=stack.schema_registry_url,
    )
    record, seen = ObservedRecord("run00001"), list[KafkaMessage]()
    reading = TopicReading(settings, record, new_anchor())
    reading.start(lambda messages, _: seen.extend(messages))
    try:
        inject("add-partitions", of_topic(stack, topic))
        assert count_partitions(stack.kafka_bootstrap, [topic]) == 2
        assert produce(stack, topic, partition=1) is None
        deadline_s = time.monotonic() + LIMIT_S
        while not seen and time.monotonic() < deadline_s:
            time.sleep(0.05)
    finally:
        reading.stop()

    assert [message.partition for message in seen] == [1]
    assert record.errors == []


def test_a_topic_that_forgets_too_early_ends_with_the_fault(stack: Endpoints, topic: str) -> None:
    ground = of_topic(stack, topic)
    inject("short-retention", ground)
    deadline_s = time.monotonic() + LIMIT_S
    while not deleted_records(stack.kafka_bootstrap, [topic]) and time.monotonic() < deadline_s:
        assert produce(stack, topic) is None
        time.sleep(0.1)
    heal("short-retention", ground)
    gone = deleted_records(stack.kafka_bootstrap, [topic])

    assert gone > 0
    assert produce(stack, topic) is None
    assert deleted_records(stack.kafka_bootstrap, [topic]) == gone


def test_a_column_is_renamed_and_named_back_however_often(stack: Endpoints, schema: str) -> None:
    ground = FaultGround(stack, FaultObjects(schema=schema, tables=("customers",)), nothing)
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {schema}.customers (id int, notes text)")
        inject("rename-column", ground)
        with pytest.raises(psycopg.errors.UndefinedColumn):
            connection.execute(f"SELECT notes FROM {schema}.customers")

        heal("rename-column", ground)
        heal("rename-column", ground)

        connection.execute(f"SELECT notes FROM {schema}.customers")


def test_a_neighbour_is_busy_while_nobody_writes_to_the_source_table(
    stack: Endpoints, schema: str
) -> None:
    ground = FaultGround(stack, FaultObjects(schema=schema, tables=("customers",)), nothing)
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {schema}.customers (id int)")
        connection.execute("SET lock_timeout = '100ms'")
        write, count = f"INSERT INTO {schema}.customers VALUES (1)", f"FROM {schema}.beside"
        inject("busy-neighbour", ground)
        try:
            with pytest.raises(psycopg.errors.LockNotAvailable):
                connection.execute(write)
            deadline_s = time.monotonic() + LIMIT_S
            written = 0
            while written < 1_000 and time.monotonic() < deadline_s:
                (written,) = connection.execute(f"SELECT count(*) {count}").fetchone() or (0,)
        finally:
            heal("busy-neighbour", ground)

        assert written >= 1_000
        connection.execute(write)
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute(f"SELECT 1 {count}")


@pytest.mark.parametrize("order", [("sunk", "sunk_offsets"), ("sunk_offsets", "sunk")])
def test_whoever_writes_both_tables_is_ended_by_a_deadlock(
    stack: Endpoints, schema: str, order: tuple[str, str]
) -> None:
    ground = FaultGround(stack, FaultObjects(sink_table=f"{schema}.sunk"), nothing)
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        for name in order:
            connection.execute(f"CREATE TABLE {schema}.{name} (id int)")

        def write() -> None:
            with connection.transaction():
                for name in order:
                    connection.execute(f"INSERT INTO {schema}.{name} VALUES (1)")

        def write_until_over() -> None:
            deadline_s = time.monotonic() + LIMIT_S
            while time.monotonic() < deadline_s:
                write()

        inject("deadlock-sink", ground)
        try:
            with pytest.raises(psycopg.errors.DeadlockDetected):
                write_until_over()
        finally:
            heal("deadlock-sink", ground)
        write()


def test_what_needs_nothing_undone_is_undone_twice_without_a_word(
    stack: Endpoints, topic: str
) -> None:
    for name in ("reset-group", "add-partitions", "short-retention"):
        assert faults().by_name[name].without in ("", "platform")
        heal(name, of_topic(stack, topic))
        heal(name, of_topic(stack, topic))

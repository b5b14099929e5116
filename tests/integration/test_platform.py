"""The platform as a process on real servers: crashes, hand-overs, poison, and endings."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from cdc_users.pipeline.provision import kafka_topics as topics
from infra.stack.endpoints import Endpoints
from tests.change_events import CUSTOMERS, RUN, Event, FilledTopic, customer, filled_topic, inserts
from tests.platform_process import PlatformProcess, await_that


@pytest.fixture
def topic(stack: Endpoints) -> Iterator[FilledTopic]:
    with filled_topic(stack, f"cdc_sinks_{uuid.uuid4().hex[:8]}", 4) as made:
        yield made


@pytest.fixture
def started(topic: FilledTopic, tmp_path: Path) -> Iterator[Any]:
    """Starts platforms on the topic; those that a test leaves behind are killed."""
    running: list[PlatformProcess] = []

    def start(module: tuple[str, ...] = ("infra.platform",), **options: object) -> PlatformProcess:
        given = {"run": RUN} | {name.replace("_", "-"): value for name, value in options.items()}
        made = PlatformProcess(
            topic.endpoints, topic.name, tmp_path / f"{len(running)}.log", given, module
        )
        running.append(made)
        return made

    yield start
    for process in running:
        process.stop()


def counts(*platforms: PlatformProcess) -> dict[str, int]:
    """What the platforms' ledgers have counted, added up."""
    found = {"delivered": 0, "duplicated": 0, "reordered": 0}
    for platform in platforms:
        for step in platform.get("/ledger")["steps"].values():
            found = {name: found[name] + step[name] for name in found}
    return found


def read_all(endpoints: Endpoints, topic: str, count: int) -> list[Any]:
    """The first so many records of a topic with one partition."""
    consumer = Consumer({"bootstrap.servers": endpoints.kafka_bootstrap, "group.id": topic})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[Any] = []

    def enough() -> bool:
        found.extend(consumer.consume(count, 0.1))
        return len(found) >= count

    await_that(enough, lambda: f"{len(found)} records instead of {count}")
    consumer.close()
    return found


def committed(topic: FilledTopic) -> int:
    """The sum of the group's offsets."""
    consumer = Consumer(
        {"bootstrap.servers": topic.endpoints.kafka_bootstrap, "group.id": topic.name}
    )
    found = consumer.committed(
        [TopicPartition(topic.name, number) for number in range(4)], timeout=30
    )
    consumer.close()
    return sum(max(0, part.offset) for part in found)


def test_everything_arrives_once_and_in_order(topic: FilledTopic, started: Any) -> None:
    born = [customer(key) for key in range(1, 501)]
    topic.fill(Event("c", row[0], row) for row in born)
    topic.fill(
        Event("u", row[0], customer(row[0], version, sequence=500 * version + row[0]), row)
        for version in range(1, 4)
        for row in born
    )
    platform = started()

    platform.await_durable(2000)

    assert counts(platform) == {"delivered": 2000, "duplicated": 0, "reordered": 0}
    assert platform.stop() == 0


def test_sigterm_drains_so_that_the_next_instance_gets_no_event_again(
    topic: FilledTopic, started: Any
) -> None:
    topic.fill(inserts(3000))
    first = started(sink="slow", sink_delay_ms=5, batch_size=20, max_buffered_messages=200)
    first.await_durable(200)
    assert first.stop() == 0
    before = committed(topic)
    assert 200 <= before < 3000

    second = started()
    second.await_durable(3000 - before)

    assert counts(second) == {"delivered": 3000 - before, "duplicated": 0, "reordered": 0}
    assert second.stop() == 0


def test_a_killed_instance_loses_nothing(topic: FilledTopic, started: Any) -> None:
    topic.fill(inserts(2000))
    first = started(sink="slow", sink_delay_ms=5, batch_size=20, max_buffered_messages=200)
    first.await_durable(100)
    first.kill()

    second = started()
    before = committed(topic)
    second.await_durable(2000 - before)

    assert counts(second)["delivered"] == 2000 - before


def test_a_second_instance_takes_over_partitions_without_a_duplicate(
    topic: FilledTopic, started: Any
) -> None:
    topic.fill(inserts(4000))
    options = {"sink": "slow", "sink_delay_ms": 40, "batch_size": 20, "max_buffered_messages": 400}
    first = started(**options)
    first.await_durable(100)
    second = started(**options)
    assert second.url  # it has its partitions
    topic.fill(inserts(4000, first=4001))

    await_that(
        lambda: first.durable + second.durable >= 8000, lambda: f"{first.durable} {second.durable}"
    )

    assert second.durable > 0
    assert counts(first, second) == {"delivered": 8000, "duplicated": 0, "reordered": 0}
    assert first.stop() == 0
    assert second.stop() == 0


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (b"{}", "wire format"),
        (struct.pack(">bI", 0, 99_999_999) + b"x", "no schema 99999999"),
        (None, "ends in the middle"),
    ],
)
def test_an_unreadable_event_goes_to_the_dead_letters_and_the_rest_arrives(
    topic: FilledTopic, started: Any, value: bytes | None, cause: str
) -> None:
    aside = f"{topic.name}_dead"
    topics.create_topic(topic.endpoints.kafka_bootstrap, aside, 1)
    cut = (topic.encoder.value(Event("c", 1, customer(1))) or b"")[:-1]
    topic.fill(inserts(100))
    topic.put([(b"poison", value or cut)])
    topic.fill(inserts(100, first=1000))
    try:
        platform = started(dead_letter_topic=aside)
        platform.await_durable(200)
        (message,) = read_all(topic.endpoints, aside, 1)
        await_that(lambda: committed(topic) == 201, lambda: f"{committed(topic)}")
        assert platform.stop() == 0
    finally:
        topics.delete_topics(topic.endpoints.kafka_bootstrap, [aside])

    headers = {name: text.decode() for name, text in message.headers()}
    assert (message.key(), message.value()) == (b"poison", value or cut)
    assert cause in headers["__connect.errors.exception.message"]
    assert headers["__connect.errors.topic"] == topic.name
    assert headers["__connect.errors.offset"].isdigit()


def test_without_dead_letters_an_unreadable_event_stops_its_partition_alone(
    topic: FilledTopic, started: Any
) -> None:
    topic.put([(b"poison", b"{}")])
    topic.fill(inserts(200))
    platform = started()

    await_that(lambda: platform.get("/healthz")["errors"] != [], lambda: platform.output)
    await_that(lambda: platform.durable > 100, lambda: platform.output)

    assert "--dead-letter-topic" in platform.get("/healthz")["errors"][0]
    assert platform.durable < 200
    assert platform.stop() == 1


def test_an_event_that_a_sink_refuses_goes_to_the_dead_letters(
    topic: FilledTopic, started: Any
) -> None:
    aside, schema = f"{topic.name}_dead", topic.name
    topics.create_topic(topic.endpoints.kafka_bootstrap, aside, 1)
    bad = list(customer(50))
    bad[1] = "NUL \0 byte"
    topic.fill([*inserts(49), Event("c", 50, bad), *inserts(50, first=51)])
    try:
        platform = started(
            sink="postgres",
            postgres_dsn=topic.endpoints.postgres_dsn,
            postgres_table=f"{schema}.customers",
            dead_letter_topic=aside,
        )
        platform.await_durable(99)
        (message,) = read_all(topic.endpoints, aside, 1)
        assert platform.stop() == 0
    finally:
        topics.delete_topics(topic.endpoints.kafka_bootstrap, [aside])
        drop_schema(topic.endpoints, schema)

    assert message.key() == topic.encoder.key(Event("c", 50))
    assert (
        "RefusedError" in dict(message.headers())["__connect.errors.exception.class.name"].decode()
    )


@contextmanager
def existing_table(topic: FilledTopic, table: str, columns: str) -> Iterator[None]:
    """A table in a schema of the topic's name, which is dropped afterwards."""
    import psycopg

    with psycopg.connect(topic.endpoints.postgres_dsn, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {topic.name}")
        connection.execute(f"CREATE TABLE {topic.name}.{table} ({columns})")
    try:
        yield
    finally:
        drop_schema(topic.endpoints, topic.name)


def into_postgres(topic: FilledTopic, started: Any) -> PlatformProcess:
    """A platform that writes to `customers` in a schema of the topic's name."""
    table = f"{topic.name}.customers"
    platform: PlatformProcess = started(
        sink="postgres", postgres_dsn=topic.endpoints.postgres_dsn, postgres_table=table
    )
    return platform


def drop_schema(endpoints: Endpoints, schema: str) -> None:
    import psycopg

    with psycopg.connect(endpoints.postgres_dsn, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


def test_tombstones_are_passed_and_their_offsets_committed(
    topic: FilledTopic, started: Any
) -> None:
    topic.fill(inserts(10))
    topic.fill(Event("tombstone", key) for key in range(1, 11))
    platform = started()

    platform.await_durable(10)
    await_that(lambda: committed(topic) == 20, lambda: f"{committed(topic)}")

    partitions = platform.get("/snapshot")["consumer"]["partitions"].values()
    assert sum(partition["lag"] for partition in partitions) == 0
    assert counts(platform)["delivered"] == 10


def test_queue_samples_are_numbered_and_add_up(topic: FilledTopic, started: Any) -> None:
    topic.fill(inserts(1000))
    platform = started(sink="slow", sink_delay_ms=10, batch_size=10, max_buffered_messages=100)
    platform.await_durable(1000)

    samples = platform.get("/samples")["samples"]
    numbers = [sample["number"] for sample in samples]
    assert numbers == list(range(1, len(samples) + 1))
    assert platform.get(f"/samples?after={numbers[-2]}")["samples"][0]["number"] == numbers[-1]
    assert max(sample["queue_depth"] + sample["in_flight"] for sample in samples) <= 100
    assert any(sample["paused_partitions"] for sample in samples)
    for sample in samples:
        assert sample["queue_depth"] == sum(
            part["queue_depth"] for part in sample["partitions"].values()
        )
    snapshot = platform.get("/snapshot")
    assert 0 < snapshot["consumer"]["queue_high_water"] <= 100
    assert sum(snapshot["sink"]["busy_by_partition_s"].values()) == pytest.approx(
        snapshot["sink"]["busy_s"], abs=0.01
    )


BAD_SERVERS = {
    "bootstrap": ({"bootstrap": "127.0.0.1:1"}, "Kafka at 127.0.0.1:1"),
    "registry": ({"schema_registry": "http://127.0.0.1:1"}, "http://127.0.0.1:1/subjects"),
    "topic": ({"topic": "cdc_sinks_nowhere"}, "has no topic cdc_sinks_nowhere"),
    "dead letters": ({"dead_letter_topic": "cdc_sinks_nowhere"}, "has no topic cdc_sinks_nowhere"),
    "webhook": (
        {"sink": "webhook", "webhook_url": "http://127.0.0.1:1/"},
        "webhook at http://127.0.0.1:1 ",
    ),
    "postgres": (
        {"sink": "postgres", "postgres_dsn": "host=127.0.0.1 port=1", "postgres_table": "a.b"},
        "Postgres at host=127.0.0.1 port=1",
    ),
    "iceberg": (
        {
            "sink": "iceberg",
            "iceberg_properties": "tests/integration/nowhere.properties",
            "iceberg_table": "a.b",
        },
        "sqlite:////nowhere/catalog.db",
    ),
}


@pytest.mark.parametrize("name", BAD_SERVERS)
def test_a_server_that_does_not_answer_is_named_and_ends_with_3(started: Any, name: str) -> None:
    options, said = BAD_SERVERS[name]

    platform = started(**options)

    assert platform.wait() == 3
    assert said in platform.output


def test_events_that_are_no_envelopes_are_a_matter_of_configuration(
    stack: Endpoints, tmp_path: Path
) -> None:
    name = f"cdc_sinks_{uuid.uuid4().hex[:8]}"
    from tests.change_events import key_schema, register

    topics.create_topic(stack.kafka_bootstrap, name, 1)
    register(stack, f"{name}-value", key_schema(name))
    try:
        platform = PlatformProcess(stack, name, tmp_path / "log", {})
        assert platform.wait() == 2
        assert "no Debezium envelope" in platform.output
    finally:
        topics.delete_topics(stack.kafka_bootstrap, [name])
        topics.delete_subjects(stack.schema_registry_url, name)


def test_a_table_without_a_primary_key_is_a_matter_of_configuration(
    topic: FilledTopic, started: Any
) -> None:
    with existing_table(topic, "customers", "id bigint"):
        platform = into_postgres(topic, started)
        assert platform.wait() == 2
        assert "has no primary key" in platform.output


@pytest.mark.parametrize(
    "columns", ["topic text, partition int, next_offset bigint", "id bigint PRIMARY KEY, city text"]
)
def test_a_table_of_somebody_elses_where_the_offsets_would_go_is_left_alone(
    topic: FilledTopic, started: Any, columns: str
) -> None:
    import psycopg

    foreign = f"{topic.name}.customers_offsets"
    with existing_table(topic, "customers_offsets", columns):
        platform = into_postgres(topic, started)
        assert platform.wait() == 2
        assert (
            f"{foreign}, where the sink keeps its offsets, is not a table of the sink's own"
            in platform.output
        )
        with psycopg.connect(topic.endpoints.postgres_dsn) as connection:
            comment = connection.execute(
                "SELECT obj_description(%s::regclass, 'pg_class')", (foreign,)
            ).fetchone()
        assert comment == (None,)


def test_events_without_keys_cannot_be_upserted(topic: FilledTopic, started: Any) -> None:
    topic.put([(None, topic.encoder.value(Event("c", 1, customer(1))))])
    try:
        platform = into_postgres(topic, started)
        assert platform.wait() == 2
        assert "give the source table a primary key" in platform.output
    finally:
        drop_schema(topic.endpoints, topic.name)


def test_a_column_that_is_added_under_way_arrives(stack: Endpoints, tmp_path: Path) -> None:
    import psycopg

    name = f"cdc_sinks_{uuid.uuid4().hex[:8]}"
    wider = {**CUSTOMERS, "city": ("string", True)}
    from tests.change_events import Encoder, envelope_schema, register

    with filled_topic(stack, name, 1) as topic:
        topic.fill(inserts(3))
        value_id = register(stack, f"{name}-value", envelope_schema(wider, name))
        later = FilledTopic(name, stack, Encoder(wider, name, value_id, topic.encoder.key_id))
        later.fill([Event("c", 9, (*customer(9), "Köln"))])
        options = {
            "sink": "postgres",
            "postgres-dsn": stack.postgres_dsn,
            "postgres-table": f"{name}.customers",
        }
        platform = PlatformProcess(stack, name, tmp_path / "log", {"run": RUN, **options})
        try:
            platform.await_durable(4)
            assert platform.stop() == 0
            with psycopg.connect(stack.postgres_dsn) as connection:
                found = connection.execute(
                    f"SELECT id, city FROM {name}.customers ORDER BY id"
                ).fetchall()
        finally:
            platform.kill()
            drop_schema(stack, name)

    assert found == [(1, None), (2, None), (3, None), (9, "Köln")]

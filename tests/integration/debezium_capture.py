"""What the real connector makes of some statements: its records as they lie in the topic."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from confluent_kafka import Consumer, Message, TopicPartition

from cdc_users.pipeline.provision.kafka_topics import create_topic, delete_subjects, delete_topics
from infra.postgres.publication import create_publication, drop_publication
from infra.postgres.slot import create_slot, drop_slot
from infra.postgres.table import create_customers, create_schema, drop_schema
from infra.stack.debezium.connector import (
    DebeziumConnector,
    create_connector,
    delete_connector,
    wait_until_streaming,
)
from infra.stack.endpoints import Endpoints

DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Capture:
    """A table with a connector on it; `topic` has one partition."""

    endpoints: Endpoints
    table: str
    topic: str

    def execute(self, statement: str, *rows: Sequence[Any]) -> None:
        """Run a statement for each of the rows (once where there are none), each time in a
        transaction of its own.

        {} in it stands for the table.
        """
        with closing(psycopg.connect(self.endpoints.postgres_dsn, autocommit=True)) as connection:
            for row in rows or (None,):
                connection.execute(statement.format(self.table), row)

    def records(self, count: int) -> Sequence[Message]:
        """The first records of the topic."""
        return read(self.endpoints.kafka_bootstrap, self.topic, 1, count)


@contextmanager
def captured_customers(endpoints: Endpoints) -> Iterator[Capture]:
    """Capture a table of customers with the real connector, and leave nothing behind."""
    name = f"cdc_producer_{uuid.uuid4().hex[:8]}"
    topic = f"cdc.{name}.customers"
    connector = DebeziumConnector(name.replace("_", "-"), name, name, "cdc", (f"{name}.customers",))
    with (
        closing(psycopg.connect(endpoints.postgres_dsn, autocommit=True)) as connection,
        ExitStack() as undo,
    ):
        undo.callback(delete_subjects, endpoints.schema_registry_url, topic)
        undo.callback(delete_topics, endpoints.kafka_bootstrap, [topic])
        create_topic(endpoints.kafka_bootstrap, topic, 1)
        undo.callback(drop_schema, connection, name)
        create_schema(connection, name, "test")
        table = create_customers(connection, name)
        undo.callback(drop_publication, connection, name)
        create_publication(connection, name, [table])
        undo.callback(drop_slot, connection, name)
        # A slot that the connector makes is held while it is made, which looks like streaming.
        create_slot(connection, name)
        undo.callback(delete_connector, endpoints, connector.name)
        create_connector(endpoints, connector)
        wait_until_streaming(endpoints, connector, DEADLINE_S)
        yield Capture(endpoints, f"{name}.customers", topic)


def read(bootstrap: str, topic: str, partitions: int, count: int) -> Sequence[Message]:
    """So many records of a topic, from its beginning."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": topic, "enable.auto.commit": False}
    )
    found: list[Message] = []
    try:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
        deadline_s = time.monotonic() + DEADLINE_S
        while len(found) < count:
            assert time.monotonic() < deadline_s, (
                f"only {len(found)} of {count} records came out of {topic}"
            )
            found += [
                message
                for message in consumer.consume(count - len(found), 0.2)
                if message.error() is None
            ]
    finally:
        consumer.close()
    return found

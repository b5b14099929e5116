"""A row that passes the whole pipeline: a temporary table, connector and topic, and the row read
from the topic. More rows warm the pipeline up.
"""

from __future__ import annotations

import time
import uuid
from contextlib import ExitStack, closing

import psycopg
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from psycopg.sql import SQL

from infra.client.kafka import kafka_settings
from infra.client.registry import SchemaRegistry
from infra.postgres.publication import create_publication, drop_publication
from infra.postgres.slot import drop_slot
from infra.postgres.table import create_customers, create_schema, drop_schema
from infra.stack.debezium.connector import (
    DebeziumConnector,
    create_connector,
    delete_connector,
    wait_until_streaming,
)
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackError

ROW = (1, "Ada", "Lovelace", "ada@example.test", "2026-01-01T00:00:00Z")
INSERT = SQL(
    "INSERT INTO {} (id, first_name, last_name, email, created_at) VALUES (%s, %s, %s, %s, %s)"
)
WARM = SQL(
    "INSERT INTO {} (id, first_name, last_name, email, created_at)"
    " SELECT number, 'Ada', 'Lovelace', 'ada@example.test', now()"
    " FROM generate_series(2, %s) AS number"
)
#: A fresh Java process needs this many rows before it runs compiled code. Until then Connect
#: reaches only a part of its rate, and a measurement would show that (docs/results/measurement.md).
WARMING_ROWS = 5_000
#: A machine that needs longer is too busy for figures anyway, but the stack itself is sound.
WARMING_S = 60.0
TIMEOUT_S = 30.0
POLL_S = 0.05


def send_canary(endpoints: Endpoints, limit_s: float, rows: int = 1) -> None:
    """Send a row through a connector of its own; raises StackError if it does not arrive in time.

    Further rows, up to `rows` in all, warm the pipeline up. The function waits for them for up to a
    minute; it is no error if some are still missing then. It leaves no object behind, also after a
    failure.
    """
    name = f"cdc_canary_{uuid.uuid4().hex[:8]}"
    topic = f"cdc.{name}.customers"
    connector = DebeziumConnector(name.replace("_", "-"), name, name, "cdc", (f"{name}.customers",))
    with (
        closing(psycopg.connect(endpoints.postgres_dsn, connect_timeout=10)) as connection,
        ExitStack() as undo,
    ):
        connection.autocommit = True
        undo.callback(_remove_topic, endpoints, topic)
        admin = AdminClient(kafka_settings(endpoints.kafka_bootstrap))
        admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(TIMEOUT_S)
        undo.callback(drop_schema, connection, name)
        create_schema(connection, name, "canary")
        table = create_customers(connection, name)
        undo.callback(drop_publication, connection, name)
        create_publication(connection, name, [table])
        undo.callback(drop_slot, connection, name)
        undo.callback(delete_connector, endpoints, connector.name)
        create_connector(endpoints, connector)
        wait_until_streaming(endpoints, connector, limit_s)
        with connection.cursor() as cursor:
            cursor.execute(INSERT.format(table.identifier), ROW)
        _await_record(endpoints, topic, limit_s)
        if rows > 1:
            with connection.cursor() as cursor:
                cursor.execute(WARM.format(table.identifier), (rows,))
            _await_end(endpoints, topic, rows)


def _await_end(endpoints: Endpoints, topic: str, rows: int) -> None:
    consumer = Consumer(kafka_settings(endpoints.kafka_bootstrap, {"group.id": topic}))
    try:
        deadline_s = time.monotonic() + WARMING_S
        while time.monotonic() < deadline_s:
            _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=TIMEOUT_S)
            if end >= rows:
                return
            time.sleep(POLL_S)
    finally:
        consumer.close()


def _await_record(endpoints: Endpoints, topic: str, limit_s: float) -> None:
    own = {"group.id": topic, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    consumer = Consumer(kafka_settings(endpoints.kafka_bootstrap, own))
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        deadline_s = time.monotonic() + limit_s
        while time.monotonic() < deadline_s:
            message = consumer.poll(0.5)
            if message is not None and message.error() is None:
                return
    finally:
        consumer.close()
    raise StackError(
        f"a row written to Postgres did not come out of topic {topic!r} within {limit_s:g} s"
    )


def _remove_topic(endpoints: Endpoints, topic: str) -> None:
    admin = AdminClient(kafka_settings(endpoints.kafka_bootstrap))
    admin.delete_topics([topic])[topic].result(TIMEOUT_S)
    with SchemaRegistry(endpoints.schema_registry_url, TIMEOUT_S) as registry:
        for side in ("key", "value"):
            registry.delete(f"{topic}-{side}")

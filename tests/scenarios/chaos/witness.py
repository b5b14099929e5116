"""Somebody else who counts a run's events, where they go in and where they go by."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition
from psycopg import sql

from cdc_users.users.producer.fence import fence_key
from infra.client.kafka import kafka_settings
from infra.stack.servers.settings import TOPIC_PREFIX
from tests.scenarios.chaos.judge import Counted
from tests.scenarios.chaos.target import Target

EVERY_S = 0.2
COUNT = "SELECT count(*) FILTER (WHERE id < {first}), count(*) FROM {table}"


class Witness(threading.Thread):
    """Looks at a run's tables and topics until it is asked to stop.

    What is looked at after the drain stands in `counted`: all events have gone by then.
    """

    def __init__(self, target: Target) -> None:
        super().__init__(daemon=True)
        self._target = target
        self._over = threading.Event()
        self.counted = Counted()

    def run(self) -> None:
        """Look again and again; what is gone was seen before."""
        bootstrap = self._target.stack.kafka_bootstrap
        settings = kafka_settings(bootstrap, {"group.id": "witness", "enable.auto.commit": False})
        consumer = Consumer(settings)
        try:
            while not self._over.wait(EVERY_S):
                if self._target.begun("audit"):
                    with contextlib.suppress(psycopg.Error, KafkaException, OSError):
                        self._look(consumer)
        finally:
            consumer.close()

    def stop(self) -> Counted:
        """Look no more; returns what was counted."""
        self._over.set()
        self.join()
        return self.counted

    def _look(self, consumer: Consumer) -> None:
        records = list(self._records(consumer))
        tables = self._target.tables()
        rows = whole = 0
        if tables:
            with self._target.database() as connection:
                for schema, table in tables:
                    place = sql.Identifier(schema, table)
                    query = sql.SQL(COUNT).format(first=sql.Literal(fence_key(0)), table=place)
                    written, all_of_them = connection.execute(query).fetchone() or (0, 0)
                    rows, whole = rows + int(str(written)), whole + int(str(all_of_them))
        self.counted = self.counted.and_then(
            rows=rows if tables else None,
            records=sum(records) if records else None,
            surplus=max(0, sum(records) - whole) if tables and records else 0,
        )

    def _records(self, consumer: Consumer) -> Iterator[int]:
        prefix = f"{TOPIC_PREFIX}.cdc_{self._target.id}."
        if not self._target.id:
            return
        for name, topic in consumer.list_topics(timeout=5).topics.items():
            if name.startswith(prefix) and not name.endswith(".dead-letter"):
                for number in topic.partitions:
                    place = TopicPartition(name, number)
                    yield consumer.get_watermark_offsets(place, timeout=5)[1]

"""Where the pipelines end, each of which says what it has: rows by key."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import orjson
import psycopg
from confluent_kafka import Consumer, TopicPartition
from psycopg import sql
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import NoSuchTableError
from typing_extensions import override

from infra.platform.sinks.iceberg.sink import CATALOG, local_properties
from tests.integration.sink_world import WebhookWorld
from tests.moves.row import Rows, add, replay, rows_of

POLL_S = 0.1
Options = dict[str, object]


class SinkPlace(Protocol):
    """A place that one of the platform's sinks leads to."""

    #: What the platform is told of it.
    options: Options

    def rows(self) -> Rows:
        """What a reader finds there."""

    def close(self) -> None:
        """Remove it."""


class PostgresPlace(SinkPlace):
    """A schema of its own."""

    def __init__(self, dsn: str, schema: str) -> None:
        self._dsn, self._schema = dsn, schema
        table = f"{schema}.customers"
        self.options = {"sink": "postgres", "postgres-dsn": dsn, "postgres-table": table}
        with self._connected() as connection:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))

    def _connected(self) -> closing[Any]:
        return closing(psycopg.connect(self._dsn, autocommit=True))

    @override
    def rows(self) -> Rows:
        with self._connected() as connection:
            return rows_of(connection, sql.Identifier(self._schema, "customers"))

    @override
    def close(self) -> None:
        with self._connected() as connection:
            connection.execute(
                sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(self._schema))
            )


class IcebergPlace(SinkPlace):
    """A warehouse of its own; of a change log the rows are what its changes make of them."""

    def __init__(self, warehouse: Path, mode: str) -> None:
        self._properties = local_properties(str(warehouse))
        self._mode = mode
        self.options = {
            "sink": "iceberg",
            "iceberg-warehouse": warehouse,
            "iceberg-table": "moves.customers",
            "iceberg-mode": mode,
            "iceberg-commit-interval-ms": 500,
        }

    @override
    def rows(self) -> Rows:
        found: Rows = {}
        with closing(load_catalog(CATALOG, **self._properties)) as catalog:
            try:
                table = catalog.load_table("moves.customers")
            except NoSuchTableError:
                return found
            rows: list[dict[str, Any]] = table.scan().to_arrow().to_pylist()
        if self._mode == "append":
            rows.sort(key=lambda row: row["cdc_offset"])
            for row in rows:
                replay(found, row["op"], row, row)
        else:
            for row in rows:
                add(found, row)
        return found

    @override
    def close(self) -> None:
        """It goes with the test's directory."""


class WebhookPlace(SinkPlace):
    """A receiver that takes each offset once."""

    def __init__(self) -> None:
        self._world = WebhookWorld()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="webhook", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._world.start(), self._loop).result()
        self.options = {"sink": "webhook", "webhook-url": self._world.url}

    @override
    def rows(self) -> Rows:
        found: Rows = {}
        for event in list(self._world.events):
            replay(found, event["op"], event["before"], event["after"])
        return found

    @override
    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._world.stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class TopicPlace:
    """The direct reader's topic, of one partition; read while it is written, since what retention
    takes later has been there.
    """

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._rows: Rows = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": topic, "enable.auto.commit": False}
            | {"auto.offset.reset": "earliest", "log_level": 0}
        )
        self._consumer.assign([TopicPartition(topic, 0, 0)])
        self._thread = threading.Thread(target=self._run, name="topic place", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            for message in self._consumer.consume(500, POLL_S):
                value = message.value()
                if message.error() is None and value is not None:
                    change = orjson.loads(value)
                    with self._lock:
                        replay(self._rows, change["op"], change["before"], change["after"])

    def rows(self) -> Rows:
        """What the changes so far make of the table."""
        with self._lock:
            return dict(self._rows)

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join()
        self._consumer.close()

"""A source for the direct reader: table, publication and slot, and a service on them that a test
can look into.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from cdc_users.measure.clock import new_anchor
from infra.platform.transports.transport import Record
from infra.platform.wal.replication import slot as server
from infra.platform.wal.service import DirectReaderSettings, Service
from infra.replication.stream import lsn_number

DEADLINE_S = 30.0


def await_that(condition: Callable[[], bool], message: str) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, message
        time.sleep(0.01)


class Source:
    """One table `orders (id, version, note)` with everything that a reader needs."""

    def __init__(self, dsn: str, name: str) -> None:
        self.dsn = dsn
        self.name = name
        self.connection = server.connect(dsn)
        self.execute(f"CREATE TABLE {name} (id bigint PRIMARY KEY, version int, note text)")
        self.execute(f"ALTER TABLE {name} REPLICA IDENTITY FULL")
        self.execute(f"CREATE PUBLICATION {name} FOR TABLE {name}")
        server.create_slot(self.connection, name)

    def execute(self, query: str, *arguments: Any) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(query.encode(), arguments or None)

    def insert(self, first: int, last: int) -> None:
        """These keys, in one transaction."""
        self.execute(
            f"INSERT INTO {self.name} SELECT g, 1, 'n' FROM generate_series(%s::int, %s::int) g",
            first,
            last,
        )

    def reconnect(self) -> None:
        self.connection.close()
        self.connection = server.connect(self.dsn)

    def slot(self) -> server.Slot:
        found = server.find_slot(self.connection, self.name)
        assert found is not None
        return found

    def wal_lsn(self) -> int:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_wal_lsn()::text")
            row = cursor.fetchone()
            assert row is not None
            return lsn_number(row[0])

    def remove(self) -> None:
        server.drop(self.dsn, "slot", self.name)
        server.drop(self.dsn, "publication", self.name)
        self.execute(f"DROP TABLE IF EXISTS {self.name}")
        self.connection.close()


class ListPublisher:
    """Keeps what it is given; durable only while the gate is open."""

    name = "list"
    limit_bytes = 10_000_000
    trouble = ""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Event()

    def refusal(self, record: Record) -> str:
        return "" if len(record.data) <= self.limit_bytes else "too large"

    def publish(self, records: Sequence[Record]) -> None:
        self.records += records

    def flush(self) -> None:
        self.waiting.set()
        assert self.gate.wait(DEADLINE_S)
        self.waiting.clear()

    def moved(self) -> str:
        return ""

    def close(self) -> None:
        self.flush()

    def ids(self) -> list[int]:
        return [int(record.key) for record in self.records]

    def changes(self) -> list[dict[str, Any]]:
        return [orjson.loads(record.data) for record in self.records]


class ListService(Service):
    """A service whose publisher is a list."""

    def __init__(self, settings: DirectReaderSettings) -> None:
        self.list = ListPublisher()
        super().__init__(settings, new_anchor())

    def _publisher(self, _: Sequence[str]) -> ListPublisher:
        return self.list


@contextmanager
def reading(source: Source, **settings: Any) -> Iterator[ListService]:
    """A service that reads, in a thread; stopped in order at the end, which must not have
    failed.
    """
    service = ListService(DirectReaderSettings(source.dsn, source.name, source.name, **settings))
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        await_that(
            lambda: service.reader.streaming.is_set() or service.failure is not None,
            "the reader never streamed",
        )
        yield service
    finally:
        service.list.gate.set()
        service.stop()
        thread.join(DEADLINE_S)
        service.close()
    assert not thread.is_alive()


def state_file(directory: Path) -> Path:
    return directory / "state.json"

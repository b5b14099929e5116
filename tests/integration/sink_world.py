"""Each sink with the place where its events land, in one shape, so that one contract can be put to
all of them.

`state` is what a reader of that place finds: each key's row as its last event left it.
`break_next` makes the next write or flush fail, before it takes effect or after.
"""

from __future__ import annotations

import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import psycopg
from aiohttp import web
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import CommitStateUnknownException, NoSuchTableError

from infra.avro.kind import PLACEHOLDER
from infra.platform.process.error import RetryableError
from infra.platform.sinks.batch import Batch
from infra.platform.sinks.connector import SinkConnector, WriteStatus
from infra.platform.sinks.counting import CountingSink, SlowSink
from infra.platform.sinks.iceberg.sink import CATALOG, IcebergSink, local_properties
from infra.platform.sinks.postgres.sink import PostgresSink
from infra.platform.sinks.webhook.sink import BodyShape, WebhookSink

When = Literal["before", "after"]
State = dict[int, tuple[Any, ...]]
COLUMNS = (
    "id",
    "first_name",
    "last_name",
    "email",
    "phone",
    "balance",
    "created_at",
    "notes",
    "probe",
)


class World(ABC):
    """A place, and sinks that lead to it; several sinks of a world are several instances or lives
    of the platform.
    """

    #: Whether rows can be read back, not only counted.
    keeps_rows = True

    @abstractmethod
    def sink(self) -> SinkConnector:
        """A sink that leads here, not opened."""

    @abstractmethod
    async def state(self) -> State:
        """Rows by key."""

    @abstractmethod
    async def effects(self) -> int:
        """How many events have taken effect, where a reader can tell; what came twice and was
        taken twice shows.
        """

    @abstractmethod
    def break_next(self, when: When) -> None:
        """Let the next attempt fail."""

    async def start(self) -> None:  # noqa: B027 - most places need nothing
        """Make the place."""

    async def stop(self) -> None:  # noqa: B027 - most places need nothing
        """Remove the place."""


class CountingWorld(World):
    """A sink that counts is its own place; a life of it is one object."""

    keeps_rows = False

    def __init__(self, slow: bool = False) -> None:
        self._sink = _Breaking(SlowSink(0.001) if slow else CountingSink())

    def sink(self) -> SinkConnector:
        return self._sink

    async def state(self) -> State:
        return {}

    async def effects(self) -> int:
        return self._sink.inner.count

    def break_next(self, when: When) -> None:
        self._sink.when = when


class _Breaking:
    """Fails once when told to."""

    def __init__(self, inner: CountingSink) -> None:
        self.name = inner.name
        self.inner = inner
        self.when: When | None = None
        self.open, self.identify, self.positions = inner.open, inner.identify, inner.positions
        self.flush, self.close = inner.flush, inner.close
        self.incomplete_rows = inner.incomplete_rows

    async def write(self, batch: Batch) -> WriteStatus:
        when, self.when = self.when, None
        if when == "before":
            raise RetryableError("broken before it took effect")
        status = await self.inner.write(batch)
        if when == "after":
            raise RetryableError("broken after it took effect")
        return status


class WebhookWorld(World):
    """A receiver that takes a request of a known idempotency key, or events of known offsets, only
    once.
    """

    def __init__(self, shape: BodyShape = "batch") -> None:
        self.requests: list[str] = []
        self._shape = shape
        self._keys: set[str] = set()
        self._next: dict[tuple[str, int], int] = {}
        self.events: list[dict[str, Any]] = []
        self._when: When | None = None
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        application = web.Application(client_max_size=2**26)
        application.router.add_post("/", self._post)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _post(self, request: web.Request) -> web.Response:
        when, self._when = self._when, None
        body = json.loads(await request.text())
        if when == "before":
            return web.Response(status=500)
        key = request.headers["Idempotency-Key"]
        self.requests.append(key)
        if key not in self._keys:
            self._keys.add(key)
            for event in body if isinstance(body, list) else [body]:
                self._take(event)
        if when == "after":
            assert request.transport is not None
            request.transport.close()
        return web.Response()

    def _take(self, event: dict[str, Any]) -> None:
        source = event["source"]
        place = source["topic"], source["partition"]
        if source["offset"] >= self._next.get(place, 0):
            self._next[place] = source["offset"] + 1
            self.events.append(event)

    def sink(self) -> SinkConnector:
        return WebhookSink(self.url, self._shape)

    async def state(self) -> State:
        found: dict[int, dict[str, Any]] = {}
        for event in self.events:
            key = event["key"]["id"]
            if event["op"] == "d":
                found.pop(key, None)
            else:
                old = found.get(key, {})
                found[key] = {
                    name: old.get(name) if value == PLACEHOLDER else value
                    for name, value in event["after"].items()
                }
        return {key: _row(row) for key, row in found.items()}

    async def effects(self) -> int:
        return len(self.events)

    def break_next(self, when: When) -> None:
        self._when = when


def _row(row: dict[str, Any]) -> tuple[Any, ...]:
    """A row of `customers` from JSON."""
    balance = None if row["balance"] is None else Decimal(row["balance"])
    whole = row | {"balance": balance, "created_at": datetime.fromisoformat(row["created_at"])}
    return tuple(whole[name] for name in COLUMNS)


class PostgresWorld(World):
    """A schema of its own on a real server; a trigger counts what touches the table."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self.schema = f"cdc_sinks_{uuid.uuid4().hex[:8]}"
        self._sinks: list[_BreakingPostgres] = []

    async def stop(self) -> None:
        with closing(psycopg.connect(self._dsn, autocommit=True)) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {self.schema} CASCADE")

    def sink(self) -> SinkConnector:
        made = _BreakingPostgres(self._dsn, f"{self.schema}.customers")
        self._sinks.append(made)
        return made

    async def state(self) -> State:
        with closing(psycopg.connect(self._dsn, autocommit=True)) as connection:
            if connection.execute(
                "SELECT to_regclass(%s)", (f"{self.schema}.customers",)
            ).fetchone() == (None,):
                return {}
            rows = connection.execute(
                f"SELECT {', '.join(COLUMNS)} FROM {self.schema}.customers"
            ).fetchall()
            return {row[0]: row for row in rows}

    async def effects(self) -> int:
        with closing(psycopg.connect(self._dsn, autocommit=True)) as connection:
            query = f"SELECT coalesce(sum(next_offset), 0) FROM {self.schema}.customers_offsets"
            (count,) = connection.execute(query).fetchone() or (0,)
            return int(count)

    def break_next(self, when: When) -> None:
        self._sinks[-1].when = when


class _BreakingPostgres(PostgresSink):
    """Its backend is terminated by the server before or after the statement."""

    when: When | None = None

    async def _apply(self, connection: Any, batch: Batch, target: Any) -> Any:
        when, self.when = self.when, None
        if when == "before":
            await self._terminate(connection)
        moved = await super()._apply(connection, batch, target)
        if when == "after":
            await self._terminate(connection)
            await connection.execute("SELECT 1")  # what a lost answer looks like from here
        return moved

    async def _terminate(self, connection: Any) -> None:
        async with await psycopg.AsyncConnection.connect(self._dsn, autocommit=True) as other:
            await other.execute(
                "SELECT pg_terminate_backend(%s, 5000)", (connection.info.backend_pid,)
            )


class IcebergWorld(World):
    """A warehouse of its own; the state is that of the table, or what its change log says."""

    def __init__(self, warehouse: Path, upsert: bool) -> None:
        self._properties = local_properties(str(warehouse))
        self._upsert = upsert
        self._sinks: list[_BreakingIceberg] = []

    def sink(self) -> SinkConnector:
        made = _BreakingIceberg(self._properties, "test.customers", upsert=self._upsert)
        self._sinks.append(made)
        return made

    def _rows(self) -> list[dict[str, Any]]:
        catalog = load_catalog(CATALOG, **self._properties)
        try:
            rows: list[dict[str, Any]] = (
                catalog.load_table("test.customers").scan().to_arrow().to_pylist()
            )
        except NoSuchTableError:
            return []
        finally:
            catalog.close()
        return rows

    async def state(self) -> State:
        rows = self._rows()
        if self._upsert:
            return {row["id"]: tuple(row[name] for name in COLUMNS) for row in rows}
        found: State = {}
        for row in sorted(rows, key=lambda row: (row["cdc_partition"], row["cdc_offset"])):
            if row["op"] == "d":
                found.pop(row["id"], None)
            else:
                not_sent = (row["cdc_not_sent"] or "").split(",")
                old = dict(zip(COLUMNS, found.get(row["id"], ()), strict=False))
                found[row["id"]] = tuple(
                    old.get(name) if name in not_sent else row[name] for name in COLUMNS
                )
        return found

    async def effects(self) -> int:
        return len(self._rows())

    def break_next(self, when: When) -> None:
        self._sinks[-1].when = when


class _BreakingIceberg(IcebergSink):
    """Its commit fails before it takes effect, or its answer is lost."""

    when: When | None = None

    def _commit(self, table: Any, pieces: Sequence[Any], books: Any, tag: str) -> None:
        when, self.when = self.when, None
        if when == "before":
            raise OSError("the warehouse is away")
        super()._commit(table, pieces, books, tag)
        if when == "after":
            raise CommitStateUnknownException("the answer was lost")


def world(name: str, dsn: str, directory: Path) -> World:
    """The world of this name."""
    made: dict[str, Callable[[], World]] = {
        "counting": CountingWorld,
        "slow": lambda: CountingWorld(slow=True),
        "webhook": WebhookWorld,
        "webhook, single events": lambda: WebhookWorld("single"),
        "postgres": lambda: PostgresWorld(dsn),
        "iceberg, append": lambda: IcebergWorld(directory, upsert=False),
        "iceberg, upsert": lambda: IcebergWorld(directory, upsert=True),
    }
    return made[name]()


NAMES = (
    "counting",
    "slow",
    "webhook",
    "webhook, single events",
    "postgres",
    "iceberg, append",
    "iceberg, upsert",
)


async def settled(sink: SinkConnector, *batches: Batch) -> None:
    """Write batches one after another and make them durable."""
    statuses = [await sink.write(batch) for batch in batches]
    if WriteStatus.ACCEPTED in statuses:
        await sink.flush()

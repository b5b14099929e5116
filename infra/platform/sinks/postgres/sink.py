"""Keeps a PostgreSQL table equal to the source's: upserts and deletes by primary key, with the
offsets beside them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager

import psycopg
from psycopg import AsyncConnection, sql

from infra.avro.kind import Column
from infra.avro.row import Rows
from infra.platform.process.error import ConfigError, RetryableError, TableError, UnreachableError
from infra.platform.sinks.batch import Batch, Partition
from infra.platform.sinks.connector import WriteStatus
from infra.platform.sinks.operation import refuse_others
from infra.platform.sinks.postgres.array import (
    ByteaArray,
    ByteaArrayDumper,
    TextArray,
    TextArrayDumper,
)
from infra.platform.sinks.postgres.failure import translated
from infra.platform.sinks.postgres.merge import Effect, effect
from infra.platform.sinks.postgres.statement import parameters, statement
from infra.platform.sinks.postgres.table import (
    SinkTable,
    add_columns,
    create_offsets,
    create_table,
    identifier,
    read_table,
)

CONNECTIONS = 8
CONNECT_S = 10


class PostgresSink:
    """A table, and beside it `<table>_offsets` with each partition's next offset.

    A batch is one statement: it moves the partition's offset from where this instance knows it to
    be, and only with that it changes rows. So a batch that comes again, after a lost answer, a
    crash or from an instance that has lost the partition meanwhile, has no effect. A row is never
    replaced by an older version: the probe's `key_version` where there is one, else the source's
    log position.
    """

    name = "postgres"

    def __init__(self, dsn: str, table: str, probe_column: str = "probe") -> None:
        self._dsn = dsn
        self._schema, self._name = table.split(".")
        self._table = identifier(self._schema, self._name)
        self._offsets = identifier(self._schema, f"{self._name}_offsets")
        self._probe_column = probe_column
        self._target: SinkTable | None = None
        self._shaping = asyncio.Lock()
        self._statements: dict[Hashable, bytes] = {}
        self._next: dict[Partition, int | None] = {}
        self._idle: asyncio.LifoQueue[AsyncConnection | None] = asyncio.LifoQueue()

    async def open(self) -> None:
        """See SinkConnector; creates the offsets' table, and looks at the target where it
        exists.
        """
        for _ in range(CONNECTIONS):
            self._idle.put_nowait(None)
        try:
            async with self._connection() as connection:
                await create_offsets(connection, self._schema, f"{self._name}_offsets")
                self._target = await read_table(connection, self._schema, self._name)
        except RetryableError as error:
            raise UnreachableError(f"the Postgres sink cannot be opened: {error}") from error

    async def identify(self, topic_ids: Mapping[str, str]) -> None:
        """See SinkConnector."""

    async def positions(self, places: Sequence[Partition]) -> Mapping[Partition, int]:
        """See SinkConnector."""
        found: dict[Partition, int] = {}
        query = sql.SQL("SELECT partition, next_offset FROM {} WHERE topic = %s").format(
            self._offsets
        )
        async with self._connection() as connection:
            for topic in {topic for topic, _ in places}:
                for partition, offset in await (
                    await connection.execute(query, (topic,))
                ).fetchall():
                    found[topic, partition] = offset
        for place in places:
            self._next[place] = found.get(place)
        return {place: found[place] for place in places if place in found}

    async def write(self, batch: Batch) -> WriteStatus:
        """See SinkConnector."""
        place = batch.place
        if place not in self._next:
            await self.positions([place])
        known = self._next[place]
        if known is not None and known > int(batch.offsets[0]):
            return await self._write_rest(batch, known)
        refuse_others(batch)
        async with self._connection() as connection:
            moved = await self._put(connection, batch)
        if not moved:
            return await self._moved_by_another(batch)
        self._next[place] = batch.end
        return WriteStatus.DURABLE

    async def _put(self, connection: AsyncConnection, batch: Batch) -> bool:
        """Apply the batch; a table that takes nothing may have changed, and is looked at again."""
        try:
            return await self._apply(connection, batch, await self._shaped(connection, batch))
        except psycopg.Error as error:
            if not isinstance(translated(error, self._dsn), TableError) or connection.closed:
                raise
        self._target = None
        return await self._apply(connection, batch, await self._shaped(connection, batch))

    async def _apply(self, connection: AsyncConnection, batch: Batch, target: SinkTable) -> bool:
        key = _key_columns(batch.rows, target, self._name)
        whole = effect(batch, key, self._probe_column)
        query = self._statement(target, whole)
        values = parameters(batch, self._next[batch.place], key, whole)
        (moved,) = await (await connection.execute(query, values, prepare=True)).fetchone() or (0,)
        return bool(moved)

    def _statement(self, target: SinkTable, whole: Effect) -> bytes:
        """The statement for an effect of this form; few forms ever come, and making one costs as
        much as a batch.
        """
        form = (
            len(whole.deletes) > 0,
            *((group.partial, *group.columns) for group in whole.upserts),
        )
        if form not in self._statements:
            made = statement(self._table, self._offsets, target, self._probe_column, whole)
            self._statements[form] = made.as_bytes(None)
        return self._statements[form]

    async def _write_rest(self, batch: Batch, known: int) -> WriteStatus:
        """Events before the partition's offset have taken effect already."""
        done = int((batch.offsets < known).sum())
        if done == len(batch):
            return WriteStatus.DURABLE
        return await self.write(batch.split(done)[1])

    async def _moved_by_another(self, batch: Batch) -> WriteStatus:
        """The offset was not where it was believed to be: an answer was lost, or another instance
        has gone on.
        """
        before = self._next[batch.place]
        known = (await self.positions([batch.place])).get(batch.place)
        if known is None or known == before or known < int(batch.offsets[0]):
            raise RetryableError(
                f"the offset of {batch.topic}[{batch.partition}] is {known} instead of {before}"
            )
        return await self._write_rest(batch, known)

    async def _shaped(self, connection: AsyncConnection, batch: Batch) -> SinkTable:
        """The target table, with a place for every column of the batch."""
        target = self._target
        if target is None or _missing(batch.rows, target):
            async with self._shaping:
                target = await self._shape(connection, batch)
                self._target = target
                self._statements.clear()
        return target

    async def _shape(self, connection: AsyncConnection, batch: Batch) -> SinkTable:
        target = await read_table(connection, self._schema, self._name)
        if target is None:
            await create_table(connection, self._schema, self._name, batch, self._probe_column)
        elif missing := _missing(batch.rows, target):
            names = ", ".join(column.name for column in missing)
            if not target.own:
                raise ConfigError(
                    f"table {self._schema}.{self._name} has no column {names}; add it, or name"
                    " another table"
                )
            await add_columns(connection, self._schema, self._name, missing)
        shaped = await read_table(connection, self._schema, self._name)
        assert shaped is not None
        return shaped

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection for one thing; one that fails is not used again.

        Translates psycopg's errors.
        """
        connection = await self._idle.get()
        try:
            if connection is None or connection.closed:
                connection = await self._connect()
            yield connection
        except psycopg.Error as error:
            if connection is not None and connection.closed:
                connection = None
            raise translated(error, self._dsn) from error
        except BaseException:
            if (
                connection is not None
                and connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE
            ):
                await connection.close()  # given up in the middle of something
                connection = None
            raise
        finally:
            self._idle.put_nowait(connection)

    async def _connect(self) -> AsyncConnection:
        connection = await AsyncConnection.connect(
            self._dsn,
            autocommit=True,
            connect_timeout=CONNECT_S,
            application_name="locust-cdc sink",
        )
        connection.adapters.register_dumper(TextArray, TextArrayDumper)
        connection.adapters.register_dumper(ByteaArray, ByteaArrayDumper)
        return connection

    async def flush(self) -> None:
        """See SinkConnector; nothing is ever only accepted."""

    async def close(self) -> None:
        """See SinkConnector."""
        while not self._idle.empty():
            connection = self._idle.get_nowait()
            if connection is not None:
                await connection.close()


def _missing(rows: Rows, target: SinkTable) -> list[Column]:
    return [column for column in rows.columns if column.name not in target.types]


def _key_columns(rows: Rows, target: SinkTable, table: str) -> list[Column]:
    known = {column.name: column for column in rows.columns}
    absent = [name for name in target.key if name not in known]
    if absent:
        raise ConfigError(
            f"the key of table {table} has {', '.join(absent)}, which the events do not have; name"
            " another"
        )
    return [known[name] for name in target.key]

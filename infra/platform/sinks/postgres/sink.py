"""Keeps a PostgreSQL table equal to the source's: upserts and deletes by primary key, with the
offsets beside them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

import psycopg
from psycopg import AsyncConnection
from typing_extensions import override

from infra.platform.process.error import RetryableError, TableRefusedError, UnreachableError
from infra.platform.sinks.batch import Batch, Partition
from infra.platform.sinks.connector import SinkConnector, WriteStatus
from infra.platform.sinks.incomplete import IncompleteRows
from infra.platform.sinks.operation import refuse_others
from infra.platform.sinks.postgres.catalogue import SinkTable, is_altered, read_table
from infra.platform.sinks.postgres.connection import SinkConnections
from infra.platform.sinks.postgres.failure import translated
from infra.platform.sinks.postgres.merge import Effect, effect
from infra.platform.sinks.postgres.offsets import (
    Bookmark,
    check_source,
    check_target,
    check_topics,
    create_offsets,
    first_life,
    read_offsets,
)
from infra.platform.sinks.postgres.own_type import is_narrowed, may_be_renamed
from infra.platform.sinks.postgres.plan import (
    VERSION,
    VERSION_TYPES,
    WritePlan,
    event_key,
    write_plan,
)
from infra.platform.sinks.postgres.statement import parameters, statement
from infra.platform.sinks.postgres.table import (
    TableNeed,
    create_table,
    follow,
    identifier,
    note_dropped,
)

#: A larger batch is written in several statements.
STATEMENT_BYTES = 16 * 1024 * 1024


class PostgresSink(SinkConnector):
    """A table, and beside it `<table>_offsets` with each partition's next offset.

    A batch is one statement. It moves the partition's offset only from the value that this instance
    knows, and changes rows only if the offset moved. So a batch has no effect if it comes again
    after a lost answer or a crash, or from an instance that has lost the partition in the meantime.

    Within one life of the source a row is never replaced by an older version. The version is the
    probe's `key_version` of the same run if there is one, else the source's log position. In
    another life (`offsets.py`) the topic's own order counts.
    """

    name = "postgres"

    def __init__(self, dsn: str, table: str, probe_column: str = "probe") -> None:
        self._dsn = dsn
        self._shown = table
        self._schema, self._name = table.split(".")
        self._table = identifier(self._schema, self._name)
        self._offsets = identifier(self._schema, f"{self._name}_offsets")
        self._probe_column = probe_column
        self._ids: dict[str, str] = {}
        self._target: SinkTable | None = None
        self._shaping = asyncio.Lock()
        self._plans: dict[Hashable, WritePlan] = {}
        self._statements: dict[Hashable, bytes] = {}
        self._marks: dict[Partition, Bookmark] = {}
        self._connections = SinkConnections(dsn)
        self._incomplete = IncompleteRows()

    @property
    @override
    def incomplete_rows(self) -> int:
        return self._incomplete.count

    @override
    async def open(self) -> None:
        """Connect, create the table of offsets, and look at the target if it exists."""
        self._connections.open()
        try:
            async with self._connections.connection() as connection:
                await create_offsets(connection, self._schema, f"{self._name}_offsets")
                self._target = await read_table(connection, self._schema, self._name)
        except RetryableError as error:
            raise UnreachableError(f"the Postgres sink cannot be opened: {error}") from error

    @override
    async def identify(self, topic_ids: Mapping[str, str]) -> None:
        self._ids |= {topic: number for topic, number in topic_ids.items() if number}
        async with self._connections.connection() as connection:
            known = await read_offsets(connection, self._offsets)
        check_topics(known, self._ids, self._shown)

    @override
    async def positions(self, places: Sequence[Partition]) -> Mapping[Partition, int]:
        async with self._connections.connection() as connection:
            known = await read_offsets(connection, self._offsets)
            life = max((mark.life for mark in known.values()), default=0)
            if {topic for topic, _ in places} - {topic for topic, _ in known}:
                life = max(life, await self._first_life(connection))
        self._marks = (
            known | self._marks
        )  # this instance knows the positions that it is writing better
        for place in places:
            mark = known.get(place, Bookmark())
            topic_id = self._ids.get(place[0], mark.topic_id)
            self._marks[place] = replace(mark, topic_id=topic_id, life=max(mark.life, life))
        return {place: offset for place in places if (offset := self._next(place)) is not None}

    async def _first_life(self, connection: AsyncConnection) -> int:
        there = None if self._target is None else self._target.columns.get(VERSION)
        has_version = there is not None and there.base in VERSION_TYPES
        return await first_life(connection, self._table, VERSION if has_version else None)

    def _next(self, place: Partition) -> int | None:
        return self._marks[place].next_offset

    @override
    async def write(self, batch: Batch) -> WriteStatus:
        if batch.bytes > STATEMENT_BYTES and len(batch) > 1:
            for part in batch.split(len(batch) // 2):
                await self.write(part)
            return WriteStatus.DURABLE
        place = batch.place
        if place not in self._marks:
            await self.positions([place])
        known = self._next(place)
        if known is not None and known > int(batch.offsets[0]):
            return await self._write_rest(batch, known)
        refuse_others(batch)
        source = check_source(self._marks, batch, self._shown)
        if source is not None and source != self._marks[place].source:
            self._marks[place] = replace(self._marks[place], source=source)
        async with self._connections.connection() as connection:
            after = await self._put(connection, batch)
        if after is None:
            return await self._moved_by_another(batch)
        self._marks[place] = after
        return WriteStatus.DURABLE

    async def _put(self, connection: AsyncConnection, batch: Batch) -> Bookmark | None:
        """Apply the batch; a table that refuses it may have changed, and is looked at again."""
        try:
            target = await self._shaped(connection, batch)
            after = await self._apply(connection, batch, target)
            if after is not None or not await is_altered(connection, target):
                return after
        except psycopg.Error as error:
            if not isinstance(translated(error, self._dsn), TableRefusedError) or connection.closed:
                raise
        self._target = None
        return await self._apply(connection, batch, await self._shaped(connection, batch))

    async def _apply(
        self, connection: AsyncConnection, batch: Batch, target: SinkTable
    ) -> Bookmark | None:
        """The partition's position after the batch; None if the stored position was another one
        than expected.
        """
        plan = self._plan(batch, target)
        before = replace(self._marks[batch.place], target=target.identity)
        after = before.after(batch, follow_log=plan.version == VERSION)
        whole = effect(batch, plan, after.life)
        query = self._statement(target, plan, whole)
        values = parameters(batch, (before, after), target.state, plan, whole)
        with self._connections.limited(connection):
            answer = await connection.execute(query, values, prepare=True)
            moved, incomplete = await answer.fetchone() or (0, 0)
        self._incomplete.note({batch.place: incomplete})
        return after if moved else None

    def _plan(self, batch: Batch, target: SinkTable) -> WritePlan:
        key = event_key(batch, self._shown)
        form = (batch.rows.columns, key)
        if form not in self._plans:
            self._plans[form] = write_plan(
                batch.rows.columns, key, target, self._shown, self._probe_column
            )
        return self._plans[form]

    def _statement(self, target: SinkTable, plan: WritePlan, whole: Effect) -> bytes:
        """The statement for an effect of this form; it is kept, because few forms occur and making
        one costs as much as a batch.
        """
        form = (
            id(plan),
            len(whole.deletes) > 0,
            *((group.partial, *group.columns) for group in whole.upserts),
        )
        if form not in self._statements:
            self._statements[form] = statement(self._table, self._offsets, target, plan, whole)
        return self._statements[form]

    async def _write_rest(self, batch: Batch, known: int) -> WriteStatus:
        """Write the part of a batch that has not yet taken effect, by the partition's offset."""
        done = int((batch.offsets < known).sum())
        if done == len(batch):
            return WriteStatus.DURABLE
        return await self.write(batch.split(done)[1])

    async def _moved_by_another(self, batch: Batch) -> WriteStatus:
        """Handle an unexpected stored offset: an answer was lost, or another instance has
        continued.
        """
        before = self._next(batch.place)
        known = (await self.positions([batch.place])).get(batch.place)
        if known is None or known == before or known < int(batch.offsets[0]):
            raise RetryableError(
                f"the offset of {batch.topic}[{batch.partition}] is {known} instead of {before}"
            )
        return await self._write_rest(batch, known)

    async def _shaped(self, connection: AsyncConnection, batch: Batch) -> SinkTable:
        """The target table, changed to fit these events if it is the sink's own."""
        target = self._target
        if target is None or (batch.rows.columns, event_key(batch, self._shown)) not in self._plans:
            async with self._shaping:
                target = await self._shape(connection, batch)
                self._target = target
                self._plans.clear()
                self._statements.clear()
                self._plan(batch, target)
        return target

    async def _shape(self, connection: AsyncConnection, batch: Batch) -> SinkTable:
        key = event_key(batch, self._shown)
        need = TableNeed(batch.rows.columns, key, self._probe_column)
        target = await read_table(connection, self._schema, self._name)
        if target is not None:
            check_target(self._marks, target.identity, self._shown)
        if target is None:
            if any(mark.next_offset is not None for mark in self._marks.values()):
                raise TableRefusedError(
                    f"table {self._shown} is gone, though {self._shown}_offsets says that events"
                    " have been written to it; bring it back, or drop both to fill them from the"
                    " topic's beginning"
                )
            await create_table(connection, self._schema, self._name, need)
        elif target.own:
            self._check_names(batch, target)
            ordered = await self._is_ordered(connection, batch)
            self._check_order(batch, target, ordered=ordered)
            # With several partitions an event that lacks a column may be older than the column.
            if ordered:
                await note_dropped(connection, self._schema, self._name, target, need)
            await follow(connection, self._schema, self._name, target, need)
        shaped = await read_table(connection, self._schema, self._name)
        if shaped is None:
            raise RetryableError(f"table {self._shown} was dropped while it was looked at")
        return shaped

    def _check_names(self, batch: Batch, target: SinkTable) -> None:
        """Raise TableRefusedError if a column may have been renamed in the source."""
        renamed = may_be_renamed(batch.rows.columns, target.columns)
        if renamed:
            pairs = ", ".join(f"{old} to {new}" for old, new in renamed)
            raise TableRefusedError(
                f"the source may have renamed a column of table {self._shown} ({pairs}), and no"
                " event tells of the rows that are there; rename it here too, or drop it where the"
                " source has dropped it, and start again"
            )

    def _check_order(self, batch: Batch, target: SinkTable, *, ordered: bool) -> None:
        """Raise TableRefusedError in two cases. Rows change partitions with their key: changes of
        one row would then come from two partitions, in no order. Or the source's columns do not
        hold the values of this table; with several partitions the event may be older than a
        widening of its column.
        """
        key = event_key(batch, self._shown)
        narrowed = [
            f"{column.name} ({target.columns[column.name].type})"
            for column in batch.rows.columns
            if column.name in target.columns and is_narrowed(column, target.columns[column.name])
        ]
        if narrowed and ordered:
            raise TableRefusedError(
                f"the source's columns no longer hold what table {self._shown} has in"
                f" {', '.join(narrowed)}, so its ALTER TABLE has changed rows of which no event"
                " tells; alter the table as the source was, or fill another one"
            )
        if set(key) != set(target.key) and not ordered:
            raise TableRefusedError(
                f"the key of topic {batch.topic!r} is ({', '.join(key)}) now, which moves its rows"
                f" to other partitions, so the order of their changes is lost; fill another table"
                f" than {self._shown} from the source"
            )

    async def _is_ordered(self, connection: AsyncConnection, batch: Batch) -> bool:
        """Whether all events of this topic come by the batch's own partition."""
        known = {*await read_offsets(connection, self._offsets), *self._marks}
        return {number for topic, number in known if topic == batch.topic} == {batch.partition}

    @override
    async def flush(self) -> None:
        """There is nothing to do: every write is durable at once."""

    @override
    async def close(self) -> None:
        await self._connections.close()

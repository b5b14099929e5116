"""One partition's messages into the sink: read, written, and what cannot be written put aside."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from typing import Any

from infra.platform.consume.dead_letter import DeadLetters
from infra.platform.consume.decode import Decoder, Item, UnknownSchemaError
from infra.platform.consume.position import Positions
from infra.platform.consume.registry import Registry
from infra.platform.process.error import RefusedError, RetryableError
from infra.platform.process.retry import Backoff, Retries
from infra.platform.sinks.batch import Batch, Chunk, Partition, Passed, Poison, poison_of
from infra.platform.sinks.connector import SinkConnector, WriteStatus

#: Bytes that a sink may have accepted before it is made to flush ahead of its time; at twice that,
#: intake waits.
FLUSH_BYTES = 64 * 1024 * 1024
#: How often the registry must say that it has no such schema: a replica of it may lag behind.
LOOKUPS = 5


class Delivery:
    """Brings messages to the sink in order, and keeps the books of how far each partition is."""

    def __init__(
        self,
        registry: Registry,
        sink: SinkConnector,
        dead_letters: DeadLetters,
        backoff: Backoff | None = None,
    ) -> None:
        self.positions = Positions()
        self.dead_letters = dead_letters
        #: Set when a flush is due before its interval is over.
        self.flush_due = asyncio.Event()
        #: Why the sink cannot make durable what it has accepted, once that is for good; then
        #: nothing more is delivered.
        self.failure: Exception | None = None
        self._accepted_bytes = 0
        self._flushed = asyncio.Condition()
        self._registry = registry
        self._lookups = Retries("schema registry", backoff)
        self._decoder = Decoder()
        self._sink = sink

    async def read(self, place: Partition, chunk: Chunk, batch_size: int) -> list[tuple[Item, int]]:
        """What is to be delivered one after another, batches of at most `batch_size`, and of how
        many messages each.
        """
        items = await self._read(place, chunk)
        parts = [
            p
            for item in items
            for p in (item.parts(batch_size) if isinstance(item, Batch) else [item])
        ]
        ends = [bisect_left(chunk.offsets, part.end) for part in parts]
        return [
            (part, end - begin) for part, begin, end in zip(parts, [0, *ends], ends, strict=False)
        ]

    async def deliver(self, item: Item) -> None:
        """Return when the sink has taken all of it; raises what stops the partition."""
        status = await self._put(item)
        self.positions.note(item.place, item.end, status)
        if status is WriteStatus.ACCEPTED:
            await self._bound(item)

    async def _bound(self, item: Item) -> None:
        """What is accepted is held by the sink, outside the buffer's bound; this is its own.

        Raises what a flush has failed with: room will then never come.
        """
        self._accepted_bytes += item.bytes if isinstance(item, Batch) else 0
        if self._accepted_bytes >= FLUSH_BYTES:
            self.flush_due.set()
        async with self._flushed:
            await self._flushed.wait_for(
                lambda: self.failure or self._accepted_bytes < 2 * FLUSH_BYTES
            )
        if self.failure is not None:
            raise self.failure

    async def flush(self) -> None:
        """Make durable what the sink has only accepted so far; what fails here is for good, and
        told to who waits.
        """
        self.flush_due.clear()
        before, held = dict(self.positions.accepted), self._accepted_bytes
        try:
            await self._sink.flush()
        except Exception as error:
            self.failure = error
            raise
        else:
            self.positions.flushed(before)
            self._accepted_bytes -= held
        finally:
            async with self._flushed:
                self._flushed.notify_all()

    def give_up(self) -> None:
        """From now on the registry is not asked again; what cannot be read for that stops its
        partition.
        """
        self._lookups.give_up()

    async def _read(self, place: Partition, chunk: Chunk) -> list[Item]:
        absent: set[int] = set()
        while True:
            try:
                return self._decoder.read(place, chunk, absent)
            except UnknownSchemaError as unknown:
                schema = await self._schema(unknown.number)
                if schema is None:
                    absent.add(unknown.number)
                else:
                    self._decoder.learn(unknown.number, schema)

    async def _schema(self, number: int) -> Any | None:
        """The schema of this id; None where the registry has none, however often it is asked."""
        none = RetryableError(f"the registry has no schema {number}")
        for attempt in range(1, LOOKUPS):
            schema = await self._look_up(number)
            if schema is not None:
                return schema
            await self._lookups.pause(f"schema {number}", attempt, none)
            if self._lookups.given_up:
                raise none
        return await self._look_up(number)

    async def _look_up(self, number: int) -> Any | None:
        loop = asyncio.get_running_loop()
        return await self._lookups.again(
            f"schema {number}", lambda: loop.run_in_executor(None, self._registry.schema, number)
        )

    async def _put(self, item: Item) -> WriteStatus:
        if isinstance(item, Passed):
            return WriteStatus.DURABLE
        if isinstance(item, Poison):
            await self.dead_letters.send(item)
            return WriteStatus.DURABLE
        return await self._write(item)

    async def _write(self, batch: Batch) -> WriteStatus:
        """Write a batch; where the sink refuses it, find by halving which events it refuses."""
        try:
            return await self._sink.write(batch)
        except RefusedError as error:
            if len(batch) == 1:
                return await self._put(poison_of(batch, error))
        statuses = [await self._write(part) for part in batch.split(len(batch) // 2)]
        return WriteStatus.ACCEPTED if WriteStatus.ACCEPTED in statuses else WriteStatus.DURABLE

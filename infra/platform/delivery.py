"""One partition's messages into the sink: read, written, and what cannot be written put aside."""

from __future__ import annotations

import asyncio
from bisect import bisect_left

from infra.platform.batch import Batch, Chunk, Partition, Passed, Poison, poison_of
from infra.platform.dead_letter import DeadLetters
from infra.platform.decode import Decoder, Item, UnknownSchemaError
from infra.platform.error import RefusedError
from infra.platform.position import Positions
from infra.platform.registry import Registry
from infra.platform.sinks.connector import SinkConnector, WriteStatus

#: Bytes that a sink may have accepted before it is made to flush ahead of its time; at twice that, intake waits.
FLUSH_BYTES = 64 * 1024 * 1024


class Delivery:
    """Brings messages to the sink in order, and keeps the books of how far each partition is."""

    def __init__(self, registry: Registry, sink: SinkConnector, dead_letters: DeadLetters) -> None:
        self.positions = Positions()
        self.dead_letters = dead_letters
        #: Set when a flush is due before its interval is over.
        self.flush_due = asyncio.Event()
        #: Why the sink cannot make durable what it has accepted, once that is for good; then nothing more is delivered.
        self.failure: Exception | None = None
        self._accepted_bytes = 0
        self._flushed = asyncio.Condition()
        self._registry = registry
        self._decoder = Decoder()
        self._sink = sink

    async def read(self, place: Partition, chunk: Chunk, batch_size: int) -> list[tuple[Item, int]]:
        """What is to be delivered one after another, batches of at most `batch_size`, and of how many messages each."""
        items = await self._read(place, chunk)
        parts = [p for item in items for p in (item.parts(batch_size) if isinstance(item, Batch) else [item])]
        ends = [bisect_left(chunk.offsets, part.end) for part in parts]
        return [(part, end - begin) for part, begin, end in zip(parts, [0, *ends], ends, strict=False)]

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
            await self._flushed.wait_for(lambda: self.failure or self._accepted_bytes < 2 * FLUSH_BYTES)
        if self.failure is not None:
            raise self.failure

    async def flush(self) -> None:
        """Make durable what the sink has only accepted so far; what fails here is for good, and told to who waits."""
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

    async def _read(self, place: Partition, chunk: Chunk) -> list[Item]:
        while True:
            try:
                return self._decoder.read(place, chunk)
            except UnknownSchemaError as unknown:
                await self._learn(unknown.number)

    async def _learn(self, number: int) -> None:
        try:
            schema = await asyncio.get_running_loop().run_in_executor(None, self._registry.schema, number)
        except LookupError:
            schema = None
        self._decoder.learn(number, schema)

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

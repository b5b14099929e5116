"""Delivers one partition's messages to the sink: read, written, and dead-lettered if refused."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

from infra.platform.consume.dead_letter import DeadLetters
from infra.platform.consume.decode import Decoder, Item, UnknownSchemaError
from infra.platform.consume.position import Positions
from infra.platform.consume.registry import Registry
from infra.platform.process.error import RefusedError, RetryableError
from infra.platform.process.retry import Backoff, Retries, Troubles
from infra.platform.sinks.batch import Batch, Chunk, Partition, Passed, Poison, poison_of
from infra.platform.sinks.connector import SinkConnector, WriteStatus

#: How often the registry must say that it lacks a schema: a replica of it may lag behind.
LOOKUPS = 5
#: Up to this many unknown ids in one read; for further ones it is asked once.
PATIENT_WITH = 3


@dataclass(frozen=True, slots=True)
class CommitLimit:
    """How much a sink may have accepted before it is flushed early; at twice that, the intake
    waits.
    """

    bytes: int = 64_000_000
    events: int = 50_000


def registry_retries(backoff: Backoff | None = None, troubles: Troubles | None = None) -> Retries:
    """How requests to a registry that does not answer are repeated."""
    return Retries("schema registry", backoff, troubles=troubles)


class Delivery:
    """Delivers messages to the sink in order, and records how far each partition is."""

    def __init__(
        self,
        registry: Registry,
        sink: SinkConnector,
        dead_letters: DeadLetters,
        retries: Retries | None = None,
        limit: CommitLimit | None = None,
    ) -> None:
        self.positions = Positions()
        self.sink = sink
        self.dead_letters = dead_letters
        #: Set if a flush is due before its interval is over.
        self.flush_due = asyncio.Event()
        #: The permanent error that keeps the sink from making accepted events durable; after it
        #: nothing is delivered.
        self.failure: Exception | None = None
        self._limit = limit or CommitLimit()
        self._accepted_bytes = self._accepted_events = 0
        self._flushed = asyncio.Condition()
        self._registry = registry
        self._lookups = retries or registry_retries()
        #: Failures that are being retried, here and in the parts that share this object.
        self.troubles = self._lookups.troubles
        self._decoder = Decoder()

    async def read(self, place: Partition, chunk: Chunk, batch_size: int) -> list[tuple[Item, int]]:
        """The items to deliver one after another (batches of at most `batch_size`), each with its
        number of messages.
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
        """Return when the sink has taken all of it; raises the error that stops the partition."""
        status = await self._put(item)
        self.positions.note(item.place, item.end, status)
        if status is WriteStatus.ACCEPTED:
            await self._bound(item)

    async def _bound(self, item: Item) -> None:
        """Keep the events that the sink has accepted within a limit of their own: the sink holds
        them, so the buffer's limit does not count them.

        Raises the error of a failed flush, because then there will never be room.
        """
        if isinstance(item, Batch):
            self._accepted_bytes += item.bytes
            self._accepted_events += len(item)
        if self._overfull(1):
            self.flush_due.set()
        async with self._flushed:
            await self._flushed.wait_for(lambda: self.failure or not self._overfull(2))
        if self.failure is not None:
            raise self.failure

    def _overfull(self, times: int) -> bool:
        return (
            self._accepted_bytes >= times * self._limit.bytes
            or self._accepted_events >= times * self._limit.events
        )

    @property
    def accepted(self) -> tuple[int, int]:
        """Bytes and events that the sink has accepted and not yet made durable."""
        return self._accepted_bytes, self._accepted_events

    @property
    def is_flush_wanted(self) -> bool:
        """Whether the sink holds what a flush would make durable. Where one is due that is so even
        if the partitions of these events have gone meanwhile: it would stay due for ever.
        """
        return self.failure is None and bool(self.positions.accepted or self.flush_due.is_set())

    async def flush(self) -> None:
        """Make everything durable that the sink has accepted so far. A failure here is final, and
        is raised in each waiting task.
        """
        self.flush_due.clear()
        before, wrote = dict(self.positions.accepted), dict(self.positions.wrote)
        held, events = self._accepted_bytes, self._accepted_events
        try:
            await self.sink.flush()
        except Exception as error:
            self.failure = error
            raise
        else:
            self.positions.flushed(before, wrote)
            self._accepted_bytes -= held
            self._accepted_events -= events
        finally:
            async with self._flushed:
                self._flushed.notify_all()

    def give_up(self) -> None:
        """Stop retrying the registry; messages that cannot be read because of that stop their
        partition.
        """
        self._lookups.give_up()

    async def _read(self, place: Partition, chunk: Chunk) -> list[Item]:
        absent: set[int] = set()
        while True:
            try:
                return self._decoder.read(place, chunk, absent)
            except UnknownSchemaError as unknown:
                # A topic full of foreign messages has as many ids as messages.
                patient = len(absent) < PATIENT_WITH
                schema = await self._schema(unknown.number, LOOKUPS if patient else 1)
                if schema is None:
                    absent.add(unknown.number)
                else:
                    self._decoder.learn(unknown.number, schema)

    async def _schema(self, number: int, lookups: int) -> Any | None:
        """The schema of this id; None if the registry lacks it, however often it is asked."""
        none = RetryableError(f"the registry has no schema {number}")
        for attempt in range(1, lookups):
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
        """Write a batch; if the sink refuses it, find the refused events by halving."""
        try:
            status = await self.sink.write(batch)
        except RefusedError as error:
            if len(batch) == 1:
                return await self._put(poison_of(batch, error))
        else:
            self.positions.wrote[batch.place] = batch.end
            return status
        statuses = [await self._write(part) for part in batch.split(len(batch) // 2)]
        return WriteStatus.ACCEPTED if WriteStatus.ACCEPTED in statuses else WriteStatus.DURABLE

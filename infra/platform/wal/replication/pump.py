"""Between reading and publishing: a bounded queue, and a thread that publishes, flushes and only
then says durable.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import structlog

from infra.platform.transports.transport import Record, WalPublisher
from infra.platform.wal.refused import RefusedChanges
from infra.platform.wal.replication.position import CommitMark
from infra.platform.wal.serialise.commit_source import CommitSource

logger = structlog.get_logger()

#: Messages that are published before the next flush: what a flush costs is shared, and what a
#: crash repeats is bounded.
FLUSH_MESSAGES = 5_000
#: The same in bytes: records of a flush are in memory beside the messages that they are made of.
FLUSH_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class TransactionPart:
    """A transaction's messages between Begin and Commit as they came, or as many of them as one
    read brought.
    """

    source: CommitSource
    messages: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class TransactionChunk:
    """What one read brought, in commit order; the last transaction may go on in the next chunk.

    `count` is the number of messages. `mark` is the last transaction that ends in this chunk, if
    any does: when everything up to here is durable, its end may be confirmed.
    """

    parts: Sequence[TransactionPart]
    count: int
    bytes: int
    read_us: int
    mark: CommitMark | None = None


#: The records of a chunk, part by part.
Encoded = Sequence[Sequence[Record]]


class Encoder(Protocol):
    """Makes records out of messages."""

    def encode(self, chunk: TransactionChunk) -> Encoded:
        """The changes of each part as records, in order; raises PlatformError for one that cannot
        be carried.
        """


class Meter(Protocol):
    """Told of everything that has become durable."""

    def durable(
        self, chunk: TransactionChunk, encoded: Encoded, started_us: int, done_us: int
    ) -> None:
        """This chunk was taken out of the queue at `started_us` and was durable at `done_us`."""


@dataclass(frozen=True, slots=True)
class PumpBound:
    """How many messages, and how many bytes of them, may be held at once."""

    messages: int
    bytes: int


class Pump:
    """Holds chunks up to a bound in messages and bytes; publishes them in order from a thread of
    its own.

    The bound counts what is being published. A failure ends the thread and stays in `failure`;
    what was not durable then is in nobody's hands but the slot's.
    """

    def __init__(
        self,
        publisher: WalPublisher,
        encoder: Encoder,
        meter: Meter,
        now_us: Callable[[], int],
        bound: PumpBound,
    ) -> None:
        self.taken: CommitMark | None = None
        self.durable: CommitMark | None = None
        self.bound = bound
        #: Where changes go that the service can never take; the default stops at the first.
        self.refused = RefusedChanges(None)
        self.held = self.held_bytes = self.in_flight = self.high_water = 0
        self.published = self.flushes = self._peak = 0
        self.busy_s = 0.0
        self.failure: Exception | None = None
        self._publisher = publisher
        self._encoder = encoder
        self._meter = meter
        self._now_us = now_us
        self._chunks: deque[TransactionChunk] = deque()
        self._changed = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="publish", daemon=True)

    @property
    def taken_lsn(self) -> int:
        """The end of the last transaction that was taken in whole; 0 before there is one."""
        return self.taken.end_lsn if self.taken is not None else 0

    @property
    def durable_lsn(self) -> int:
        """The end of the last transaction that is durable; 0 before there is one."""
        return self.durable.end_lsn if self.durable is not None else 0

    def start(self) -> None:
        """Start publishing."""
        self._thread.start()

    def room(self) -> int:
        """How many messages may still be taken in; 0 where the bytes held are over their bound."""
        with self._changed:
            full = self.held_bytes >= self.bound.bytes
            return 0 if full else max(0, self.bound.messages - self.held)

    def await_room(self, timeout_s: float) -> None:
        """Return when there is room, something failed, or the time is over."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self.failure is not None
                    or (self.held < self.bound.messages and self.held_bytes < self.bound.bytes)
                ),
                timeout_s,
            )

    def put(self, chunk: TransactionChunk) -> None:
        """Take in a chunk; the reader asks for `room` before it reads."""
        with self._changed:
            self._chunks.append(chunk)
            self.held += chunk.count
            self.held_bytes += chunk.bytes
            self.high_water, self._peak = (
                max(self.high_water, self.held),
                max(self._peak, self.held),
            )
            self.taken = chunk.mark or self.taken
            self._changed.notify_all()

    def peak(self) -> int:
        """The most messages that were held since this was asked last; for one who asks."""
        with self._changed:
            peak, self._peak = self._peak, self.held
            return peak

    @property
    def idle(self) -> bool:
        """Whether nothing is held or being published: all that was taken in is durable."""
        with self._changed:
            return not self._chunks and not self.in_flight and self.failure is None

    @property
    def drained(self) -> bool:
        """Whether all transactions that were taken in are durable."""
        return self.idle and self.taken == self.durable

    def await_drained(self, timeout_s: float) -> None:
        """Return when nothing is held, something failed, or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self.failure is not None or not self.held, timeout_s)

    def forget(self) -> None:
        """Positions taken so far belong to a history that is over; nothing may be held."""
        self.taken = self.durable = None

    def stop(self, timeout_s: float) -> bool:
        """Publish and flush what is held, then end;

        False where that failed or the time was over.
        """
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        return not self._thread.is_alive() and self.failure is None

    def _run(self) -> None:
        try:
            while chunks := self._take():
                self._publish(chunks)
            self._publisher.close()
        except Exception as failure:
            logger.exception("platform.publish.failed")
            with self._changed:
                self.failure = failure
                self._changed.notify_all()

    def _take(self) -> list[TransactionChunk]:
        """Waiting chunks, up to a flush's worth; none when there is nothing left and the end was
        asked for.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._chunks or self._ending)
            taken: list[TransactionChunk] = []
            size = 0
            while self._chunks and (not taken or self._fits(size, self._chunks[0])):
                taken.append(self._chunks.popleft())
                self.in_flight += taken[-1].count
                size += taken[-1].bytes
            return taken

    def _fits(self, size: int, chunk: TransactionChunk) -> bool:
        """Whether a flush may have this chunk too."""
        return self.in_flight + chunk.count <= FLUSH_MESSAGES and size + chunk.bytes <= FLUSH_BYTES

    def _publish(self, chunks: Sequence[TransactionChunk]) -> None:
        done: list[tuple[TransactionChunk, Encoded, int]] = []
        for chunk in chunks:
            started_us = self._now_us()
            encoded = self._encoded(chunk)
            self._publisher.publish(list(chain.from_iterable(encoded)))
            done.append((chunk, encoded, started_us))
        self._publisher.flush()
        done_us = self._now_us()
        self.flushes += 1
        self.busy_s += (done_us - done[0][2]) / 1e6
        for chunk, encoded, started_us in done:
            self._meter.durable(chunk, encoded, started_us, done_us)
        self._settle(chunks)

    def _encoded(self, chunk: TransactionChunk) -> Encoded:
        """The chunk's records without those that the service can never take."""
        encoded = self._encoder.encode(chunk)
        limit_bytes = self._publisher.limit_bytes
        for number, records in enumerate(encoded):
            # Only sizes are looked at here: a record within the smallest limit always fits.
            if records and max(map(_size, records)) > limit_bytes:
                return self._fitting(chunk, encoded, number)
        return encoded

    def _fitting(self, chunk: TransactionChunk, encoded: Encoded, first: int) -> Encoded:
        kept = list(encoded)
        for number in range(first, len(kept)):
            source, fitting = chunk.parts[number].source, []
            for record in kept[number]:
                cause = self._publisher.refusal(record)
                if cause:
                    self.refused.refuse(source, record, cause)
                else:
                    fitting.append(record)
            kept[number] = fitting
        return kept

    def _settle(self, chunks: Sequence[TransactionChunk]) -> None:
        with self._changed:
            for chunk in chunks:
                self.held -= chunk.count
                self.held_bytes -= chunk.bytes
                self.published += chunk.count
                self.durable = chunk.mark or self.durable
            self.in_flight = 0
            self._changed.notify_all()


def _size(record: Record) -> int:
    return len(record.data) + len(record.key)

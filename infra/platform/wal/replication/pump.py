"""Between reading and publishing: a bounded queue, and a thread that publishes, flushes, and only
then reports changes as durable.
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

#: How many messages are published before a flush. More of them share a flush's cost; fewer are
#: repeated after a crash.
FLUSH_MESSAGES = 5_000
#: The same limit in bytes: a flush's records are in memory beside their messages.
FLUSH_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class TransactionPart:
    """The messages of a transaction between Begin and Commit, or the part of them that one read
    brought.
    """

    source: CommitSource
    messages: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class TransactionChunk:
    """The messages of one read, in commit order; the last transaction may continue in the next
    chunk.

    `count` is the number of messages. `mark` is the last transaction that ends in this chunk, if
    any does: once everything up to here is durable, its end may be confirmed.
    """

    parts: Sequence[TransactionPart]
    count: int
    bytes: int
    read_us: int
    mark: CommitMark | None = None


#: The records of a chunk, part by part.
Encoded = Sequence[Sequence[Record]]


class Encoder(Protocol):
    """Makes records of messages."""

    def encode(self, chunk: TransactionChunk) -> Encoded:
        """The changes of each part as records, in order; raises PlatformError for a change that
        cannot be encoded.
        """


class Meter(Protocol):
    """Is told of everything that has become durable."""

    def durable(
        self, chunk: TransactionChunk, encoded: Encoded, started_us: int, done_us: int
    ) -> None:
        """This chunk left the queue at `started_us` and was durable at `done_us` (wall us)."""


@dataclass(frozen=True, slots=True)
class PumpBound:
    """The limits for held messages: their number, and their bytes."""

    messages: int
    bytes: int


class Pump:
    """Holds chunks up to a limit in messages and bytes, and publishes them in order from a thread
    of its own.

    The limit includes what is being published. A failure ends the thread and stays in `failure`;
    then only the slot still has what was not durable.
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
        #: Takes changes that the service can never accept; the default ends the pump at the first
        #: one.
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
        """The end of the last transaction that was taken completely; 0 if there is none yet."""
        return self.taken.end_lsn if self.taken is not None else 0

    @property
    def durable_lsn(self) -> int:
        """The end of the last durable transaction; 0 if there is none yet."""
        return self.durable.end_lsn if self.durable is not None else 0

    def start(self) -> None:
        """Start publishing."""
        self._thread.start()

    def room(self) -> int:
        """How many more messages may be taken; 0 if the held bytes are over their limit."""
        with self._changed:
            full = self.held_bytes >= self.bound.bytes
            return 0 if full else max(0, self.bound.messages - self.held)

    def await_room(self, timeout_s: float) -> None:
        """Return when there is room, the pump has failed, or the time is over."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self.failure is not None
                    or (self.held < self.bound.messages and self.held_bytes < self.bound.bytes)
                ),
                timeout_s,
            )

    def put(self, chunk: TransactionChunk) -> None:
        """Take a chunk; the caller must have asked for `room` before it read."""
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
        """The most messages held since the last call; for one caller only."""
        with self._changed:
            peak, self._peak = self._peak, self.held
            return peak

    @property
    def idle(self) -> bool:
        """Whether nothing is held or being published, so that everything taken is durable."""
        with self._changed:
            return not self._chunks and not self.in_flight and self.failure is None

    @property
    def drained(self) -> bool:
        """Whether all transactions that were taken are durable."""
        return self.idle and self.taken == self.durable

    def await_drained(self, timeout_s: float) -> None:
        """Return when nothing is held, the pump has failed, or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self.failure is not None or not self.held, timeout_s)

    def forget(self) -> None:
        """Forget all positions, which belong to a history that is over; nothing may be held."""
        self.taken = self.durable = None

    def stop(self, timeout_s: float) -> bool:
        """Publish and flush what is held, then stop; False if that failed or the time was over."""
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
        """Waiting chunks for one flush; empty if there are none left and the pump must stop."""
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
        """Whether this chunk still fits into the flush."""
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
        """The chunk's records without those that the service can never accept."""
        encoded = self._encoder.encode(chunk)
        limit_bytes = self._publisher.limit_bytes
        for number, records in enumerate(encoded):
            # Only sizes are checked here, because a record within the smallest limit always fits.
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

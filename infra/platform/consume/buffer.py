"""The bounded memory between Kafka and the sink: one queue for each partition, and one limit for
all of them.
"""

from __future__ import annotations

import asyncio
from collections import deque

from infra.platform.sinks.batch import Chunk, Partition, joined

#: The most bytes that are held, and the most bytes of one write (docs/platform.md).
BUFFERED_BYTES, BATCH_BYTES = 64_000_000, 8_000_000
#: A slow worker's partition gets its share in this many polls.
PARTS = 4


class BoundError(AssertionError):
    """More events were taken than the limit allows: a mistake in the consumer, never a reaction to
    load.
    """


class PartitionQueue:
    """Messages of one partition that wait for its worker, oldest first.

    A message that the worker has taken still counts as waiting until the worker writes it. Each
    asyncio event stands for a state and not for a change, so a task that waits for it cannot miss
    it: `filled` if something can be taken, `resting` if nothing is in flight, `empty` if nothing is
    in flight and nothing waits.
    """

    def __init__(self) -> None:
        self.chunks: deque[Chunk] = deque()
        self.closed = False
        self.depth = 0
        self.in_flight = 0
        #: Bytes of messages that wait, and of those that were taken and are not finished.
        self.waiting_bytes = self.taken_bytes = 0
        self.paused = False
        self.filled, self.resting, self.empty = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._set_events()

    def put(self, chunk: Chunk) -> None:
        """Add messages at the end."""
        self.chunks.append(chunk)
        self.depth += len(chunk)
        self.waiting_bytes += chunk.bytes
        self._set_events()

    @property
    def bytes(self) -> int:
        """Bytes that wait or are being written."""
        return self.waiting_bytes + self.taken_bytes

    def take(self, limit: int, batch_size: int, most_bytes: int = BATCH_BYTES) -> Chunk | None:
        """The oldest messages for their worker: at most `limit` and `most_bytes` (a single message
        may have more), in whole batches if there are several.

        None if nothing waits. Messages that were taken before count as finished.
        """
        self.taken_bytes = 0
        ready = sum(map(len, self.chunks))
        if not ready:
            return None
        limit = min(limit, ready)
        if limit > batch_size:
            limit -= limit % batch_size
        taken: list[Chunk] = []
        size, left = 0, most_bytes
        # If everything that waits is small enough, no message is weighed: weighing costs a tenth of
        # a microsecond for each, which shows at 400,000 a second.
        light = self.waiting_bytes <= most_bytes
        while self.chunks and size < limit:
            chunk = self.chunks.popleft()
            fitting = limit - size if light else min(limit - size, chunk.within(left))
            if not taken:
                fitting = max(fitting, 1)
            if fitting < len(chunk):
                self.chunks.appendleft(chunk[fitting:])
                chunk, limit = chunk[:fitting], 0
            if fitting:
                taken.append(chunk)
                size += len(chunk)
                left -= 0 if light else chunk.bytes
        whole = joined(taken)
        self.taken_bytes = whole.bytes if self.chunks else self.waiting_bytes
        self.waiting_bytes -= self.taken_bytes
        self._set_events()
        return whole

    def begin(self, count: int) -> None:
        """The oldest `count` messages are in flight from now, until `finish`."""
        self.depth -= count
        self.in_flight = count
        self._set_events()

    def finish(self) -> None:
        """The messages in flight are finished."""
        self.in_flight = 0
        self._set_events()

    def close(self) -> None:
        """Drop the waiting messages, and let none begin; messages in flight stay in flight."""
        self.closed = True
        self.chunks.clear()
        self.depth = self.waiting_bytes = 0
        self._set_events()

    def stop(self) -> None:
        """Forget also what is in flight: nobody works on it any more, and it takes no room."""
        self.in_flight = self.taken_bytes = 0
        self.close()

    def _set_events(self) -> None:
        for event, true in (
            (self.filled, bool(self.chunks)),
            (self.resting, self.in_flight == 0),
            (self.empty, self.depth + self.in_flight == 0),
        ):
            if true:
                event.set()
            else:
                event.clear()


class Buffer:
    """The queues of all partitions under one limit, messages in flight included; decides which
    partitions should be paused.
    """

    def __init__(self, limit: int, limit_bytes: int = BUFFERED_BYTES) -> None:
        self.limit = limit
        self.limit_bytes = limit_bytes
        self.queues: dict[Partition, PartitionQueue] = {}
        self.high_water = self.high_water_bytes = 0
        self.enqueued = 0
        self._peak = 0
        #: Whether workers keep up with the input: then polls are large, otherwise each partition
        #: gets only its share.
        self.quick = True

    @property
    def depth(self) -> int:
        """Events that wait, over all partitions."""
        return sum(queue.depth for queue in self.queues.values())

    @property
    def in_flight(self) -> int:
        """Events that are being written."""
        return sum(queue.in_flight for queue in self.queues.values())

    @property
    def held(self) -> int:
        """Events that wait or are being written."""
        return sum(queue.depth + queue.in_flight for queue in self.queues.values())

    @property
    def bytes(self) -> int:
        """Bytes of events that wait or are being written."""
        return sum(queue.bytes for queue in self.queues.values())

    @property
    def free(self) -> int:
        """How many events may still come in."""
        return self.limit - self.held

    @property
    def share(self) -> int:
        """The most events of one partition that may wait, so that it cannot use up the others'
        room.
        """
        return max(1, self.limit // max(1, len(self.queues)))

    @property
    def portion(self) -> int:
        """The most messages in a poll if workers are slow, because all of them may be of one
        partition.
        """
        return max(1, self.share // PARTS)

    def put(self, place: Partition, chunk: Chunk) -> None:
        """Take messages; checks the limit every time and keeps the high-water mark."""
        held = self._take_in(place, chunk)
        if held > self.limit:
            raise BoundError(f"{held} events are held, the bound is {self.limit}")

    def _take_in(self, place: Partition, chunk: Chunk) -> int:
        self.queues[place].put(chunk)
        self.enqueued += len(chunk)
        held = self.held
        self.high_water_bytes = max(self.high_water_bytes, self.bytes)
        self.high_water, self._peak = max(self.high_water, held), max(self._peak, held)
        return held

    def peak(self) -> int:
        """The most events held since the last call; for one caller only."""
        peak, self._peak = self._peak, self.held
        return peak

    def poll_size(self, most: int) -> int:
        """How many messages to ask for at once."""
        return min(most, self.free) if self.quick else min(most, self.free, self.portion)

    @property
    def share_bytes(self) -> int:
        """The most bytes of one partition that may wait; a poll may exceed it by what the client
        has prefetched.
        """
        return self.limit_bytes // max(1, len(self.queues))

    def full(self, room: int) -> list[Partition]:
        """Partitions that should be paused: less than `room` is left, or the next poll might
        overstep their share. One that is closed takes nothing more.
        """
        tight, enough = self.free < room, self.share - (1 if self.quick else self.portion)
        tight, enough_bytes = tight or self.bytes >= self.limit_bytes, self.share_bytes
        return [
            place
            for place, queue in self.queues.items()
            if not queue.paused
            and (queue.closed or tight or queue.depth > enough or queue.bytes >= enough_bytes)
        ]

    def ready(self, room: int) -> list[Partition]:
        """Paused partitions that have worked off half of their share, if there is room again."""
        share, share_bytes = self.share, self.share_bytes
        if self.free < room or self.bytes >= self.limit_bytes:
            return []
        return [
            place
            for place, queue in self.queues.items()
            if queue.paused
            and not queue.closed
            and queue.depth <= share // 2
            and queue.bytes <= share_bytes // 2
        ]

    @property
    def resting(self) -> bool:
        """Whether a partition is paused that will go on."""
        return any(queue.paused and not queue.closed for queue in self.queues.values())

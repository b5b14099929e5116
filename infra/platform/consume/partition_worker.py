"""One task for each partition: one batch at a time, in order, and stopped within a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog

from infra.platform.consume.broker import ConsumerSettings
from infra.platform.consume.buffer import Buffer, PartitionQueue
from infra.platform.consume.delivery import Delivery
from infra.platform.process.retry import hurry
from infra.platform.sinks.batch import Partition

logger = structlog.get_logger()

#: The fewest messages read at once, if that many wait: reading ten costs nearly as much as reading
#: a hundred.
READ_MESSAGES = 250
#: The part of a handover's time (broker.REBALANCE_S) in which messages in flight may finish; then
#: idle workers are cancelled.
FINISH_S, CUT_S = 20.0, 90.0


class PartitionWorkers:
    """The workers of a consumer's partitions, in the event loop.

    Each takes messages from its partition's queue in the buffer. An error of the sink ends its
    worker and is passed to `fail`; the others go on.
    """

    def __init__(
        self,
        settings: ConsumerSettings,
        buffer: Buffer,
        delivery: Delivery,
        fail: Callable[[Partition, Exception], None],
    ) -> None:
        self._settings = settings
        self._buffer = buffer
        self._delivery = delivery
        self._fail = fail
        self._tasks: dict[Partition, asyncio.Task[None]] = {}

    def start(self, place: Partition, *, held: bool) -> None:
        """Give a partition an empty queue and a worker; a `held` one begins paused."""
        queue = self._buffer.queues[place] = PartitionQueue()
        queue.paused = held
        self._tasks[place] = asyncio.create_task(self._work(place, queue))

    async def _work(self, place: Partition, queue: PartitionQueue) -> None:
        size = self._settings.batch_size
        try:
            while True:
                chunk = queue.take(max(2 * size, READ_MESSAGES), size, self._settings.batch_bytes)
                if chunk is None:
                    await queue.filled.wait()
                    continue
                for item, count in await self._delivery.read(place, chunk, size):
                    if queue.closed:
                        break
                    queue.begin(count)
                    await self._delivery.deliver(item)
                    queue.finish()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a sink raises stops the partition and is shown
            queue.stop()
            self._fail(place, error)

    async def drain(self) -> None:
        """Finish what is held, as far as its partitions still work."""
        for place, queue in self._buffer.queues.items():
            await _until(queue.empty, self._tasks[place])

    async def release(self, places: Sequence[Partition]) -> None:
        """Drop what waits, finish what is in flight, stop the workers.

        Each within a limit, or the group would go on without us. Retries that wait are not waited
        for, and a write that takes too long is cancelled; its events come again.
        """
        # Not those whose assignment failed.
        held = [place for place in places if place in self._buffer.queues]
        workers = [self._tasks.pop(place) for place in held]
        for place, worker in zip(held, workers, strict=True):
            self._buffer.queues[place].close()
            hurry(worker)
        await asyncio.wait(
            [
                asyncio.ensure_future(_until(self._buffer.queues[place].resting, worker))
                for place, worker in zip(held, workers, strict=True)
            ]
            or [asyncio.ensure_future(asyncio.sleep(0))],
            timeout=FINISH_S,
        )
        late = await _cut(workers, CUT_S)
        if late:
            logger.error("platform.handover.late", writes=late, waited_s=FINISH_S + CUT_S)
        for place in held:
            del self._buffer.queues[place]

    async def end(self) -> None:
        """Stop every worker at once."""
        await end_tasks(list(self._tasks.values()))


async def _until(event: asyncio.Event, worker: asyncio.Task[None]) -> None:
    """Wait for a state of a queue, or for the end of its worker, after which the state
    cannot come.
    """
    waiting = asyncio.ensure_future(event.wait())
    await asyncio.wait([worker, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


async def _cut(tasks: Sequence[asyncio.Task[None]], limit_s: float) -> int:
    """Cancel tasks and wait for their end, with a limit; returns how many have not ended."""
    for task in tasks:
        task.cancel()
    if not tasks:
        return 0
    _, late = await asyncio.wait(tasks, timeout=limit_s)
    return len(late)


def start_task(
    part: Callable[[], Coroutine[Any, Any, None]], failures: list[str], stop: Callable[[], None]
) -> asyncio.Task[None]:
    """Start a part of the consumer that must not end by itself: an error that ends it is shown, and
    `stop` is called.
    """
    name = part.__name__.strip("_")

    def look(task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            failures.append(f"{name} failed: {type(error).__name__}: {error}")
            logger.error("platform.part.failed", error=failures[-1])
            stop()

    task = asyncio.create_task(part())
    task.add_done_callback(look)
    return task


async def end_tasks(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait for their end, however they end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

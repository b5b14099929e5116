"""Ten samples a second of the held events, kept for a while, so that pressure is visible as it
rises and falls.
"""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec
import psutil
import structlog
from msgspec import to_builtins

from cdc_users.measure.clock import Anchor
from infra.platform.consume.consumer import CDCConsumer
from infra.platform.process.telemetry_server import INTERVAL_S, KEPT_SAMPLES, HeldSample
from infra.platform.sinks.instrumented import InstrumentedSink

logger = structlog.get_logger()


class PartitionSample(msgspec.Struct):
    """The events that one partition holds."""

    queue_depth: int
    in_flight: int
    paused: bool


class ConsumerSample(HeldSample, kw_only=True):
    """A consumer's sample, with the events that each partition holds, by "topic:number"."""

    partitions: dict[str, PartitionSample]


class Sampler:
    """Takes samples on an absolute schedule; each has a number, from 1, and readers ask for the
    samples after a number.
    """

    def __init__(self, consumer: CDCConsumer, sink: InstrumentedSink, anchor: Anchor) -> None:
        self.samples: deque[ConsumerSample] = deque(maxlen=KEPT_SAMPLES)
        self._consumer = consumer
        self._sink = sink
        self._anchor = anchor
        self._process = psutil.Process()
        self._number = 0

    async def run(self) -> None:
        """Sample until cancelled."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            self.take()
            due_s = max(due_s + INTERVAL_S, loop.time())
            await asyncio.sleep(due_s - loop.time())

    def take(self) -> None:
        """Take one sample, now."""
        self._number += 1
        memory = self._process.memory_full_info()
        buffer = self._consumer.buffer
        lags = [self._lag(place) for place in buffer.queues]
        sample = ConsumerSample(
            number=self._number,
            at_us=self._anchor.now_us(),
            queue_depth=buffer.depth,
            in_flight=buffer.in_flight,
            high_water=buffer.peak(),
            partitions={
                f"{topic}:{number}": PartitionSample(queue.depth, queue.in_flight, queue.paused)
                for (topic, number), queue in buffer.queues.items()
            },
            paused_partitions=sum(queue.paused for queue in buffer.queues.values()),
            lag=None if None in lags else sum(lag for lag in lags if lag is not None),
            completions=self._sink.durable_events,
            busy_s=round(sum(self._sink.busy_s.values()), 6),
            workers=len(buffer.queues),
            rss_bytes=memory.rss,
            uss_bytes=memory.uss,
        )
        self.samples.append(sample)
        logger.debug("benchmark.backpressure.queue_sample", **to_builtins(sample))

    def _lag(self, place: tuple[str, int]) -> int | None:
        high = self._consumer.high_watermark(place)
        return (
            None if high is None else high - self._consumer.delivery.positions.durable.get(place, 0)
        )

    def after(self, number: int) -> list[ConsumerSample]:
        """The samples after this number."""
        return [sample for sample in self.samples if sample.number > number]

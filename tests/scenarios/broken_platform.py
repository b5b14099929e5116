"""The platform with a defect, in its buffer or at its end, to see that scenarios find it and name
it.

`python -m tests.scenarios.broken_platform --defect NAME ...`; all other options are those of
`python -m infra.platform`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path

import requests
from confluent_kafka.admin import AdminClient

from cdc_users.measure.ledger.ledger import Arrivals
from infra.client.kafka import kafka_settings
from infra.platform.consume.buffer import Buffer
from infra.platform.options import mistakes, parser
from infra.platform.process.error import PlatformError
from infra.platform.process.telemetry_server import TelemetryServer
from infra.platform.service import run
from infra.platform.sinks.batch import Batch, Chunk, Partition
from infra.platform.sinks.connector import WriteStatus
from infra.platform.sinks.postgres.sink import PostgresSink
from infra.platform.sinks.webhook.sink import WebhookSink

UNLIMITED = 10**9
#: How long before it happens a write is said to be done.
BOAST_S = 0.3
#: How often a quitter looks, and how long it waits for an answer.
WATCH_S, PATIENCE_S = 0.1, 2.0


class UnboundedBuffer(Buffer):
    """Takes in whatever comes and pauses nothing: the queue grows until memory ends."""

    @property
    def free(self) -> int:
        """As if there were always room."""
        return UNLIMITED

    def put(self, place: Partition, chunk: Chunk) -> None:
        """Take in without a look at the bound; the high-water mark still tells the truth."""
        self._take_in(place, chunk)

    def full(self, room: int) -> list[Partition]:  # noqa: ARG002 - the buffer's
        """No partition ever is."""
        return []


class NeverResumingBuffer(Buffer):
    """Pauses a partition when it has had its share, and then forgets it."""

    def ready(self, room: int) -> list[Partition]:  # noqa: ARG002 - the buffer's
        """No partition ever is."""
        return []


class DroppingBuffer(Buffer):
    """Keeps its bound by throwing away what does not fit, without a word."""

    @property
    def free(self) -> int:
        """As if there were always room."""
        return UNLIMITED

    def put(self, place: Partition, chunk: Chunk) -> None:
        """Take in what fits; the rest is gone."""
        room = self.limit - self.held
        if room > 0:
            super().put(place, chunk[:room])

    def full(self, room: int) -> list[Partition]:  # noqa: ARG002 - the buffer's
        """No partition ever is."""
        return []


class SkippingBuffer(Buffer):
    """Leaves out every fifth message, whatever it is: fences are lost as events are."""

    #: The first of all is let through: nobody starts without it.
    _seen = 1

    def put(self, place: Partition, chunk: Chunk) -> None:
        """Take in four of five."""
        kept = [row for row in range(len(chunk)) if (self._seen + row) % 5]
        self._seen += len(chunk)
        if kept:
            super().put(place, chunk.pick(kept))


class BoastingBuffer(Buffer):
    """Sound; but its webhook sink says that events are durable long before it posts them."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        post = WebhookSink.write
        posting: set[asyncio.Task[WriteStatus]] = set()

        async def later(sink: WebhookSink, batch: Batch) -> WriteStatus:
            await asyncio.sleep(BOAST_S)
            return await post(sink, batch)

        async def write(sink: WebhookSink, batch: Batch) -> WriteStatus:
            task = asyncio.get_running_loop().create_task(later(sink, batch))
            posting.add(task)
            task.add_done_callback(posting.discard)
            return WriteStatus.DURABLE

        WebhookSink.write = write  # type: ignore[method-assign, assignment]


class MortalBuffer(Buffer):
    """Sound; but its platform ends when it is asked what has arrived."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        TelemetryServer.arrivals = _die  # type: ignore[assignment, method-assign]


class FullBuffer(Buffer):
    """Has never any room, so nothing is read."""

    @property
    def free(self) -> int:
        """None."""
        return 0


class QuitterBuffer(Buffer):
    """Sound until `outage` is set; from then on it has never any room, whatever comes back."""

    outage = threading.Event()

    @property
    def free(self) -> int:
        """None after the outage."""
        return 0 if self.outage.is_set() else super().free

    def ready(self, room: int) -> list[Partition]:
        """No partition after the outage."""
        return [] if self.outage.is_set() else super().ready(room)


def quitter(there: Callable[[], object]) -> type[Buffer]:
    """A buffer that gives up as soon as a question, asked all the time, is not answered."""

    def watch() -> None:
        while True:
            try:
                there()
            except Exception:  # noqa: BLE001 - whatever a client raises
                QuitterBuffer.outage.set()
                return
            time.sleep(WATCH_S)

    threading.Thread(target=watch, daemon=True).start()
    return QuitterBuffer


def without_broker(options: Namespace) -> type[Buffer]:
    """Gives up when the broker does not answer."""
    client = AdminClient(kafka_settings(options.bootstrap, {"log_level": 0}))
    return quitter(lambda: client.list_topics(timeout=PATIENCE_S))


def without_registry(options: Namespace) -> type[Buffer]:
    """Gives up when the schema registry does not answer."""
    return quitter(lambda: requests.get(options.schema_registry, timeout=PATIENCE_S))


def without_sink(_: Namespace) -> type[Buffer]:
    """Gives up when a write to the Postgres sink fails."""
    write = PostgresSink.write

    async def once(sink: PostgresSink, batch: Batch) -> WriteStatus:
        try:
            return await write(sink, batch)
        except PlatformError:
            QuitterBuffer.outage.set()
            raise

    PostgresSink.write = once  # type: ignore[method-assign, assignment]
    return QuitterBuffer


def after_pause(_: Namespace) -> type[Buffer]:
    """Gives up when it has stood still."""
    last_s = [time.monotonic()]

    def look() -> None:
        now_s = time.monotonic()
        stood_s, last_s[0] = now_s - last_s[0], now_s
        if stood_s > PATIENCE_S:
            raise TimeoutError(f"{stood_s:.1f} s")

    return quitter(look)


def lame(options: Namespace) -> type[Buffer]:
    """A sound buffer in the platform's first life of a run; in its second it takes in nothing."""
    before = Path(tempfile.gettempdir()) / f"locust-cdc-lame-{options.run}"
    if before.exists():
        before.unlink()
        return FullBuffer
    before.touch()
    return Buffer


def _die(_: TelemetryServer) -> Arrivals:
    os._exit(9)


DEFECTS = {
    "unbounded": UnboundedBuffer,
    "never-resumes": NeverResumingBuffer,
    "drops": DroppingBuffer,
    "dies-in-the-audit": MortalBuffer,
    "skips": SkippingBuffer,
    "boasts": BoastingBuffer,
}
#: What is sound until something happens to it, by the options of the platform.
TRAITS: Mapping[str, Callable[[Namespace], type[Buffer]]] = {
    "lame": lame,
    "gives-up-without-broker": without_broker,
    "gives-up-without-registry": without_registry,
    "gives-up-without-sink": without_sink,
    "gives-up-after-pause": after_pause,
}


def main() -> int:
    """Like the platform's own, with one more option."""
    top = parser("python -m tests.scenarios.broken_platform")
    top.add_argument("--defect", required=True, choices=sorted([*DEFECTS, *TRAITS]))
    options = top.parse_args()
    trait = TRAITS.get(options.defect)
    broken = DEFECTS[options.defect] if trait is None else trait(options)
    return run(options, mistakes(options, os.environ), broken)


if __name__ == "__main__":
    sys.exit(main())

"""The platform killed with -9 while a sink is under load: nothing lost, nothing stale, no effect
doubled.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from infra.stack.endpoints import Endpoints
from tests.change_events import RUN, Event, FilledTopic, customer, filled_topic
from tests.integration.sink_world import IcebergWorld, PostgresWorld, WebhookWorld, World
from tests.platform_process import PlatformProcess, await_that

KEYS = 100
PARTITIONS = 4


@dataclass
class Load:
    """Writes versions of the same keys until it is ended; knows what the state must be then."""

    topic: FilledTopic
    rows: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    sent: int = 0

    def round(self) -> None:
        """One change of every key: most are updated, some deleted, those that are gone come
        again.
        """
        events = []
        for key in range(1, KEYS + 1):
            self.sent += 1
            before = self.rows.get(key)
            if before is not None and (self.sent + key) % 11 == 0:
                events.append(Event("d", key, None, self.rows.pop(key)))
                continue
            self.rows[key] = customer(key, 1 + self.sent // KEYS, sequence=self.sent)
            events.append(Event("c" if before is None else "u", key, self.rows[key], before))
        self.topic.fill(events)


@pytest.fixture
def topic(stack: Endpoints) -> Iterator[FilledTopic]:
    with filled_topic(stack, f"cdc_sinks_{uuid.uuid4().hex[:8]}", PARTITIONS) as made:
        yield made


Options = dict[str, object]


def postgres(stack: Endpoints, _: Path) -> tuple[World, Callable[[], Options]]:
    world = PostgresWorld(stack.postgres_dsn)
    table = f"{world.schema}.customers"
    return world, lambda: {
        "sink": "postgres",
        "postgres-dsn": stack.postgres_dsn,
        "postgres-table": table,
    }


def webhook(_: Endpoints, __: Path) -> tuple[World, Callable[[], Options]]:
    world = WebhookWorld()
    return world, lambda: {"sink": "webhook", "webhook-url": world.url}


def iceberg(mode: str) -> Callable[[Endpoints, Path], tuple[World, Callable[[], Options]]]:
    def make(_: Endpoints, directory: Path) -> tuple[World, Callable[[], Options]]:
        options = {
            "sink": "iceberg",
            "iceberg-warehouse": directory / "warehouse",
            "iceberg-table": "test.customers",
        }
        paced = {"iceberg-mode": mode, "iceberg-commit-interval-ms": 100}
        return (
            IcebergWorld(directory / "warehouse", upsert=mode == "upsert"),
            lambda: options | paced,
        )

    return make


#: A webhook's receiver may get events again after a crash; this one takes each offset once, as a
#: receiver can.
SINKS = {
    "webhook": webhook,
    "postgres": postgres,
    "iceberg, append": iceberg("append"),
    "iceberg, upsert": iceberg("upsert"),
}


async def survives(
    stack: Endpoints, topic: FilledTopic, directory: Path, name: str, kills: int, seed: int
) -> None:
    """Kill so often, each time with delivery growing before and after; then compare."""
    world, options = SINKS[name](stack, directory)
    await world.start()
    load = Load(topic)
    try:
        begin = partial(
            PlatformProcess,
            stack,
            topic.name,
            directory / "log",
            {"run": RUN, "batch-size": 50, **options()},
        )
        await asyncio.to_thread(kill_under_load, load, begin, kills, seed)
        assert await world.state() == load.rows
        if name != "iceberg, upsert":
            assert await world.effects() == load.sent
    finally:
        await world.stop()


def kill_under_load(
    load: Load, begin: Callable[[], PlatformProcess], kills: int, seed: int
) -> None:
    """Change rows all the while; the last life of the platform delivers what is left, and ends
    when asked.
    """
    done = threading.Event()
    load.round()

    def run() -> None:
        while not done.is_set():
            load.round()
            done.wait(0.05)

    writer = threading.Thread(target=run)
    writer.start()
    chance = random.Random(seed)
    platform = begin()
    try:
        for _ in range(kills):
            platform.await_durable(1)
            time.sleep(chance.uniform(0.0, 0.5))  # the moment of the crash is what is varied
            platform.kill()
            platform = begin()
            platform.await_durable(1)
        done.set()
        writer.join()
        ends = load.topic.ends()
        await_that(
            lambda: durable(platform) == ends,
            lambda: f"{ends} {platform.get('/snapshot')['consumer']}",
        )
        assert platform.stop() == 0, platform.output
    finally:
        done.set()
        writer.join()
        platform.kill()


def durable(platform: PlatformProcess) -> list[int | None]:
    """How far each partition is; the platform's own lag only knows of what it has fetched."""
    partitions = platform.get("/snapshot")["consumer"]["partitions"]
    return [
        partitions[place]["durable"]
        for place in sorted(partitions, key=lambda place: int(place.rpartition(":")[2]))
    ]


@pytest.mark.parametrize("name", SINKS)
async def test_a_kill_under_load_loses_and_doubles_nothing(
    stack: Endpoints, topic: FilledTopic, tmp_path: Path, name: str
) -> None:
    await survives(stack, topic, tmp_path, name, kills=1, seed=1)


@pytest.mark.soak
@pytest.mark.parametrize("name", SINKS)
async def test_ten_kills_at_random_moments_lose_and_double_nothing(
    stack: Endpoints, topic: FilledTopic, tmp_path: Path, name: str
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")

    await survives(stack, topic, tmp_path, name, kills=10, seed=seed)

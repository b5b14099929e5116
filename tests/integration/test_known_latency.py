"""Behind a pipeline of known latency each kind of tap says that latency, not its own rhythm."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import psycopg
import pytest
from confluent_kafka import Producer
from psycopg import sql

from cdc_users.measure.clock import new_anchor
from cdc_users.measure.latency.lateness import lateness_ms
from cdc_users.measure.ledger.probe import Operation, Probe, checksum, format_probe
from cdc_users.measure.step import StepFigures
from cdc_users.observe.config import make_taps
from cdc_users.observe.message import TapPlace
from cdc_users.observe.settings import ObserverSettings
from cdc_users.observe.tap import Tap
from cdc_users.pipeline.provision.kafka_topics import create_topic, delete_topics
from cdc_users.users.workload.workload import columns
from infra.client import http
from infra.postgres.table import create_customers
from infra.stack.endpoints import Endpoints

RUN = "lat00001"
ANCHOR = new_anchor()
EVENTS = 30
#: Append times are whole milliseconds, rounded down.
ROUNDING_US = 1_000
#: A machine that is busy with other tests may let a tap's thread wait this long for its turn.
SEEN_LATER_US = 30_000
DEADLINE_S = 30.0
WARM_UP = 999
Make = Callable[[int, tuple[Any, ...]], object]


@dataclass
class Way:
    """A place where events come out: the tap on it, and what puts one event there."""

    tap: Tap
    put: Make


def row(number: int, intended_us: int) -> tuple[Any, ...]:
    """An insert as a writer makes it."""
    values = columns(number, intended_us, "")
    code = checksum(number, 1, values)
    writer = 20_001 if number == WARM_UP else 10_001
    probe = Probe(RUN, writer, number, number, 0, 1, 1, Operation.INSERT, intended_us, code)
    return (number, *values, format_probe(probe))


def change(made: tuple[Any, ...]) -> bytes:
    """The row as a JSON change event."""
    return orjson.dumps({"op": "c", "before": None, "after": {"id": made[0], "probe": made[-1]}})


def tap(**config: Any) -> Tap:
    settings = ObserverSettings(run=RUN, taps=({"name": "sink", **config},))
    return make_taps(settings, ANCHOR)["sink"]


@contextmanager
def topic(stack: Endpoints) -> Iterator[Way]:
    name = f"cdc_latency_{uuid.uuid4().hex[:8]}"
    create_topic(stack.kafka_bootstrap, name, 1)
    producer = Producer({"bootstrap.servers": stack.kafka_bootstrap, "linger.ms": 0})

    def put(_: int, made: tuple[Any, ...]) -> None:
        producer.produce(name, change(made))
        assert producer.flush(10) == 0

    config = {"bootstrap": stack.kafka_bootstrap, "topic": name}
    yield Way(tap(kind="json-topic", **config), put)
    delete_topics(stack.kafka_bootstrap, [name])


@contextmanager
def table(stack: Endpoints) -> Iterator[Way]:
    name = f"latency_{uuid.uuid4().hex[:8]}"
    places = ", ".join(["%s"] * len(row(1, 0)))
    with closing(psycopg.connect(stack.postgres_dsn, autocommit=True)) as owner:
        create_customers(owner, "public", name)
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        config = {"dsn": stack.postgres_dsn, "table": f"public.{name}"}
        yield Way(
            tap(kind="postgres", **config),
            lambda _, made: connection.execute(
                sql.SQL(f"INSERT INTO {{}} VALUES ({places})").format(sql.Identifier(name)), made
            ),
        )
        connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))


@contextmanager
def webhook(_: Endpoints) -> Iterator[Way]:
    receiver = tap(kind="webhook")
    url: list[str] = []
    start = receiver.start

    def started() -> TapPlace:
        told = start()
        url.append(told.webhook_url)
        return told

    receiver.start = started  # type: ignore[method-assign]
    yield Way(
        receiver,
        lambda _, made: http.post(url[0], data=change(made), timeout=10).raise_for_status(),
    )


WAYS = {"topic": topic, "table": table, "webhook": webhook}


@pytest.mark.parametrize("latency_ms", [5, 20, 200])
@pytest.mark.parametrize("kind", WAYS)
def test_a_tap_says_the_pipelines_latency_within_the_bound_that_it_tells(
    stack: Endpoints, kind: str, latency_ms: int
) -> None:
    earliest_us = latest_us = 0
    with WAYS[kind](stack) as way:
        way.tap.start()
        try:
            # The first of all pays for connections, and is of a step of its own.
            way.put(0, row(WARM_UP, ANCHOR.now_us()))
            for number in range(1, EVENTS + 1):
                intended_us = ANCHOR.now_us()
                time.sleep(latency_ms / 1000)
                earliest_us += ANCHOR.now_us() - intended_us
                way.put(number, row(number, intended_us))
                latest_us += ANCHOR.now_us() - intended_us
            figures = arrived(way.tap)
        finally:
            way.tap.stop()

    seen = figures.recorder.histogram("end_to_end")
    mean_us = seen.sum_us / seen.count
    assert seen.count == EVENTS
    assert mean_us >= earliest_us / EVENTS - ROUNDING_US
    late_us = lateness_ms(figures.recorder).get("late", 0.0) * 1000
    assert mean_us - late_us <= latest_us / EVENTS + SEEN_LATER_US
    assert late_us < 100_000, "a tap looks often enough to say something of 200 ms"


def arrived(watched: Tap) -> StepFigures:
    deadline_s = time.monotonic() + DEADLINE_S
    while watched.record.events <= EVENTS:
        assert time.monotonic() < deadline_s, "the events did not come"
        time.sleep(0.01)
    return watched.record.steps[1]

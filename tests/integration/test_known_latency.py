"""Behind a pipeline of known latency each kind of tap says that latency, not its own rhythm."""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pyarrow as pa
import pytest
from confluent_kafka import Producer
from psycopg import sql
from pyiceberg.catalog import load_catalog

from cdc_users.measure.clock import Anchor, new_anchor
from cdc_users.measure.latency.lateness import lateness_ms
from cdc_users.measure.ledger.checksum import checksum
from cdc_users.measure.ledger.probe import Operation, Probe, format_probe
from cdc_users.measure.step import StepFigures
from cdc_users.observe.config import make_taps
from cdc_users.observe.message import TapPlace
from cdc_users.observe.settings import IcebergSettings, ObserverSettings
from cdc_users.observe.tap import Tap
from cdc_users.observe.taps.iceberg import properties
from cdc_users.pipeline.provision.kafka_topics import create_topic, delete_topics
from cdc_users.users.workload.workload import columns
from infra.client import http
from infra.client.cloud import pubsub_channel
from infra.client.nats import NatsLink
from infra.client.redis import redis_client
from infra.postgres.publication import create_publication, drop_publication
from infra.postgres.sink_log import check_sink
from infra.postgres.slot import create_slot, drop_slot
from infra.postgres.table import create_customers
from infra.stack import cloud
from infra.stack.emulators.emulator import EmulatorUnavailableError
from infra.stack.emulators.kinesis import kinesis_emulator
from infra.stack.emulators.nats import nats_server
from infra.stack.emulators.pubsub import pubsub_emulator
from infra.stack.emulators.redis import redis_server
from infra.stack.endpoints import Endpoints

RUN = "lat00001"
#: How many events a latency is tried with.
EVENTS = {5: 30, 20: 30, 200: 10}
#: Append times are whole milliseconds, rounded down.
ROUNDING_US = 1_000
#: A machine that is busy with other tests may let a tap's thread wait this long for its turn.
SEEN_LATER_US = 30_000
DEADLINE_S = 30.0
WARM_UP = 999
Make = Callable[[int, tuple[Any, ...]], object]
MakeTap = Callable[..., Tap]


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


def tap_with(anchor: Anchor) -> MakeTap:
    def tap(**config: Any) -> Tap:
        settings = ObserverSettings(run=RUN, taps=({"name": "sink", **config},))
        return make_taps(settings, anchor)["sink"]

    return tap


@contextmanager
def topic(stack: Endpoints, tap: MakeTap) -> Iterator[Way]:
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
def table(stack: Endpoints, tap: MakeTap) -> Iterator[Way]:
    with inserting(stack) as (_, name, put):
        config = {"dsn": stack.postgres_dsn, "table": f"public.{name}"}
        yield Way(tap(kind="postgres", **config), put)


@contextmanager
def table_log(stack: Endpoints, tap: MakeTap) -> Iterator[Way]:
    with inserting(stack) as (connection, name, put):
        create_publication(connection, name, [check_sink(connection, f"public.{name}")])
        create_slot(connection, name)
        config = {"dsn": stack.postgres_dsn, "table": f"public.{name}"}
        try:
            yield Way(tap(kind="postgres-log", slot=name, publication=name, **config), put)
        finally:
            drop_slot(connection, name)
            drop_publication(connection, name)


@contextmanager
def inserting(stack: Endpoints) -> Iterator[tuple[Any, str, Make]]:
    """A table of customers: a connection to it, its name, and what puts a row there."""
    name = f"latency_{uuid.uuid4().hex[:8]}"
    places = ", ".join(["%s"] * len(row(1, 0)))
    with closing(psycopg.connect(stack.postgres_dsn, autocommit=True)) as connection:
        create_customers(connection, "public", name)
        insert = sql.SQL(f"INSERT INTO {{}} VALUES ({places})").format(sql.Identifier(name))
        yield connection, name, lambda _, made: connection.execute(insert, made)
        connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))


@contextmanager
def webhook(_: Endpoints, tap: MakeTap) -> Iterator[Way]:
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


@contextmanager
def kinesis(_: Endpoints, tap: MakeTap) -> Iterator[Way]:
    with (
        tempfile.TemporaryDirectory() as logs,
        kinesis_emulator(Path(logs), os.environ) as endpoint,
    ):
        cloud.create_stream(endpoint, "latency", 1)
        client = cloud.kinesis_client(endpoint)
        yield Way(
            tap(kind="kinesis", endpoint=endpoint, stream="latency"),
            lambda number, made: client.put_record(
                StreamName="latency", Data=change(made), PartitionKey=str(number)
            ),
        )


@contextmanager
def pubsub(_: Endpoints, tap: MakeTap) -> Iterator[Way]:
    from google.pubsub_v1 import PublisherClient, PubsubMessage
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

    project = cloud.EMULATED_PROJECT
    with tempfile.TemporaryDirectory() as logs, ExitStack() as undo:
        try:
            host = undo.enter_context(pubsub_emulator(Path(logs), os.environ))
        except EmulatorUnavailableError as error:
            pytest.skip(str(error))
        cloud.create_topic(host, project, "latency", "latency")
        place = f"projects/{project}/topics/latency"
        transport = PublisherGrpcTransport(channel=pubsub_channel(host))
        client = undo.enter_context(PublisherClient(transport=transport))
        yield Way(
            tap(kind="pubsub", endpoint=host, project=project, subscription="latency"),
            lambda _, made: client.publish(
                topic=place, messages=[PubsubMessage(data=change(made))]
            ),
        )


@contextmanager
def redis(_: Endpoints, tap: MakeTap) -> Iterator[Way]:
    with (
        tempfile.TemporaryDirectory() as logs,
        redis_server(Path(logs), {}) as url,
        closing(redis_client(url, {})) as client,
    ):
        yield Way(
            tap(kind="redis", url=url, stream="latency"),
            lambda number, made: client.xadd("latency", {str(number): change(made)}),
        )


@contextmanager
def nats(_: Endpoints, tap: MakeTap) -> Iterator[Way]:
    with (
        tempfile.TemporaryDirectory() as logs,
        nats_server(Path(logs), {}) as url,
        NatsLink(url, {}) as link,
    ):
        link.jetstream("STREAM.CREATE.latency", {"name": "latency", "subjects": ["latency"]})
        yield Way(
            tap(kind="nats", url=url, stream="latency"),
            lambda _, made: link.ask(
                lambda client: client.jetstream().publish("latency", change(made))
            ),
        )


@contextmanager
def iceberg(_: Endpoints, tap: MakeTap) -> Iterator[Way]:
    """Each event is a snapshot of its own, whose commit takes part in its latency."""

    def table_of(made: tuple[Any, ...]) -> pa.Table:
        return pa.table({"id": [made[0]], "probe": [made[-1]]})

    with tempfile.TemporaryDirectory() as warehouse:
        place = {"warehouse": warehouse, "table": "ns.customers"}
        with closing(
            load_catalog("cdc", **properties(IcebergSettings(**place)))  # type: ignore[arg-type]
        ) as catalog:
            catalog.create_namespace("ns")
            target = catalog.create_table(place["table"], table_of(row(WARM_UP, 1)).schema)
            yield Way(tap(kind="iceberg", **place), lambda _, made: target.append(table_of(made)))


WAYS: dict[str, Callable[[Endpoints, MakeTap], AbstractContextManager[Way]]] = {
    "topic": topic,
    "table": table,
    "table-log": table_log,
    "webhook": webhook,
    "kinesis": kinesis,
    "pubsub": pubsub,
    "redis": redis,
    "nats": nats,
    "iceberg": iceberg,
}


@pytest.mark.parametrize("latency_ms", EVENTS)
@pytest.mark.parametrize(
    "kind",
    # Pub/Sub's emulator is built once per user, which takes a minute.
    [pytest.param(kind, marks=[pytest.mark.soak] * (kind == "pubsub")) for kind in WAYS],
)
def test_a_tap_says_the_pipelines_latency_within_the_bound_that_it_tells(
    stack: Endpoints, kind: str, latency_ms: int
) -> None:
    earliest_us = latest_us = 0
    events = EVENTS[latency_ms]
    anchor = new_anchor()
    with WAYS[kind](stack, tap_with(anchor)) as way:
        way.tap.start()
        try:
            # The first of all pays for connections, and is of a step of its own.
            way.put(0, row(WARM_UP, anchor.now_us()))
            for number in range(1, events + 1):
                intended_us = anchor.now_us()
                time.sleep(latency_ms / 1000)
                earliest_us += anchor.now_us() - intended_us
                way.put(number, row(number, intended_us))
                latest_us += anchor.now_us() - intended_us
            figures = arrived(way.tap, events)
        finally:
            way.tap.stop()

    seen = figures.recorder.histogram("end_to_end")
    mean_us = seen.sum_us / seen.count
    assert seen.count == events
    # Somebody who sets the machine's clock meanwhile moves a server's own times by as much.
    stepped_us = anchor.step_ms() * 1000
    assert mean_us >= earliest_us / events - ROUNDING_US + min(0.0, stepped_us)
    late_us = lateness_ms(figures.recorder).get("late", 0.0) * 1000
    assert mean_us - late_us <= latest_us / events + SEEN_LATER_US + max(0.0, stepped_us)
    assert late_us < 100_000, "a tap looks often enough to say something of 200 ms"


def arrived(watched: Tap, events: int) -> StepFigures:
    deadline_s = time.monotonic() + DEADLINE_S
    while (step := watched.record.snapshot().steps.get(1)) is None or step.delivered < events:
        assert time.monotonic() < deadline_s, "the events did not come"
        time.sleep(0.01)
    return watched.record.steps[1]

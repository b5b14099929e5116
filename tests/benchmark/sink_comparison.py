"""The platform and its sinks beside the plain way of doing the same, interleaved in one run on the
stack that is up.

`python -m tests.benchmark.sink_comparison [counting|postgres|iceberg|iceberg_files|webhook|memory
...]` prints a line a pair and the median ratio. Both sides move the same events, and what came of
it is checked.
"""

from __future__ import annotations

import asyncio
import io
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fastavro
import numpy as np
import psutil
import psycopg
import requests
from confluent_kafka import Consumer, TopicPartition

from cdc_users.observe.settings import ObserverSettings, WebhookSettings
from cdc_users.pipeline.process.observer import start_observer
from infra.platform.sinks.batch import Batch
from infra.stack.endpoints import Endpoints
from infra.stack.find.locate import locate
from infra.stack.supervise.state import CHECKOUT
from tests.batches import Partition
from tests.change_events import (
    CUSTOMERS,
    RUN,
    Event,
    FilledTopic,
    customer,
    envelope_schema,
    filled_topic,
)
from tests.platform_process import PlatformProcess, await_that

PAIRS = 5
PARTITIONS = 8
#: Events of the Kafka comparison, and how many of them count as the start on either side; 400
#: bytes each, like a customer of Debezium's.
KAFKA_EVENTS, START_EVENTS = 400_000, 50_000
SINK_EVENTS = 50_000
BATCH = 1000
Side = Callable[[], float]


def compare(name: str, unit: str, ours: Side, plain: Side) -> None:
    """Run both in turn, and print rates and their ratio."""
    ratios = []
    for pair in range(PAIRS):
        sides = (ours, plain) if pair % 2 == 0 else (plain, ours)
        rates = {side: side() for side in sides}
        ratios.append(rates[ours] / rates[plain])
        print(
            f"{name}: {rates[ours]:9.0f} {unit}/s, plain {rates[plain]:9.0f}, ratio"
            f" {ratios[-1]:.2f}",
            flush=True,
        )
    print(f"{name}: median ratio {statistics.median(ratios):.2f} of {PAIRS} pairs", flush=True)


def stack() -> Endpoints:
    """The stack that is up."""
    found = locate(CHECKOUT, os.environ)
    assert found is not None, "bring a stack up: python -m infra.stack up --profile bench"
    return found


def fill(topic: FilledTopic, count: int) -> None:
    """Many events quickly: a few thousand different rows, again and again under new keys."""
    rows = [topic.encoder.value(Event("c", key, customer(key))) for key in range(1, 2001)]
    topic.put((topic.encoder.key(Event("c", key)), rows[key % len(rows)]) for key in range(count))


# --- Kafka to CountingSink
# ----------------------------------------------------------------------------------------


def counting() -> None:
    """The platform's own process with its audit, beside a loop of consume and fastavro in one of
    its own.
    """
    endpoints = stack()
    name = f"cdc_sinks_{uuid.uuid4().hex[:8]}"
    with filled_topic(endpoints, name, PARTITIONS) as topic:
        fill(topic, KAFKA_EVENTS)
        compare(
            "kafka -> counting",
            "events",
            lambda: platform_rate(endpoints, topic),
            lambda: loop_rate(name),
        )


def platform_rate(endpoints: Endpoints, topic: FilledTopic, **options: object) -> float:
    """Events a second, once it has got going, until the last one is durable and booked in the
    ledger.
    """
    given = {
        "run": RUN,
        "held": "yes",
        "group": f"{topic.name}_{uuid.uuid4().hex[:6]}",
        "batch-size": BATCH,
    }
    with tempfile.TemporaryDirectory() as directory:
        platform = PlatformProcess(endpoints, topic.name, Path(directory) / "log", given | options)
        try:
            url = platform.url
            platform.begin()
            await_durable(url, START_EVENTS)
            began, started_s = durable_events(url), time.monotonic()
            # Metrics are cheap to ask for; a snapshot encodes every histogram, and takes that time
            # from the platform.
            await_durable(url, KAFKA_EVENTS)
            took_s = time.monotonic() - started_s
            steps = platform.get("/ledger")["steps"]["1"]
            assert steps["delivered"] + steps["duplicated"] == KAFKA_EVENTS
        finally:
            platform.stop()
    return (KAFKA_EVENTS - began) / took_s


def await_durable(url: str, count: int) -> None:
    """Wait for so many."""
    await_that(
        lambda: durable_events(url) >= count,
        lambda: f"{durable_events(url)} of {count} events are durable",
    )


def durable_events(url: str) -> int:
    """Events that the platform's sink has made durable, by its metrics."""
    lines = requests.get(f"{url}/metrics", timeout=10).text.splitlines()
    return next(
        int(float(line.split()[1]))  # Prometheus writes every value as a float
        for line in lines
        if line.startswith("cdc_platform_durable_events_total ")
    )


def loop_rate(name: str) -> float:
    """A loop of `consume(1000)` and fastavro, in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "tests.benchmark.sink_comparison",
        "--loop",
        name,
        str(KAFKA_EVENTS),
    ]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return float(done.stdout)


def loop(name: str, count: int) -> float:
    """What `loop_rate` runs."""
    schema = fastavro.parse_schema(envelope_schema(CUSTOMERS, name))
    consumer = Consumer(
        {
            "bootstrap.servers": stack().kafka_bootstrap,
            "group.id": name,
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(name, number, 0) for number in range(PARTITIONS)])
    started_s, seen, began = 0.0, 0, 0
    while seen < count:
        if not began and seen >= START_EVENTS:
            began, started_s = seen, time.monotonic()
        for message in consumer.consume(1000, 0.1):
            fastavro.schemaless_reader(io.BytesIO((message.value() or b"")[5:]), schema, None)
            seen += 1
    took_s = time.monotonic() - started_s
    consumer.close()
    return (seen - began) / took_s


# --- The sinks alone
# ------------------------------------------------------------------------------------------------


def batches(size: int, partitions: int = PARTITIONS) -> list[list[Batch]]:
    """Batches of several partitions: updates of keys that are there after the first round."""
    whole = []
    for number in range(partitions):
        keys = range(number * 10**6, number * 10**6 + SINK_EVENTS // partitions)
        events = [Event("c", key, customer(key)) for key in keys]
        whole.append(list(Partition(number=number).batches(events, size)))
    return whole


async def write_all(sink: Any, whole: Sequence[Sequence[Batch]]) -> float:
    """All partitions beside one another; returns seconds until all is durable."""

    async def one(partition: Sequence[Batch]) -> None:
        for batch in partition:
            await sink.write(batch)

    await sink.open()
    started_s = time.monotonic()
    await asyncio.gather(*map(one, whole))
    await sink.flush()
    took_s = time.monotonic() - started_s
    await sink.close()
    return took_s


def postgres() -> None:
    """Upserts in batches, beside COPY of the same rows into a staging table and one INSERT ...

    ON CONFLICT by psql.
    """
    from infra.platform.sinks.postgres.sink import PostgresSink

    dsn, schema = stack().postgres_dsn, f"cdc_sinks_{uuid.uuid4().hex[:8]}"
    whole = batches(BATCH)
    with (
        tempfile.TemporaryDirectory() as directory,
        psycopg.connect(dsn, autocommit=True) as connection,
    ):
        file = Path(directory) / "rows.tsv"

        def ours() -> float:
            connection.execute(f"DROP TABLE IF EXISTS {schema}.sink, {schema}.sink_offsets")
            took_s = asyncio.run(write_all(PostgresSink(dsn, f"{schema}.sink"), whole))
            assert connection.execute(f"SELECT count(*) FROM {schema}.sink").fetchone() == (
                SINK_EVENTS,
            )
            return SINK_EVENTS / took_s

        def plain() -> float:
            connection.execute(f"DROP TABLE IF EXISTS {schema}.plain, {schema}.staging")
            connection.execute(f"CREATE TABLE {schema}.plain (LIKE {schema}.sink INCLUDING ALL)")
            connection.execute(f"CREATE UNLOGGED TABLE {schema}.staging (LIKE {schema}.sink)")
            columns = ", ".join(f"{name} = excluded.{name}" for name in CUSTOMERS if name != "id")
            insert = (
                f"INSERT INTO {schema}.plain TABLE {schema}.staging ON CONFLICT (id) DO UPDATE SET"
                f" {columns}"
            )
            started_s = time.monotonic()
            subprocess.run(
                ["psql", "-qX", dsn, "-c", f"\\copy {schema}.staging from '{file}'", "-c", insert],
                check=True,
            )
            took_s = time.monotonic() - started_s
            assert connection.execute(f"SELECT count(*) FROM {schema}.plain").fetchone() == (
                SINK_EVENTS,
            )
            return SINK_EVENTS / took_s

        try:
            ours()
            with (
                file.open("wb") as out,
                connection.cursor().copy(f"COPY {schema}.sink TO STDOUT") as copy,
            ):
                for part in copy:
                    out.write(part)
            compare("postgres", "rows", ours, plain)
        finally:
            connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


def iceberg() -> None:
    """Appends from the bytes of the events, beside from_pylist and append of rows that are decoded
    already.
    """
    import pyarrow as pa
    from pyiceberg.catalog import load_catalog

    from infra.platform.sinks.iceberg.arrow import change_schema, changes
    from infra.platform.sinks.iceberg.sink import CATALOG, IcebergSink, local_properties

    whole = batches(BATCH)
    schema = change_schema(whole[0][0].rows.columns)
    rows = [row for partition in whole for batch in partition for row in changes(batch).to_pylist()]
    with tempfile.TemporaryDirectory() as directory:
        properties = local_properties(directory)
        catalog = load_catalog(CATALOG, **properties)
        catalog.create_namespace("bench")

        def ours() -> float:
            table = f"bench.t{uuid.uuid4().hex[:8]}"
            took_s = asyncio.run(write_all(IcebergSink(properties, table), whole))
            assert len(catalog.load_table(table).scan().to_arrow()) == SINK_EVENTS
            return SINK_EVENTS / took_s

        def plain() -> float:
            name = f"bench.t{uuid.uuid4().hex[:8]}"
            started_s = time.monotonic()
            table = catalog.create_table(name, schema)
            table.append(pa.Table.from_pylist(rows, schema=schema))
            took_s = time.monotonic() - started_s
            assert len(catalog.load_table(name).scan().to_arrow()) == SINK_EVENTS
            return SINK_EVENTS / took_s

        compare("iceberg", "rows", ours, plain)
        catalog.close()


def iceberg_files() -> None:
    """What lies in the table after 20 s of 20,000 rows/s that do not compress, committed at the
    default interval.
    """
    from pyiceberg.catalog import load_catalog

    from infra.platform.options import parser
    from infra.platform.sinks.iceberg.sink import CATALOG, IcebergSink, local_properties

    rate, seconds = 20_000, 20
    interval_s = int(parser().get_default("iceberg_commit_interval_ms")) / 1000
    per_batch_s = PARTITIONS * BATCH / rate

    def rows(number: int) -> list[Event]:
        keys = range(number * 10**6, number * 10**6 + rate * seconds // PARTITIONS)
        made = {key: customer(key) for key in keys}
        return [
            Event("c", key, (*row[:7], secrets.token_urlsafe(120), row[8]))
            for key, row in made.items()
        ]

    whole = [
        list(Partition(number=number).batches(rows(number), BATCH)) for number in range(PARTITIONS)
    ]

    async def one(sink: IcebergSink, partition: Sequence[Batch]) -> None:
        due_s = time.monotonic()
        for batch in partition:
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            await sink.write(batch)
            due_s += per_batch_s

    async def paced(sink: IcebergSink) -> tuple[float, int]:
        await sink.open()
        started_s, flushes = time.monotonic(), 0
        writing = asyncio.gather(*(one(sink, partition) for partition in whole))
        while not writing.done():
            await asyncio.wait([writing], timeout=interval_s)
            await sink.flush()
            flushes += 1
        took_s = time.monotonic() - started_s
        await sink.close()
        return took_s, flushes

    with tempfile.TemporaryDirectory() as directory:
        properties = local_properties(directory)
        took_s, flushes = asyncio.run(paced(IcebergSink(properties, "bench.paced")))
        catalog = load_catalog(CATALOG, **properties)
        table = catalog.load_table("bench.paced")
        files, commits = table.inspect.files(), len(table.history())
        sizes = sorted(size / 1e6 for size in files["file_size_in_bytes"].to_pylist())
        count = files["record_count"].to_pylist()
        catalog.close()
    assert sum(count) == rate * seconds
    print(
        f"{rate * seconds / took_s:.0f} rows/s, {commits} commits in {flushes} intervals of"
        f" {interval_s} s"
    )
    print(f"{len(sizes)} files, MB: {', '.join(f'{size:.1f}' for size in sizes)}")


def webhook() -> None:
    """Batches of 100 on 8 connections, beside raw sockets with bodies made beforehand; the
    receiver is the webhook tap.

    It does with each body what it does in every run: parses it, measures each event and keeps the
    ledger.
    """
    from infra.platform.sinks.webhook.document import documents, encode
    from infra.platform.sinks.webhook.sink import WebhookSink

    whole = batches(100)
    bodies = [[encode(documents(batch)) for batch in partition] for partition in whole]
    settings = ObserverSettings(run=RUN, taps=(WebhookSettings(name="sink"),))
    with tempfile.TemporaryDirectory() as directory:
        observer = start_observer(settings, Path(directory) / "log")
        url = observer.taps["sink"].webhook_url

        def ours() -> float:
            return SINK_EVENTS / asyncio.run(write_all(WebhookSink(url), whole))

        def plain() -> float:
            started_s = time.monotonic()
            with ThreadPoolExecutor(len(bodies)) as pool:
                list(pool.map(lambda mine: post_raw(url, mine), bodies))
            return SINK_EVENTS / (time.monotonic() - started_s)

        try:
            compare("webhook, batches of 100", "events", ours, plain)
        finally:
            observer.stop()


def post_raw(url: str, bodies: Sequence[bytes]) -> None:
    """HTTP/1.1 by hand: send, read the answer's head, go on."""
    place = urlsplit(url)
    with socket.create_connection(("127.0.0.1", place.port or 80)) as connection:
        for body in bodies:
            head = (
                f"POST {place.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length:"
                f" {len(body)}\r\n\r\n".encode()
            )
            connection.sendall(head + body)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200"), answer


def memory() -> None:
    """Unique memory of the platform while four million events wait for it; the slope after the
    first 500,000.

    They are in the topic before, so that what the client fetches ahead is at its bound all the
    time.
    """
    endpoints = stack()
    name = f"cdc_sinks_{uuid.uuid4().hex[:8]}"
    options = {"run": RUN, "batch-size": BATCH, "held": "yes"}
    with (
        filled_topic(endpoints, name, PARTITIONS) as topic,
        tempfile.TemporaryDirectory() as directory,
    ):
        fill(topic, 4_500_000)
        platform = PlatformProcess(endpoints, name, Path(directory) / "log", options)
        millions, mb = [], []
        platform.begin()
        for count in range(500_000, 4_000_001, 500_000):
            await_durable(platform.url, count)
            millions.append(durable_events(platform.url) / 1e6)
            mb.append(psutil.Process(platform.pid).memory_full_info().uss / 1e6)
            print(f"memory: {millions[-1]:.1f} M events, {mb[-1]:.1f} MB", flush=True)
        platform.stop()
    slope, _ = np.polyfit(millions, mb, 1)
    print(
        f"memory: {slope:.2f} MB per million events after the first 500,000 (least squares)",
        flush=True,
    )


COMPARISONS = {
    item.__name__: item for item in (counting, postgres, iceberg, iceberg_files, webhook, memory)
}


def main(arguments: Sequence[str]) -> int:
    """Run what is named, or everything."""
    if arguments[:1] == ["--loop"]:
        print(loop(arguments[1], int(arguments[2])))
        return 0
    for name in arguments or list(COMPARISONS):
        COMPARISONS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The reference platform beside a bare loop on the same topic:

`consume(1000)` and fastavro on every value.

    python -m tests.benchmark.platform_comparison [--records 200000] [--rounds 5]

The topic is filled once with change events of the customers table. Then each round reads all of it
twice, in fresh processes, one after the other: the bare loop from the topic's start to the last
decoded value, and the platform (counting sink, with its ledger and histograms) from the moment at
which it may begin to the last event that is durable. The figure to compare is the ratio of the
medians; the goal is 0.9. Needs a stack (CDC_STACK, or `make stack-up`).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import fastavro
import numpy as np
import requests
from confluent_kafka import Consumer, TopicPartition

from cdc_users.measure.clock import Anchor, new_anchor
from cdc_users.pipeline.process.child_process import launch, stop
from cdc_users.pipeline.telemetry import begin, read_progress, read_snapshot, ready_line
from cdc_users.users.producer.bulk_insert import InsertFlight, Insertion
from cdc_users.users.producer.in_flight import PipelinedWriter
from cdc_users.users.producer.producer import AvroProducer
from cdc_users.users.workload.workload import Workload
from infra.client.environment import TELEMETRY_TOKEN
from infra.stack.endpoints import Endpoints
from infra.stack.find.locate import locate
from infra.stack.supervise.state import CHECKOUT
from tests.benchmark.producer_comparison import FLIGHT, fresh_topic

BATCH = 1000
RUN = "abcd1234"
WRITER = 10_001
#: The magic byte and the schema's id before each value.
PREFIX_BYTES = 5
DEADLINE_S = 120.0


def fill(endpoints: Endpoints, topic: str, records: int, anchor: Anchor) -> None:
    """Write so many change events."""
    producer = AvroProducer.open(
        endpoints.kafka_bootstrap, endpoints.schema_registry_url, [topic], anchor
    )
    writer = PipelinedWriter(RUN, WRITER, Workload())
    insertion = Insertion(writer, RUN)
    for _ in range(records // FLIGHT):
        now_ns = time.monotonic_ns()
        flight = InsertFlight(
            insertion,
            1,
            np.full(FLIGHT, now_ns),
            np.full(FLIGHT, anchor.wall_us_at(now_ns)),
        )
        while not producer.push(flight):
            producer.poll(0.001)
    producer.flush(60)
    assert producer.figures.acked == records, producer.figures


def read_bare(bootstrap: str, registry: str, topic: str, records: int) -> float:
    """Decode the whole topic in this process; returns the seconds that it took."""
    versions = requests.get(f"{registry}/subjects/{topic}-value/versions/latest", timeout=10).json()
    schema = fastavro.parse_schema(json.loads(versions["schema"]))
    read = fastavro.schemaless_reader
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": topic, "enable.auto.commit": False}
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    began_s = time.monotonic()
    decoded = 0
    while decoded < records:
        for message in consumer.consume(BATCH, 1.0):
            value = message.value()
            assert value is not None
            read(io.BytesIO(value[PREFIX_BYTES:]), schema, None)
            decoded += 1
    took_s = time.monotonic() - began_s
    consumer.close()
    return took_s


def bare_rate(endpoints: Endpoints, topic: str, records: int) -> float:
    """Records a second by the bare loop, in a process of its own."""
    where = [endpoints.kafka_bootstrap, endpoints.schema_registry_url, topic, str(records)]
    command = [sys.executable, "-m", "tests.benchmark.platform_comparison", "--bare", *where]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return records / float(done.stdout)


def platform_rate(endpoints: Endpoints, topic: str, records: int, anchor: Anchor) -> float:
    """Records a second by one instance of the platform."""
    command = [
        sys.executable,
        "-m",
        "infra.platform",
        "--bootstrap",
        endpoints.kafka_bootstrap,
        "--topic",
        topic,
    ]
    command += [
        "--schema-registry",
        endpoints.schema_registry_url,
        "--group",
        f"cdc_{uuid.uuid4().hex[:8]}",
    ]
    command += ["--sink", "counting", "--run", RUN, "--held", "yes"]
    with tempfile.TemporaryDirectory() as logs, ExitStack() as undo:
        token = uuid.uuid4().hex
        environment = {**os.environ, **anchor.environment(), TELEMETRY_TOKEN: token}
        started = launch("platform", command, Path(logs) / "platform.log", environment)
        undo.callback(stop, started.process, 10.0)
        telemetry = [ready_line(started.await_ready()).telemetry]
        began_us = anchor.wall_us_at(time.monotonic_ns())
        begin(telemetry, token)
        step = WRITER // 10_000
        deadline_s = time.monotonic() + DEADLINE_S
        while read_progress(telemetry).delivered.get(step, 0) < records:
            assert time.monotonic() < deadline_s, (
                f"the platform has not delivered {records} records"
            )
            time.sleep(0.1)
        found = read_snapshot(telemetry).steps[step]
    # The result itself: every event once.
    assert (found.delivered, found.duplicated) == (records, 0), found
    return records / (found.last_us - began_us) * 1e6


def compare(endpoints: Endpoints, records: int, rounds: int) -> None:
    """Fill a topic, run the rounds, print every figure and the ratio of the medians."""
    anchor = new_anchor()
    with fresh_topic(endpoints, 1) as topic:
        fill(endpoints, topic, records, anchor)
        ways: dict[str, Callable[[], float]] = {
            "consume(1000) + fastavro": lambda: bare_rate(endpoints, topic, records),
            "platform, counting sink": lambda: platform_rate(endpoints, topic, records, anchor),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(1, rounds + 1):
            for name, measure in ways.items():
                rates[name].append(measure())
                print(f"round {number}  {name:<26}{rates[name][-1]:>10.0f}/s", flush=True)
    bare, platform = (statistics.median(found) for found in rates.values())
    print(f"medians: bare {bare:.0f}/s, platform {platform:.0f}/s, {platform / bare:.2f} x")


def main() -> int:
    """Compare on the stack that is up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--bare",
        nargs=4,
        metavar=("BOOTSTRAP", "REGISTRY", "TOPIC", "RECORDS"),
        help="one bare loop",
    )
    options = parser.parse_args()
    if options.bare:
        bootstrap, registry, topic, records = options.bare
        print(read_bare(bootstrap, registry, topic, int(records)))
        return 0
    endpoints = locate(CHECKOUT, os.environ)
    if endpoints is None:
        print("no stack is up; start one with `make stack-up`", file=sys.stderr)
        return 3
    compare(endpoints, options.records, options.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())

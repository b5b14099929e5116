"""AvroProducer against Kafka's own ProducerPerformance: same broker, same record size, one after
the other.

    python -m tests.benchmark.producer_comparison [--records 300000] [--rounds 5] [--partitions 1]

Each round runs Java's producer, ours in a plain process, and a Kafka user in a Locust process.
Ours writes real change events, each with a probe, and times each acknowledgement; Java writes one
random record over and over. The figures to compare are the ratios; docs/results/producer.md has
some. Needs a stack (CDC_STACK, or `make stack-up`).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from cdc_users.measure.clock import new_anchor
from cdc_users.measure.latency.recorder import Recorder
from cdc_users.measure.wire import encode
from cdc_users.pipeline.provision.kafka_topics import create_topic, delete_subjects, delete_topics
from cdc_users.users.producer.bulk_insert import InsertFlight, Insertion
from cdc_users.users.producer.in_flight import Flight, PipelinedWriter
from cdc_users.users.producer.producer import AvroProducer
from cdc_users.users.producer.topic_schemas import open_channel
from cdc_users.users.workload.workload import Workload
from infra.stack.artifacts.java import class_path, java_files
from infra.stack.endpoints import Endpoints
from infra.stack.find.locate import locate
from infra.stack.supervise.state import CHECKOUT

FLIGHT = 100
JAVA_TOOL = "org.apache.kafka.tools.ProducerPerformance"


@contextmanager
def fresh_topic(endpoints: Endpoints, partitions: int) -> Iterator[str]:
    """A topic of this measurement's own."""
    topic = f"cdc.cdc_producer_{uuid.uuid4().hex[:8]}.customers"
    create_topic(endpoints.kafka_bootstrap, topic, partitions)
    try:
        yield topic
    finally:
        delete_topics(endpoints.kafka_bootstrap, [topic])
        delete_subjects(endpoints.schema_registry_url, topic)


def java_rate(endpoints: Endpoints, partitions: int, records: int, size: int) -> float:
    """Records a second by Kafka's own tool, as it reports them."""
    files = java_files(os.environ, lambda _: None)
    with fresh_topic(endpoints, partitions) as topic:
        command = [
            str(files.java),
            "-Xmx512m",
            "-cp",
            class_path(files.kafka),
            JAVA_TOOL,
            "--topic",
            topic,
        ]
        command += ["--num-records", str(records), "--record-size", str(size), "--throughput", "-1"]
        command += ["--producer-props", f"bootstrap.servers={endpoints.kafka_bootstrap}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    last = done.stdout.strip().splitlines()[-1]
    match = re.search(r"([\d.]+) records/sec", last)
    assert match is not None, last
    return float(match[1])


def our_rate(endpoints: Endpoints, partitions: int, records: int) -> tuple[float, float]:
    """Records a second by AvroProducer in this process, until the last is acknowledged, and bytes
    a record.
    """
    anchor = new_anchor()
    with fresh_topic(endpoints, partitions) as topic:
        producer = AvroProducer.open(
            endpoints.kafka_bootstrap, endpoints.schema_registry_url, [topic], anchor
        )
        writer, recorder = PipelinedWriter("abcd1234", 10_001, Workload()), Recorder()
        insertion = Insertion(writer, "abcd1234")
        began_ns = time.monotonic_ns()
        intended_ns = np.full(FLIGHT, began_ns)
        intended_us = np.full(FLIGHT, anchor.wall_us_at(began_ns))
        for _ in range(records // FLIGHT):
            flight = InsertFlight(insertion, 1, intended_ns, intended_us)
            while not producer.push(flight):
                _note(producer.poll(0.001), writer, recorder)
            _note(producer.poll(), writer, recorder)
        _note(producer.flush(60), writer, recorder)
        took_s = (time.monotonic_ns() - began_ns) / 1e9
    # The result itself: every record acknowledged, and every acknowledgement timed.
    assert writer.ranges.runs == {"acked": [[1, records]]}, writer.ranges.runs
    assert recorder.histogram("ack").count == records
    return records / took_s, producer.figures.bytes / records


def _note(landed: Sequence[Flight], writer: PipelinedWriter, recorder: Recorder) -> None:
    for flight in landed:
        for outcome, first, last in flight.runs():
            writer.ranges.add(outcome, first, last)
        recorder.record_many_us("ack", flight.ack_us())


def locust_rate(endpoints: Endpoints, partitions: int, records: int) -> float:
    """Records a second by a Kafka user in a Locust process."""
    with fresh_topic(endpoints, partitions) as topic:
        channel = open_channel(endpoints.kafka_bootstrap, endpoints.schema_registry_url, topic)
        command = [
            sys.executable,
            "-m",
            "tests.benchmark.producer_process",
            encode(channel).decode(),
        ]
        command += [endpoints.kafka_bootstrap, str(records)]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1])["per_s"])


def compare(endpoints: Endpoints, partitions: int, records: int, rounds: int) -> None:
    """Run the rounds and print every figure and the ratios of the medians."""
    _, size = our_rate(endpoints, partitions, FLIGHT)
    print(
        f"{records} records of {size:.0f} bytes, {partitions} partition(s), {os.cpu_count()} cores",
        flush=True,
    )
    ways: dict[str, Callable[[], float]] = {
        "ProducerPerformance": lambda: java_rate(endpoints, partitions, records, round(size)),
        "AvroProducer": lambda: our_rate(endpoints, partitions, records)[0],
        "KafkaUser under Locust": lambda: locust_rate(endpoints, partitions, records),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(1, rounds + 1):
        for name, measure in ways.items():
            rates[name].append(measure())
            print(f"round {number}  {name:<24}{rates[name][-1]:>10.0f}/s", flush=True)
    java = statistics.median(rates["ProducerPerformance"])
    for name, found in rates.items():
        median = statistics.median(found)
        print(f"median   {name:<24}{median:>10.0f}/s  {median / java:.2f} x")


def main() -> int:
    """Compare on the stack that is up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for flag, default in (("--records", 300_000), ("--rounds", 5), ("--partitions", 1)):
        parser.add_argument(flag, type=int, default=default)
    options = parser.parse_args()
    endpoints = locate(CHECKOUT, os.environ)
    if endpoints is None:
        print("no stack is up; start one with `make stack-up`", file=sys.stderr)
        return 3
    compare(endpoints, options.partitions, options.records, options.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What Debezium's two tunings cost, and whether Debezium is what limits a bulk load.

python -m tests.benchmark.tuning_comparison [--rows 200000] [--rate 1000] [--duration 15s]
[--rounds 1]

Each round runs the throughput scenario with either tuning: paced at the rate, for the time between
a commit and its append to the topic, and in bulk (multi-row inserts, 100 rows a transaction).
While the bulk runs, the topic's end offset is read ten times a second: *appended* is Debezium's
own rate, from the first growth to the last; *delivered* is the rate at the sink. Where the two
agree, and waiting for capture is most of the latency, nothing behind Debezium holds it up. Needs a
stack (CDC_STACK, or `make stack-up`); docs/results/stack.md has figures.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from infra.stack.find.locate import locate
from infra.stack.supervise.state import CHECKOUT

SAMPLE_S = 0.1
TUNINGS = ("latency", "throughput")
BULK = ("--rows-per-transaction", "100", "--insert-method", "values")
BEHIND = ("fetch", "queue", "sink_write")


@dataclass(frozen=True, slots=True)
class Growth:
    """One look at a topic: when (monotonic seconds), and its end offset over all partitions."""

    at_s: float
    end: int


def rate_per_s(samples: Sequence[Growth]) -> float:
    """Appends a second from the first growth to the last; raises ValueError where there was
    none.
    """
    grown = [later for earlier, later in itertools.pairwise(samples) if later.end > earlier.end]
    if len(grown) < 2:
        raise ValueError(
            f"the topic grew in {len(grown)} of {len(samples)} samples, which bears no rate; add"
            " rows"
        )
    return (grown[-1].end - grown[0].end) / (grown[-1].at_s - grown[0].at_s)


@contextmanager
def watching(bootstrap: str) -> Iterator[dict[str, list[Growth]]]:
    """Sample the end offsets of all topics that come into being meanwhile."""
    samples: dict[str, list[Growth]] = {}
    over = threading.Event()
    thread = threading.Thread(target=_sample, args=(bootstrap, samples, over))
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def _sample(bootstrap: str, samples: dict[str, list[Growth]], over: threading.Event) -> None:
    client = Consumer({"bootstrap.servers": bootstrap, "group.id": "tuning-comparison"})
    old = set(client.list_topics(timeout=10).topics)
    while not over.wait(SAMPLE_S):
        for name, topic in client.list_topics(timeout=10).topics.items():
            if name in old:
                continue
            try:
                ends = [
                    client.get_watermark_offsets(TopicPartition(name, part))[1]
                    for part in topic.partitions
                ]
            except KafkaException:
                continue  # removed between the list and the question
            samples.setdefault(name, []).append(Growth(time.monotonic(), sum(ends)))
    client.close()


def scenario(tuning: str, *options: str) -> dict[str, Any]:
    """One run of the throughput scenario; its result. Raises RuntimeError unless it passed."""
    with tempfile.TemporaryDirectory() as results:
        command = [
            sys.executable,
            "-m",
            "locust",
            "-f",
            "locustfiles/throughput.py",
            "--headless",
            "--only-summary",
        ]
        command += ["--results", results, "--tuning", tuning, *options]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
        found = list(Path(results).glob("*/result.json"))
        if not found:
            raise RuntimeError(
                f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}"
            )
        result: dict[str, Any] = json.loads(found[0].read_text(encoding="utf-8"))
    if result["verdict"] != "PASS":
        print(f"  {result['verdict']}: {'; '.join(result['reasons'])}", file=sys.stderr)
    return result


def paced(tuning: str, rate: str, duration: str) -> dict[str, float]:
    """Latencies at a rate that the pipeline bears."""
    (step,) = scenario(tuning, "--rate", rate, "--duration", duration)["steps"][-1:]
    found = step["latency_ms"]
    return {
        f"{stage} {part}": found[stage][part]
        for stage in ("capture", "end_to_end")
        for part in ("p50", "p99")
    }


def bulk(tuning: str, rows: str, bootstrap: str) -> dict[str, float]:
    """Rates of a bulk load, at the topic and at the sink, and where its rows have waited
    (means).
    """
    with watching(bootstrap) as samples:
        result = scenario(tuning, "--rows", rows, *BULK)
    topic = max(
        (growth for name, growth in samples.items() if result["run"] in name),
        key=lambda found: found[-1].end,
    )
    (step,) = result["steps"]
    waited = step["latency_ms"]
    return {
        "appended/s": rate_per_s(topic),
        "delivered/s": step["throughput_per_s"],
        "capture mean": waited["capture"]["mean"],
        "behind mean": sum(waited[stage]["mean"] for stage in BEHIND),
    }


def main(arguments: Sequence[str]) -> int:
    """Run the rounds, and print one line for each part."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmark.tuning_comparison", description=__doc__
    )
    parser.add_argument("--rows", default="200000")
    parser.add_argument("--rate", default="1000")
    parser.add_argument("--duration", default="15s")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args(arguments)
    endpoints = locate(CHECKOUT, os.environ)
    if endpoints is None:
        print("no stack is up; run `make stack-up`", file=sys.stderr)
        return 3
    for _ in range(options.rounds):
        for tuning in TUNINGS:
            print(
                _line(
                    f"{tuning}: {options.rate} rows/s, ms",
                    paced(tuning, options.rate, options.duration),
                )
            )
            print(
                _line(
                    f"{tuning}: {options.rows} rows",
                    bulk(tuning, options.rows, endpoints.kafka_bootstrap),
                )
            )
    print(f"load averages: {' '.join(f'{load:.1f}' for load in os.getloadavg())}")
    return 0


def _line(title: str, figures: dict[str, float]) -> str:
    return f"{title:32}" + "  ".join(f"{name} {value:,.1f}" for name, value in figures.items())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

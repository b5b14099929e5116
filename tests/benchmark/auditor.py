"""`python -m tests.benchmark.auditor`: how fast the ledger takes events in, and what memory it
needs.

Events go in as a tap gives them: probe texts in batches of one partition, 64 writers over 8
partitions, 20 % updates. The probes are made batch by batch and their making is not in the
figures. Memory is what numpy and Python allocate (tracemalloc) in the ledger; bytes made up for
the load are not in it.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cdc_users.measure.ledger.ledger import Ledger, PartitionEvents
from cdc_users.measure.ledger.probe import PROBE_BYTES, Probe, format_probe, parse_probes
from tests.unit.cdc_users.measure.ledger import zoo

RUN = "bench001"
WRITERS = 64
PARTITIONS = 8
ROWS = 10
UPDATES = 0.2
START_US = 1_790_000_000_000_000
Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """What a tap has in hand: the probes of one partition's events, and their keys."""

    partition: int
    probes: Sequence[bytes]
    keys: Numbers


def load(events: int, live_keys: int, batch: int) -> Iterator[Batch]:
    """Transactions of ten rows by 64 writers in turn, by partition.

    One row in five updates a live key.

    Every writer updates its keys in turn, so that all `live_keys` are updated if there are events
    enough.
    """
    per_writer = live_keys // WRITERS
    template = np.frombuffer(
        format_probe(Probe(RUN, 0, 0, 0, 0, ROWS, 0, "i", START_US, 0)).encode(), dtype=np.uint8
    )
    rounds = -(-events // (WRITERS * ROWS * 200))
    updated = round(ROWS * 200 * UPDATES)
    inserted = ROWS * 200 - updated
    left = events
    for number in range(rounds):
        first = number * ROWS * 200
        sequence = np.tile(np.arange(first + 1, first + ROWS * 200 + 1), WRITERS)
        writer = np.repeat(np.arange(10_001, 10_001 + WRITERS), ROWS * 200)
        place = np.tile(np.arange(ROWS * 200), WRITERS)
        update = place % 5 == 4
        turn = number * updated + place // 5
        index = np.where(update, turn % per_writer, number * inserted + place - place // 5)
        version = np.where(update, 2 + turn // per_writer, 1)
        keys = writer * 10**8 + index + 1
        table = np.broadcast_to(template, (len(keys), PROBE_BYTES)).copy()
        for column, (start, width) in (
            (writer, (10, 7)),
            (sequence, (17, 10)),
            ((sequence - 1) // ROWS + 1, (27, 10)),
            ((sequence - 1) % ROWS, (37, 5)),
            (version, (47, 8)),
        ):
            powers = 10 ** np.arange(width - 1, -1, -1)
            table[:, start : start + width] = column[:, None] // powers % 10 + ord("0")
        table[update, 55] = ord("u")
        order = np.argsort(place // ROWS, kind="stable")[:left]
        left -= len(order)
        partitions = (keys[order] * 2_654_435_761 % 2**32) % PARTITIONS
        for partition in range(PARTITIONS):
            mine = order[partitions == partition]
            for start in range(0, len(mine), batch):
                part = mine[start : start + batch]
                yield Batch(partition, [row.tobytes() for row in table[part]], keys[part])


def feed(ledger: Ledger, batches: Iterator[Batch]) -> tuple[int, float]:
    """Take all batches in; returns how many events there were, and the seconds of processor time
    that took.
    """
    events, spent_s = 0, 0.0
    for batch in batches:
        positions = np.arange(events, events + len(batch.keys))
        began_s = time.thread_time()
        probes = parse_probes(batch.probes, RUN)
        ledger.observe(PartitionEvents(probes, batch.keys, batch.partition, positions))
        spent_s += time.thread_time() - began_s
        events += len(batch.keys)
    return events, spent_s


def memory_bytes(events: int, live_keys: int, batch: int) -> tuple[int, int]:
    """What the ledger holds after so many events, and the most that it held on the way."""
    tracemalloc.start(4)  # frames enough to see through numpy's own functions
    held = peak = 0
    ledger = Ledger()
    modules = [
        tracemalloc.Filter(True, f"*/measure/ledger/{name}.py", all_frames=True)
        for name in ("bitmap", "version", "ledger", "arrival")
    ]
    for number, part in enumerate(load(events, live_keys, batch)):
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        probes = parse_probes(part.probes, RUN)
        positions = np.arange(len(part.keys))
        ledger.observe(PartitionEvents(probes, part.keys, part.partition, positions))
        growth = tracemalloc.get_traced_memory()[1] - before
        if number % 2_000 == 0:
            held = sum(
                item.size
                for item in (
                    tracemalloc.take_snapshot().filter_traces(modules).statistics("filename")
                )
            )
        peak = max(peak, held + growth)
    held = sum(
        item.size
        for item in tracemalloc.take_snapshot().filter_traces(modules).statistics("filename")
    )
    tracemalloc.stop()
    return held, max(peak, held)


def tell_taps(events: int) -> None:
    """Print how fast the taps are from raw messages on: decoding, ledger and latencies, in batches
    of 500.
    """
    log = sorted(zoo.source(1, events).log, key=lambda sent: sent.partition)
    batches = [log[first : first + 500] for first in range(0, len(log), 500)]
    messages = [zoo.messages(batch) for batch in batches]
    bodies = [zoo.body(batch) for batch in batches]
    for every in (0, 100, 1):
        topic, hook = zoo.topic_tap(every), zoo.webhook_tap(every)
        began_s = time.thread_time()
        for part in messages:
            topic.take(part, START_US)
        between_s = time.thread_time()
        for body in bodies:
            hook.apply(body, None)
        ended_s = time.thread_time()
        rates = (len(log) / (between_s - began_s), len(log) / (ended_s - between_s))
        checked = {0: "no row", 1: "every row"}.get(every, f"one row in {every}")
        print(
            f"{checked} checked: topic tap {rates[0]:,.0f} events/s, webhook tap {rates[1]:,.0f}"
            " events/s"
        )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument(
        "--memory", action="store_true", help="measure memory instead of speed; slower"
    )
    parser.add_argument(
        "--taps", action="store_true", help="measure whole taps, from messages on, instead"
    )
    options = parser.parse_args()
    if options.taps:
        tell_taps(min(options.events, 50_000))
        return
    if options.memory:
        held, peak = memory_bytes(options.events, options.keys, 1000)
        print(
            f"{options.events:,} events, {options.keys:,} keys: {held / 1e6:.1f} MB, at most"
            f" {peak / 1e6:.1f} MB"
        )
        return
    for batch in (500, 1000):
        ledger = Ledger()
        events, spent_s = feed(ledger, load(options.events, options.keys, batch))
        (counts,) = ledger.arrivals().steps.values()
        assert (counts.delivered, counts.duplicated, counts.reordered, counts.gap) == (
            events,
            0,
            0,
            0,
        ), counts
        print(
            f"batches of {batch}: {events / spent_s / 1e6:.2f} M events/s a core"
            f" ({len(ledger.arrivals().keys):,} keys)"
        )


if __name__ == "__main__":
    main()

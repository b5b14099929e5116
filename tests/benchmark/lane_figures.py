"""What the lanes themselves cost: `python -m tests.benchmark.lane_figures` (docs/results/load.md).

Null operations: arrivals scheduled a second by one process and how late they start, one by one and
in batches, and what recording an operation costs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import gevent
import numpy as np
from locust.env import Environment

from cdc_users.measure.clock import new_anchor
from cdc_users.measure.latency.recorder import OperationLog, Recorder
from cdc_users.measure.schedule.plan import Schedule
from cdc_users.users.lane import Assignment, Share
from cdc_users.users.statement import statements
from cdc_users.users.workload.keyspace import RowChange
from cdc_users.users.workload.workload import Workload, Writer

SECONDS = 4.0
LEAD_US = 200_000
BATCH = 1000


def paced(rate_per_s: float, lanes: int, batch: int = 0) -> str:
    """One table row: so many arrivals a second on so many lanes."""
    anchor = new_anchor()
    schedule = Schedule.constant(rate_per_s, SECONDS)
    t0_us = anchor.now_us() + LEAD_US
    share = Share(
        Assignment(run="figures0", step=1, t0_us=t0_us, schedule=schedule, anchor=anchor),
        anchor,
    )
    work = (lambda: in_batches(share, batch)) if batch else (lambda: one_by_one(share))
    gevent.joinall([gevent.spawn(work) for _ in range(lanes)])
    cpu_share = share.report().cpu_s / SECONDS
    delay = share.recorder.histogram("send_delay").summary_ms()
    kind = f"batches of up to {batch}" if batch else "one by one"
    return (
        f"| {rate_per_s:,.0f}/s, {kind}, {lanes} lanes | {share.tally.completed:,} of"
        f" {schedule.count:,} | {delay['p50']} | {delay['p99']} | {delay['max']} |"
        f" {cpu_share:.2f} |"
    )


def one_by_one(share: Share) -> None:
    """A lane."""
    share.enter()
    while (arrival := share.take()) is not None:
        started_ns = time.monotonic_ns()
        share.tally.completed += 1
        share.record(arrival.intended_ns, started_ns, time.monotonic_ns())
    share.leave()


def in_batches(share: Share, limit: int) -> None:
    """A lane that takes what is due."""
    share.enter()
    while (intended_ns := share.take_many(limit)) is not None:
        now_ns = time.monotonic_ns()
        share.tally.completed += len(intended_ns)
        share.record_many(intended_ns, now_ns, now_ns)
    share.leave()


def recording() -> list[str]:
    """What noting one operation costs, in microseconds, and Locust's own event beside it."""
    count = 200_000
    one, many = OperationLog(Recorder()), OperationLog(Recorder())
    began_s = time.process_time()
    for number in range(count):
        one.add(number, number + 1000, number + 5_000_000)
    one.flush()
    one_us = (time.process_time() - began_s) / count * 1e6
    times = np.arange(count, dtype=np.int64)
    began_s = time.process_time()
    for start in range(0, count, BATCH):
        part = times[start : start + BATCH]
        many.add_many(part, part + 1000, part + 5_000_000)
    many_us = (time.process_time() - began_s) / count * 1e6
    return [
        f"| noting an operation, one by one | {one_us:.2f} |",
        f"| the same, {BATCH} at once | {many_us:.2f} |",
    ]


def firing() -> str:
    """What Locust's own event costs."""
    environment: Any = Environment()
    environment.create_local_runner()  # it is the runner that keeps the statistics
    fire = environment.events.request.fire
    count = 50_000
    began_s = time.process_time()
    for _ in range(count):
        fire(
            request_type="NULL",
            name="null",
            response_time=1.5,
            response_length=1,
            exception=None,
            context={},
        )
    return (
        "| Locust's request event, for comparison |"
        f" {(time.process_time() - began_s) / count * 1e6:.2f} |"
    )


def writing() -> list[str]:
    """What a row costs before it is sent."""
    lines = []
    for name, workload in {
        "insert": Workload(insert_method="values"),
        "insert=80,update=15,delete=5, zipf:1.2": Workload(
            mix=(80, 15, 5), skew=1.2, insert_method="values"
        ),
    }.items():
        writer = Writer("figures0", 10_000, workload)
        events, made_s, text_s = 0, 0.0, 0.0
        for _ in range(500):
            began_s = time.process_time()
            transaction = writer.transaction(100, 1_700_000_000_000_000)
            writer.settle(transaction, "acked")
            made_s += time.process_time() - began_s
            began_s = time.process_time()
            _ = texts(transaction.changes)
            text_s += time.process_time() - began_s
            events += len(transaction.changes)
        lines.append(f"| {name}: making an event with its probe | {made_s / events * 1e6:.2f} |")
        lines.append(f"| {name}: its part of the statement | {text_s / events * 1e6:.2f} |")
    return lines


def texts(changes: Sequence[RowChange]) -> int:
    """The statements of a transaction."""
    return len(statements(changes, ['"s"."customers"'], "values"))


def main() -> None:
    """Print the tables."""
    print(
        "| load | started | send delay p50 ms | p99 ms | max ms | cores"
        " |\n|---|---|---|---|---|---|"
    )
    for rate_per_s, lanes, batch in (
        (1000, 8, 0),
        (5000, 8, 0),
        (5000, 64, 0),
        (20_000, 8, 0),
        (100_000, 1, BATCH),
    ):
        print(paced(rate_per_s, lanes, batch), flush=True)
    print("\n| cost | us |\n|---|---|")
    print("\n".join([*recording(), firing(), *writing()]))


if __name__ == "__main__":
    main()

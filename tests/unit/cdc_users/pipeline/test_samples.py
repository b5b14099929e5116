"""What the platform held in a step is read from its samples: the step's own, and never less than
it was.
"""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, cast

import pytest

from cdc_users.measure.contract import (
    ConsumerTelemetry,
    PartitionTelemetry,
    PlatformTelemetry,
    SamplesTelemetry,
    TelemetrySample,
)
from cdc_users.measure.wire import encode
from cdc_users.observe.message import (
    DebeziumSample,
    GaugeSample,
    GaugeSamples,
    GroupSample,
    ProcessSample,
    SlotSample,
)
from cdc_users.pipeline.process.observer import Observer
from cdc_users.pipeline.samples import COLUMNS, SampleLog
from cdc_users.pipeline.telemetry import advance, merged_snapshot


def samples(*held: int, every_us: int = 100) -> list[TelemetrySample]:
    """Samples that were taken when nothing was held any more;

    `held` is what had been held before each.
    """
    return [
        TelemetrySample(number=number, at_us=every_us * number, high_water=most)
        for number, most in enumerate(held, start=1)
    ]


@pytest.mark.parametrize(
    ("start_us", "end_us", "most"),
    [
        (0, 200, 7),
        (250, 400, 3),
        # A step may begin and end between two samples.
        (410, 420, 9),
        # A sample at the very end is of the time before it.
        (210, 300, 3),
        (600, 700, None),
    ],
)
def test_a_step_has_the_most_that_was_held_in_it(
    start_us: int, end_us: int, most: int | None
) -> None:
    log = SampleLog(platform={"one": samples(5, 7, 3, 1, 9)})

    assert log.high_water(start_us, end_us) == most


def test_instances_are_bounded_each_for_itself() -> None:
    assert SampleLog(platform={"one": samples(5), "two": samples(8)}).high_water(0, 100) == 8
    assert SampleLog().high_water(0, 100) is None


def test_what_a_platform_of_the_users_own_does_not_tell_is_what_its_samples_saw() -> None:
    seen = [TelemetrySample(number=1, at_us=100, queue_depth=4, in_flight=2)]

    assert SampleLog(platform={"own": seen}).high_water(0, 100) == 6


def test_a_span_is_sampled_when_every_instance_has_a_later_sample() -> None:
    log = SampleLog(platform={"one": samples(5, 7), "two": samples(5), "silent": []})

    assert log.reaches(["one", "silent", "unheard"], 200)
    assert not log.reaches(["one", "two"], 200)


def test_a_steps_events_are_how_far_its_partitions_came() -> None:
    def positions(**durable: int | None) -> dict[str, int]:
        partitions = {name: PartitionTelemetry(durable=count) for name, count in durable.items()}
        consumer = ConsumerTelemetry(partitions=partitions)
        return merged_snapshot([PlatformTelemetry(steps={}, consumer=consumer)]).positions

    assert advance(positions(a=10, b=None), positions(a=25, b=4, c=1)) == [15, 4, 1]
    assert advance(None, positions(a=1)) == advance(positions(a=1), None) == []


def sample(number: int, at_us: int, **more: Any) -> TelemetrySample:
    return TelemetrySample(number=number, at_us=at_us, **more)


def gauge(at_us: int, **more: Any) -> GaugeSample:
    return GaugeSample(at_us=at_us, **more)


def test_instances_are_one_at_each_sample_of_the_first() -> None:
    log = SampleLog(
        platform={
            "one": [sample(n, 100 * n, queue_depth=n, workers=1, lag=5) for n in (1, 2, 3)],
            "two": [
                sample(1, 150, queue_depth=10, lag=1),
                sample(2, 250, queue_depth=20, lag=None),
            ],
            "late": [],
        },
        gauges=[
            gauge(120, slot=SlotSample(lag_bytes=7)),
            gauge(260, slot=SlotSample(lag_bytes=9)),
        ],
    )

    found = log.between(100, 300)

    assert [(s.elapsed_s, s.queue_depth, s.workers) for s in found] == [
        (0.0, 11, 1),
        (0.0001, 12, 1),
        (0.0002, 23, 1),
    ]
    assert [s.slot_lag_bytes for s in found] == [7, 7, 9]
    assert [s.consumer_lag for s in found] == [6, 6, None]


@pytest.mark.parametrize(("start_us", "end_us", "count"), [(100, 300, 3), (101, 299, 1), (1, 2, 0)])
def test_a_span_has_the_samples_of_its_ends_as_well(start_us: int, end_us: int, count: int) -> None:
    log = SampleLog(
        platform={"one": [sample(n, 100 * n) for n in (1, 2, 3)]},
        gauges=[gauge(100 * n) for n in (1, 2, 3)],
    )

    assert len(log.between(start_us, end_us)) == len(log.gauges_between(start_us, end_us)) == count


def test_without_a_gauge_no_lag_of_a_slot_is_known() -> None:
    (found,) = SampleLog(platform={"one": [sample(1, 1)]}).between(0, 9)

    assert found.slot_lag_bytes is None
    assert (found.uss_bytes, found.rss_bytes) == (0, 0)


def test_rows_are_in_order_of_time_and_have_known_columns_alone() -> None:
    log = SampleLog(
        platform={"b": [sample(1, 300, lag=None)], "a": [sample(1, 100), sample(2, 400)]},
        gauges=[
            gauge(
                200,
                group=GroupSample(lag=3),
                slot=SlotSample(wal_status="reserved", lag_bytes=8, retained_bytes=9),
                processes={
                    "postgres": ProcessSample(
                        processes=2, cpu_s=1.5, rss_bytes=10, uss_bytes=None, written_bytes=4
                    )
                },
                debezium=DebeziumSample(behind_ms=2, queue_remaining=8192),
            )
        ],
    )

    rows = log.rows()

    assert [(row["at_us"], row["process"]) for row in rows] == [
        (100, "platform-2"),
        (200, "gauges"),
        (200, "postgres"),
        (300, "platform-1"),
        (400, "platform-2"),
    ]
    assert (rows[1]["group_lag"], rows[1]["debezium_behind_ms"]) == (3, 2)
    assert (rows[1]["debezium_queue_remaining"], rows[1]["wal_status"]) == (8192, "reserved")
    assert (rows[1]["slot_lag_bytes"], rows[1]["retained_bytes"]) == (8, 9)
    assert (rows[2]["cpu_s"], rows[2]["rss_bytes"]) == (1.5, 10)
    assert all(set(row) <= set(COLUMNS) for row in rows)


@pytest.mark.parametrize(
    ("before", "after", "came"),
    [
        ({}, {}, []),
        ({"a": 5}, {"a": 5}, [0]),
        ({"a": 5}, {"a": 7, "b": 3}, [2, 3]),
        ({"gone": 5}, {"a": 7}, [7]),
    ],
)
def test_a_partition_that_is_new_has_come_from_its_beginning(
    before: dict[str, int], after: dict[str, int], came: list[int]
) -> None:
    assert advance(before, after) == came


class Gauges:
    """An observer's gauges: each call gives one sample, and the number to ask from next time."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def samples(self, after: int = 0) -> GaugeSamples:
        self.asked.append(after)
        return GaugeSamples(samples=[gauge(after)], next=after + 5)


def test_each_sample_is_asked_for_once() -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            number = int(self.path.rpartition("=")[2])
            told = [sample(number + one, 100 * (number + one)) for one in (1, 2)]
            body = encode(SamplesTelemetry(samples=told))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    log, gauges = SampleLog(), Gauges()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        for _ in range(2):
            log.collect([url], cast(Observer, gauges))
        log.renew()
        log.collect([], cast(Observer, gauges))
        server.shutdown()
        thread.join()

    assert asked == ["/samples?after=0", "/samples?after=2"]
    assert [one.number for one in log.platform[url]] == [1, 2, 3, 4]
    assert gauges.asked == [0, 5, 0]
    assert [one.at_us for one in log.gauges] == [0, 5, 0]

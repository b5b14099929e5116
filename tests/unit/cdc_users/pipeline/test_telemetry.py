"""What an instance of a platform is found to tell of itself."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from cdc_users.error import PlatformAnswerError, PlatformSilentError
from cdc_users.measure.contract import (
    ConsumerTelemetry,
    PartitionTelemetry,
    PlatformTelemetry,
)
from cdc_users.measure.latency.recorder import Recorder
from cdc_users.measure.ledger.ledger import Ledger
from cdc_users.measure.step import ProgressTelemetry, StepTelemetry
from cdc_users.measure.wire import encode
from cdc_users.pipeline.process.child_process import Child
from cdc_users.pipeline.telemetry import (
    PipelineSnapshot,
    PlatformRoutes,
    Snapshot,
    StepSnapshot,
    begin,
    merged_progress,
    merged_snapshot,
    merged_steps,
    read_snapshot,
    routes_of,
    witnessed,
)

EMPTY = b"{}"
PROGRESS = b'{"steps": {}, "fences": []}'
LEDGER = encode(Ledger().arrivals().encode())


@contextmanager
def platform(answers: Mapping[str, tuple[int, bytes]]) -> Iterator[str]:
    """A platform's telemetry that answers so; 404 to everything else. Gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, body = answers.get(self.path.partition("?")[0], (404, b""))
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def child(ready: str, tmp_path: Path) -> Child:
    process = subprocess.Popen(["true"], text=True)
    process.wait()
    return Child("platform-1", process, ready, tmp_path / "platform.log")


def ready_at(url: str) -> str:
    return f'{{"telemetry": "{url}"}}'


def test_a_platform_without_telemetry_tells_nothing(tmp_path: Path) -> None:
    assert routes_of(child("{}", tmp_path)) == PlatformRoutes()


def test_a_route_that_is_not_there_is_left_out(tmp_path: Path) -> None:
    with platform({"/snapshot": (200, EMPTY)}) as url:
        found = routes_of(child(ready_at(url), tmp_path))
    assert found == PlatformRoutes(url, snapshot=True)


@pytest.mark.parametrize("code", [404, 405, 501])
def test_each_way_to_say_that_there_is_none_is_understood(code: int, tmp_path: Path) -> None:
    with platform({"/snapshot": (code, b"no")}) as url:
        assert routes_of(child(ready_at(url), tmp_path)) == PlatformRoutes(url)


def test_progress_and_a_ledger_make_a_tap(tmp_path: Path) -> None:
    answers = {"/progress": (200, PROGRESS), "/ledger": (200, LEDGER)}
    with platform({**answers, "/samples": (200, EMPTY)}) as url:
        found = routes_of(child(ready_at(url + "/"), tmp_path))
    assert found == PlatformRoutes(url, audits=True, samples=True)


def test_progress_without_a_ledger_is_refused(tmp_path: Path) -> None:
    with (
        platform({"/progress": (200, PROGRESS)}) as url,
        pytest.raises(PlatformAnswerError, match=r"has /progress and not /ledger"),
    ):
        routes_of(child(ready_at(url), tmp_path))


def test_an_answer_of_another_kind_is_refused_and_named(tmp_path: Path) -> None:
    with (
        platform({"/samples": (200, b'{"samples": 7}')}) as url,
        pytest.raises(PlatformAnswerError, match=r"samples") as refused,
    ):
        routes_of(child(ready_at(url), tmp_path))
    assert "docs/platform-contract.md" in str(refused.value)


def test_a_failing_route_is_not_taken_for_a_missing_one(tmp_path: Path) -> None:
    with platform({"/snapshot": (500, b"")}) as url, pytest.raises(PlatformSilentError):
        routes_of(child(ready_at(url), tmp_path))


def test_a_ready_line_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlatformAnswerError, match="as its ready line"):
        routes_of(child('{"telemetry": 7}', tmp_path))


def test_what_no_instance_tells_is_not_known() -> None:
    with platform({"/snapshot": (200, EMPTY)}) as url:
        seen = read_snapshot([url])
    assert (seen.queue_depth, seen.in_flight, seen.rss_bytes) == (None, None, None)
    assert (seen.partitions, seen.positions) == (0, {})


def test_one_instance_that_does_not_tell_makes_the_sum_unknown() -> None:
    full = PlatformTelemetry(rss_bytes=5)
    assert merged_snapshot([full, PlatformTelemetry()]).rss_bytes is None
    assert merged_snapshot([full, full]).rss_bytes == 10


def told(last_us: int, **series: int) -> StepTelemetry:
    """A step with one event, whose latency in each series is this (us)."""
    recorder = Recorder()
    for name, latency_us in series.items():
        recorder.record_many_us(name, np.array([latency_us], dtype=np.int64))
    return StepTelemetry(delivered=1, bytes=10, last_us=last_us, series=recorder.encode())


def test_instances_are_one_platform() -> None:
    steps = merged_steps([{1: told(5, queue=3)}, {1: told(9, queue=4), 2: told(1)}])

    assert (steps[1].delivered, steps[1].bytes, steps[1].last_us) == (2, 20, 9)
    assert steps[1].recorder.histogram("queue").sum_us == 7
    assert steps[2].recorder.histogram("queue").count == 0


def test_what_our_tap_saw_stands_for_the_platforms_own_word_which_is_kept() -> None:
    platform = merged_steps([{1: told(5, end_to_end=100, earliest=90, queue=3)}])
    tap = merged_steps([{1: told(8, end_to_end=700, earliest=600, queue=99)}])

    seen = witnessed(Snapshot(platform), Snapshot(tap)).steps[1]

    assert seen.last_us == 8
    assert {name: found.sum_us for name, found in seen.recorder.series.items()} == {
        "end_to_end": 700,
        "earliest": 600,
        "durable": 100,
        "queue": 3,
    }


def test_a_step_that_our_tap_has_not_seen_has_no_latency_of_the_platforms() -> None:
    platform = merged_steps([{1: told(5, end_to_end=100)}])

    recorder = witnessed(Snapshot(platform), Snapshot()).steps[1].recorder

    assert recorder.histogram("end_to_end").count == 0
    assert recorder.histogram("durable").sum_us == 100


def instance(**partitions: PartitionTelemetry) -> PlatformTelemetry:
    return PlatformTelemetry(consumer=ConsumerTelemetry(partitions=partitions))


def test_what_one_instance_does_not_know_nobody_knows() -> None:
    known = PlatformTelemetry(
        consumer=ConsumerTelemetry(queue_depth=2, in_flight=1, queue_high_water=9, errors=["no"]),
        rss_bytes=5,
    )
    both = merged_snapshot([known, PlatformTelemetry()])

    assert (both.queue_depth, both.in_flight, both.rss_bytes) == (None, None, None)
    assert (both.high_water, both.errors) == (9, ["no"])
    twice = merged_snapshot([known, known])
    assert (twice.queue_depth, twice.in_flight, twice.rss_bytes, twice.uss_bytes) == (
        4,
        2,
        10,
        None,
    )


def test_a_platform_of_no_instance_says_nothing() -> None:
    nobody = merged_snapshot([])

    assert (nobody.lag, nobody.queue_depth, nobody.high_water, nobody.paused_partitions) == (
        *(None, None, None, None),
    )
    assert (nobody.partitions, nobody.positions, nobody.delivered(1)) == (0, {}, 0)


def test_partitions_are_those_of_all_instances() -> None:
    found = merged_snapshot(
        [
            instance(a=PartitionTelemetry(durable=5, lag=2, paused=True)),
            instance(b=PartitionTelemetry(durable=None, lag=3), c=PartitionTelemetry(lag=0)),
            PlatformTelemetry(),
        ]
    )

    assert (found.partitions, found.paused_partitions, found.lag) == (3, 1, 5)
    assert found.positions == {"a": 5, "b": 0, "c": 0}
    unknown = merged_snapshot([instance(a=PartitionTelemetry(lag=2), b=PartitionTelemetry())])
    assert unknown.lag is None


def test_the_groups_offsets_go_before_the_platforms_word() -> None:
    platform = merged_snapshot([instance(a=PartitionTelemetry(lag=7))])

    assert PipelineSnapshot(platform=platform).lag == 7
    assert PipelineSnapshot(platform=platform, group_lag=0).lag == 0


def test_what_came_is_what_the_nearest_tap_of_events_saw() -> None:
    def seen(count: int) -> Snapshot:
        return Snapshot({1: StepSnapshot(delivered=count)})

    assert PipelineSnapshot(sink=seen(3)).delivered(1) == 3
    assert PipelineSnapshot(sink=seen(3), nearest=seen(8)).delivered(1) == 8
    assert PipelineSnapshot(sink=seen(3), nearest=Snapshot()).delivered(1) == 0


def test_progress_of_several_is_added_up_and_their_fences_are_one_set() -> None:
    merged = merged_progress(
        [
            ProgressTelemetry(
                steps={1: 5, 2: 1}, fences=[7], fenced_partitions=[0], fence_places=[(7, 0)]
            ),
            ProgressTelemetry(
                steps={1: 4}, fences=[7, 8], fenced_partitions=[1], fence_places=[(8, 1)]
            ),
        ]
    )

    assert merged.delivered == {1: 9, 2: 1}
    assert (merged.fences, merged.fenced_partitions) == ({7, 8}, {0, 1})
    assert merged.fence_places == {7: 0, 8: 1}
    assert merged_progress([]).fences == set()


def test_a_held_platform_is_let_go_by_its_token() -> None:
    asked: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append((self.path, self.headers.get("Authorization")))
            self.send_response(204 if self.headers.get("Authorization") == "Bearer t" else 403)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        begin([url, url], "t")
        with pytest.raises(PlatformSilentError) as told:
            begin([url], "other")
        server.shutdown()
        thread.join()

    assert asked == [("/begin", "Bearer t")] * 2 + [("/begin", "Bearer other")]
    assert str(told.value) == (
        f"the platform's telemetry does not answer at {url}/begin: HTTPError"
    )

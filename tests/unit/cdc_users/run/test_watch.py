"""What the watch keeps of each second belongs to the step whose load it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
from locust.env import Environment

from cdc_users.error import TargetError
from cdc_users.measure.latency.recorder import Recorder
from cdc_users.pipeline.telemetry import PipelineSnapshot, Snapshot, StepSnapshot
from cdc_users.run.watch import Load, Recent, Watch, lag_of

pytestmark = pytest.mark.gevent


def load(number: int, sent: int) -> Load:
    return Load(
        "500-per-s", number, "500-per-s", sent, sent, sent, failed=0, sent=sent, drain=False
    )


def seen(**delivered: int) -> PipelineSnapshot:
    steps = {int(number[1:]): StepSnapshot(delivered=count) for number, count in delivered.items()}
    return PipelineSnapshot(sink=Snapshot(steps=steps))


def test_steps_of_one_name_keep_their_looks_apart() -> None:
    loads = iter([load(1, 10), load(1, 20), load(2, 5)])
    looks = iter([seen(_1=10), seen(_1=18), seen(_1=20, _2=3)])
    watch = Watch(Environment(), lambda: next(loads))
    watch.start(lambda: next(looks))
    watch.resume()

    for _ in range(2):
        watch.note()
    watch.stop()

    counted = {
        number: [(look.sent, look.delivered) for look in found]
        for number, found in watch.looks.items()
    }
    assert counted == {1: [(10, 10), (20, 18)], 2: [(5, 3)]}


def test_a_clock_that_is_set_and_set_back_is_told_with_the_worst_of_it() -> None:
    watch = Watch(Environment(), lambda: None)
    anchor = watch.anchor
    watch.start(PipelineSnapshot)
    for moved_ms in (0, 3_000, -200, 0):
        watch.anchor = replace(anchor, wall_us=anchor.wall_us - moved_ms * 1000)
        watch.note()
    watch.stop()

    assert watch.clock_step_ms() == pytest.approx(3_000, abs=50)


def test_a_lag_of_what_has_been_delivered_is_none() -> None:
    assert lag_of(197, 0) == 0
    assert lag_of(197, 500) == 197
    assert lag_of(None, 5) is None


def test_what_is_silent_is_not_waited_for_once_more_at_the_end() -> None:
    asked: list[str] = []

    def read() -> PipelineSnapshot:
        asked.append("look")
        raise TargetError("no answer")

    watch = Watch(Environment(), lambda: None)
    watch.start(read)
    watch.note()
    watch.stop()

    assert asked == ["look"]


def test_what_was_sent_is_heard_after_the_look_and_never_less_than_what_has_come() -> None:
    asked: list[str] = []

    def sent() -> Load:
        asked.append("load")
        return load(1, 18)

    def read() -> PipelineSnapshot:
        asked.append("look")
        return seen(_1=20)

    watch = Watch(Environment(), sent, lambda: asked.append("hear"))
    watch.start(read)
    watch.resume()
    watch.note()

    (moment,) = watch.moments
    assert asked == ["look", "hear", "load"]
    assert (moment.sent, moment.delivered, moment.backlog) == (20, 20, 0)
    watch.stop()


def recorder(*latencies_us: int) -> Recorder:
    made = Recorder()
    for latency_us in latencies_us:
        made.histogram("sink_write").record_us(latency_us)
    return made


@pytest.mark.parametrize(
    ("now", "came"),
    [
        (recorder(1000, 2000, 4000), 1),
        (recorder(8000), 1),
        (recorder(8000, 8000, 9000), 3),
        (Recorder(), 0),
    ],
    ids=["goes on", "was started again", "was started again and has more by now", "is away"],
)
def test_what_came_is_never_less_than_nothing_though_a_platform_counts_from_zero(
    now: Recorder, came: int
) -> None:
    assert Recent(now, recorder(1000, 2000)).histogram("sink_write").count == came


@pytest.mark.parametrize(
    ("now", "mean_ms"),
    [(recorder(1000, 2000, 4000), 4.0), (recorder(8000), 8.0), (Recorder(), None)],
)
def test_a_mean_is_of_what_came(now: Recorder, mean_ms: float | None) -> None:
    assert Recent(now, recorder(1000, 2000)).mean_ms("sink_write") == mean_ms

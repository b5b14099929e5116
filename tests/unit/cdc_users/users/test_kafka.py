"""The Kafka user's bookkeeping: every arrival is accounted for, whatever became of its records."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import gevent
import pytest
from gevent.pool import Group
from locust.env import Environment
from msgspec.structs import replace

from cdc_users.measure.clock import new_anchor
from cdc_users.measure.schedule.plan import Schedule
from cdc_users.users import kafka
from cdc_users.users.carried import carried
from cdc_users.users.kafka import KafkaUser, Logbook, RecordSender
from cdc_users.users.lane import Assignment, LanePool, Share
from cdc_users.users.producer.in_flight import ChangeFlight, Flight, PipelinedWriter
from cdc_users.users.producer.topic_schemas import Channel
from cdc_users.users.target import TopicTarget
from cdc_users.users.workload.workload import Workload
from infra.stack.servers.port import free_ports

pytestmark = pytest.mark.gevent

ANCHOR = new_anchor()
NOBODY = f"127.0.0.1:{free_ports(1)[0]}"


class Producing(KafkaUser):
    abstract = True


def share_of(count: int) -> Share:
    channel = Channel("cdc.nowhere.customers", 1, 1_000_000, 4, 5)
    assignment = Assignment(
        run="abcd1234",
        step=1,
        t0_us=ANCHOR.now_us(),
        schedule=Schedule.volume(count),
        share=0,
        shares=1,
        first_lane=0,
        rows_per_arrival=1,
        anchor=ANCHOR,
        target=TopicTarget(bootstrap=NOBODY, schema_registry_url="", channels=(channel,)),
        workload=Workload(mix=(60, 30, 10)),
    )
    return Share(assignment, ANCHOR)


@pytest.fixture
def requests() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def environment(requests: list[dict[str, Any]]) -> Any:
    made: Any = Environment()
    made.events.request.add_listener(lambda **request: requests.append(request))
    return made


def test_a_batch_is_one_event_with_its_count_and_one_for_each_cause_of_failure(
    environment: Any, requests: list[dict[str, Any]]
) -> None:
    share = share_of(4)
    writer = PipelinedWriter("abcd1234", 10_001, Workload())
    logbook = Logbook(share, writer, environment)
    flight = ChangeFlight(logbook)
    for _ in range(4):
        flight.add(writer.transaction(1, 1), ANCHOR.monotonic_ns_at(share.assignment.t0_us))
    logbook.depart(flight)
    for index in range(4):
        flight.depart(ANCHOR.monotonic_ns_at(ANCHOR.now_us()), 100)
        if index == 2:
            flight.fail(index, "unknown", "_MSG_TIMED_OUT")
        else:
            flight.acknowledge(index)

    logbook.landed(flight)
    logbook.wait()

    tally = share.tally
    assert (tally.completed, tally.failed, tally.rows, tally.bytes) == (3, 1, 3, 400)
    assert tally.errors == {"_MSG_TIMED_OUT": 1}
    assert writer.ranges.runs == {"acked": [[1, 2], [4, 4]], "unknown": [[3, 3]]}
    assert [(event["response_length"], str(event["exception"] or "")) for event in requests] == [
        (3, ""),
        (1, "_MSG_TIMED_OUT"),
    ]
    assert share.recorder.histogram("response").count == share.recorder.histogram("ack").count == 3


def test_a_lane_that_is_killed_leaves_no_arrival_without_an_outcome(environment: Any) -> None:
    share = share_of(250)
    user = Producing(environment)
    running = gevent.spawn(user._run_step, share)
    while share.tally.started < 250:
        gevent.sleep(0.01)
    running.kill()

    assert share.done.is_set()
    runs = share.ranges[10_000].runs
    assert "acked" not in runs
    assert share.tally.failed == 250
    # Every sequence that was made has an outcome, and none has two.
    told = sorted(
        number
        for spans in runs.values()
        for first, last in spans
        for number in range(first, last + 1)
    )
    assert told == list(range(1, len(told) + 1))
    assert told
    carried(environment, RecordSender).look()


class SlowProducer:
    """Takes every flight, and acknowledges its records a while later."""

    ANSWER_S = 0.05

    def __init__(self, *_: Any, **__: Any) -> None:
        self.channels: Sequence[Channel] = ()
        self._flights: deque[tuple[float, Flight]] = deque()

    @property
    def flying(self) -> int:
        return len(self._flights)

    def push(self, flight: Flight) -> bool:
        for _ in range(len(flight)):
            flight.depart(time.monotonic_ns(), 100)
        self._flights.append((time.monotonic() + self.ANSWER_S, flight))
        return True

    def poll(self, _: float) -> list[Flight]:
        landed = []
        while self._flights and self._flights[0][0] <= time.monotonic():
            landed.append(self._flights.popleft()[1])
            for index in range(len(landed[-1])):
                landed[-1].acknowledge(index)
        return landed


def test_a_lane_that_is_to_go_waits_for_what_it_has_on_its_way_and_leaves_the_rest_to_others(
    environment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "AvroProducer", SlowProducer)
    pool = carried(environment, LanePool)
    paced = replace(share_of(1).assignment, schedule=Schedule.constant(500, 1))
    share = pool.publish(paced, ANCHOR)
    assert share is not None
    group, leaver, stayer = Group(), Producing(environment), Producing(environment)
    for user in (leaver, stayer):
        user.start(group)
    while share.tally.started < 100:
        gevent.sleep(0.001)

    leaver.stop(force=True)
    assert leaver._greenlet is not None
    leaver._greenlet.join()

    assert not share.done.is_set()
    assert share.done.wait(10)
    assert (share.tally.started, share.tally.completed, share.tally.failed) == (500, 500, 0)
    assert all(set(ranges.runs) <= {"acked"} for ranges in share.ranges.values())
    group.kill()


class EvolvingProducer(SlowProducer):
    """Can have a column added to its topics."""

    def __init__(self, _: str, channels: Sequence[Channel], *__: Any, **___: Any) -> None:
        super().__init__()
        self.channels = channels

    def evolve(self, _: str, column: str) -> None:
        self.channels = [dataclasses.replace(channel, added=column) for channel in self.channels]

    def flush(self, _: float) -> None:
        pass


def test_a_column_that_one_run_has_added_is_not_yet_there_in_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """GIVEN two runs of one process that write to one topic of the user's own."""
    monkeypatch.setattr(kafka, "AvroProducer", EvolvingProducer)
    target, sender = share_of(1).assignment.target, RecordSender()
    assert isinstance(target, TopicTarget)

    first = sender.use("aaaaaaaa", target, ANCHOR)
    sender.evolve("")
    assert sender.use("aaaaaaaa", target, ANCHOR) is first
    assert sender.evolved, "of the run's steps, the later ones have the column from the start"

    assert sender.use("bbbbbbbb", target, ANCHOR) is not first
    assert not sender.evolved


def test_another_topic_has_a_producer_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "AvroProducer", EvolvingProducer)
    target, sender = share_of(1).assignment.target, RecordSender()
    assert isinstance(target, TopicTarget)

    first = sender.use("aaaaaaaa", target, ANCHOR)
    assert sender.use("aaaaaaaa", replace(target, headers=True), ANCHOR) is not first

"""The Kafka user's bookkeeping: every arrival is accounted for, whatever became of its records."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from locust.env import Environment

from cdc_users.channel import Channel
from cdc_users.flight import ChangeFlight, PipelinedWriter
from cdc_users.measure.clock import new_anchor
from cdc_users.measure.plan import Schedule
from cdc_users.users.kafka import SENDER, KafkaUser, Logbook
from cdc_users.users.lane import Assignment, Share
from cdc_users.workload import Workload
from infra.stack.port import free_ports

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
        schedule=Schedule.volume(count).to_json(),
        share=0,
        shares=1,
        first_lane=0,
        rows_per_arrival=1,
        anchor=ANCHOR.to_json(),
        target={"bootstrap": NOBODY, "schema_registry_url": "", "channels": [channel.to_json()]},
        workload=Workload(mix=(60, 30, 10)).to_json(),
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
    lane = gevent.spawn(user._run_step, share, 1)
    while share.tally.started < 250:
        gevent.sleep(0.01)
    lane.kill()

    assert share.done.is_set()
    runs = share.ranges[10_001].runs
    assert "acked" not in runs
    assert share.tally.failed == 250
    # Every sequence that was made has an outcome, and none has two.
    told = sorted(number for spans in runs.values() for first, last in spans for number in range(first, last + 1))
    assert told == list(range(1, len(told) + 1))
    assert told
    SENDER.look()

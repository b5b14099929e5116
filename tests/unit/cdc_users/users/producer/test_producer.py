"""What the producer does without a broker: it never waits, never guesses, and loses no outcome."""

from __future__ import annotations

import time

import pytest

from cdc_users.error import TargetError
from cdc_users.measure.clock import new_anchor
from cdc_users.users.producer.in_flight import ChangeFlight
from cdc_users.users.producer.producer import AvroProducer, SendOptions
from cdc_users.users.producer.topic_schemas import Channel
from cdc_users.users.workload.workload import Workload, Writer
from infra.stack.servers.port import free_ports

ANCHOR = new_anchor()
NOBODY = f"127.0.0.1:{free_ports(1)[0]}"


def channel(max_message_bytes: int = 1_000_000) -> Channel:
    return Channel("cdc.nowhere.customers", 1, max_message_bytes, 4, 5)


def flight_of(count: int, row_bytes: int = 0) -> ChangeFlight:
    writer = Writer("abcd1234", 10_001, Workload(row_bytes=row_bytes))
    flight = ChangeFlight()
    for _ in range(count):
        flight.add(writer.transaction(1, ANCHOR.now_us()), 0)
    return flight


def test_a_full_queue_is_said_and_counted_and_the_rest_is_kept() -> None:
    producer = AvroProducer(NOBODY, [channel()], ANCHOR, SendOptions(queue_records=10))
    flight = flight_of(25)

    assert not producer.push(flight)
    assert not producer.push(flight)
    assert (flight.sent, producer.figures.queue_full, producer.figures.records) == (10, 2, 10)
    flight.give_up("the test is over")
    assert producer.poll() == [flight]


def test_without_an_answer_nothing_is_acknowledged() -> None:
    producer = AvroProducer(NOBODY, [channel()], ANCHOR)
    flight = flight_of(3)
    assert producer.push(flight)
    assert producer.poll() == []

    (landed,) = producer.flush(0.1)

    assert landed is flight
    # Still in the local queue, so certainly in no topic.
    assert list(landed.runs()) == [("failed", 1, 3)]
    assert (producer.figures.acked, producer.figures.failed, producer.figures.unknown) == (0, 3, 0)


def test_a_record_without_an_answer_in_time_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdc_users.users.producer.producer.GIVE_UP_S", 0.2)
    producer = AvroProducer(NOBODY, [channel()], ANCHOR)
    flight = flight_of(3)
    assert producer.push(flight)

    deadline_s = time.monotonic() + 60
    while not (landed := producer.poll(0.1)):
        assert time.monotonic() < deadline_s, "the client never gave up"

    assert landed == [flight]
    assert list(flight.runs()) == [("unknown", 1, 3)]
    assert producer.figures.unknown == 3


def test_a_record_that_is_too_large_fails_alone_and_its_size_is_told() -> None:
    producer = AvroProducer(NOBODY, [channel(max_message_bytes=2000)], ANCHOR)
    flight = flight_of(1)
    flight.add(Writer("abcd1234", 10_002, Workload(row_bytes=3000)).transaction(1, 1), 0)

    assert producer.push(flight)

    assert list(flight.failures) == [1]
    outcome, cause = flight.failures[1]
    assert outcome == "failed"
    size = int(cause.split()[3])
    assert 3000 < size < 4000
    assert producer.figures.records == 1
    flight.give_up("the test is over")


def test_nobody_at_the_address_is_said_with_what_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdc_users.users.producer.topic_schemas.REACH_S", 0.2)

    with pytest.raises(TargetError, match=f"Kafka does not answer at {NOBODY}") as caught:
        AvroProducer.open(NOBODY, "http://127.0.0.1:1", ["cdc.nowhere.customers"], ANCHOR)

    assert caught.value.exit_code == 3

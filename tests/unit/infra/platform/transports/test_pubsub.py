"""Pub/Sub: patience is for a key that stands still, and nothing overtakes what failed before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future

import pytest
from google.api_core.exceptions import PermissionDenied

from infra.platform.transports import pubsub
from infra.platform.transports.partition import partition
from infra.platform.transports.pubsub import MESSAGE_BYTES, REQUEST_BYTES, PubSubWalPublisher
from infra.platform.transports.transport import PublishRefusedError, Record, TransportError
from tests.unit.infra.platform.transports.cloud_double import Fault, PubSubDouble, never

STREAM = "orders"
TOPIC = f"projects/p/topics/{STREAM}"


class Clock:
    """Goes on by what is slept, and by what a publish takes until it is known to have failed."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []

    def sleep(self, pause_s: float) -> None:
        self.slept.append(pause_s)
        self.now_s += pause_s


class Slow(PubSubDouble):
    """Each publish takes so long to fail or not."""

    def __init__(self, clock: Clock, takes_s: float, fault: Fault) -> None:
        super().__init__([TOPIC], fault=fault)
        self._clock, self._takes_s = clock, takes_s

    def publish(self, topic: str, data: bytes, ordering_key: str = "") -> Future[str]:
        self._clock.now_s += self._takes_s
        return super().publish(topic, data, ordering_key)


def publisher_of(
    clock: Clock, fault: Fault = never, takes_s: float = 0.0, partitions: int = 1
) -> tuple[PubSubWalPublisher, Slow]:
    double = Slow(clock, takes_s, fault)
    return (
        PubSubWalPublisher(
            double,
            "p",
            partitions=partitions,
            sleep=clock.sleep,
            clock=lambda: clock.now_s,
        ),
        double,
    )


def records(count: int, key: Callable[[int], bytes] = lambda _: b"k") -> Sequence[Record]:
    return [Record(STREAM, key(number), b"%d" % number) for number in range(count)]


def test_a_key_that_stays_failed_ends_in_an_error_that_says_for_how_long() -> None:
    clock = Clock()
    publisher, _ = publisher_of(clock, fault=lambda _: True)
    publisher.publish(records(3))

    with pytest.raises(TransportError, match=rf"{TOPIC}' has failed for 6\d s \(Service"):
        publisher.flush()

    assert 60.0 <= clock.now_s < 63.0
    assert max(clock.slept) <= pubsub.MOST_WAIT_S
    assert "ServiceUnavailable" in publisher.trouble


def test_the_time_that_a_dead_service_takes_to_fail_counts_as_waiting() -> None:
    clock = Clock()
    publisher, _ = publisher_of(clock, fault=lambda _: True, takes_s=20.0)
    publisher.publish(records(1))

    with pytest.raises(TransportError):
        publisher.flush()

    assert len(clock.slept) == 3


def test_a_service_that_takes_long_and_then_fails_once_is_asked_again() -> None:
    """What came before the first failure is no failing."""
    clock = Clock()
    publisher, double = publisher_of(clock, fault=lambda tried: tried == 0, takes_s=600.0)
    publisher.publish(records(1))
    publisher.flush()

    assert len(double.taken[TOPIC]) == 1
    assert publisher.trouble == ""


def test_each_message_that_gets_through_renews_the_patience() -> None:
    """Of every message the first attempts fail, longer in sum than anybody is patient."""
    clock, failures = Clock(), 20
    publisher, double = publisher_of(clock, fault=lambda tried: tried % failures != failures - 1)
    publisher.publish(records(5))
    publisher.flush()

    assert [data for _, data in double.taken[TOPIC]] == [b"%d" % number for number in range(5)]
    assert clock.now_s > 60.0
    assert publisher.trouble == ""


def test_one_failure_is_no_trouble_and_two_in_a_row_are_until_it_is_over() -> None:
    clock = Clock()
    publisher, _ = publisher_of(clock, fault=lambda tried: tried < 3)
    shown: list[str] = []
    sleep = clock.sleep

    def looked(pause_s: float) -> None:
        shown.append(publisher.trouble)
        sleep(pause_s)

    publisher._sleep = looked
    publisher.publish(records(1))
    publisher.flush()

    assert [bool(text) for text in shown] == [False, True, True]
    assert publisher.trouble == ""


def test_what_does_not_pass_is_raised_at_once_by_name() -> None:
    clock = Clock()
    publisher, double = publisher_of(clock)
    refused: Future[str] = Future()
    refused.set_exception(PermissionDenied("made up"))  # type: ignore[no-untyped-call]
    double.publish = lambda *_, **__: refused  # type: ignore[method-assign]
    publisher.publish(records(1))

    with pytest.raises(PublishRefusedError, match="PermissionDenied"):
        publisher.flush()
    assert clock.slept == []


def test_a_failure_of_one_key_leaves_the_others_alone() -> None:
    clock = Clock()
    publisher, double = publisher_of(clock, fault=lambda tried: tried == 0, partitions=16)
    sent = records(100, key=lambda number: b"%d" % number)
    publisher.publish(sent)
    publisher.flush()

    for name in {key for key, _ in double.taken[TOPIC]}:
        mine = [record.data for record in sent if partition(record.key, 16) == int(name)]
        assert [data for key, data in double.taken[TOPIC] if key == name] == mine
    assert publisher.resumed == 1
    assert publisher.published == 100


@pytest.mark.parametrize(("partitions", "names"), [(1, {"0"}), (10, set("0123456789"))])
def test_lanes_are_named_with_as_many_digits_as_the_last_has(
    partitions: int, names: set[str]
) -> None:
    publisher, double = publisher_of(Clock(), partitions=partitions)
    publisher.publish(records(200, key=lambda number: b"%d" % number))
    publisher.flush()

    assert {key for key, _ in double.taken[TOPIC]} == names


def test_eleven_lanes_have_two_digits() -> None:
    publisher, double = publisher_of(Clock(), partitions=11)
    publisher.publish(records(300, key=lambda number: b"%d" % number))
    publisher.flush()

    assert {key for key, _ in double.taken[TOPIC]} == {f"{number:02d}" for number in range(11)}


@pytest.mark.parametrize(("more", "refused"), [(0, False), (1, True)])
def test_a_message_is_refused_beyond_its_limit_and_not_at_it(more: int, refused: bool) -> None:
    publisher, _ = publisher_of(Clock())
    record = Record(STREAM, b"key", bytes(MESSAGE_BYTES - REQUEST_BYTES + more))

    assert bool(publisher.refusal(record)) is refused


def test_what_is_under_way_is_bounded_in_messages_and_in_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pubsub, "UNDER_WAY", 10)
    monkeypatch.setattr(pubsub, "UNDER_WAY_BYTES", 100)
    publisher, _ = publisher_of(Clock())
    publisher.publish(records(9))
    assert publisher.published == 0

    publisher.publish(records(1))
    assert publisher.published == 10

    publisher.publish([Record(STREAM, b"k", bytes(99))])
    assert publisher.published == 10

    publisher.publish([Record(STREAM, b"k", bytes(1))])
    assert publisher.published == 12


def test_closing_flushes_before_the_client_is_stopped() -> None:
    publisher, double = publisher_of(Clock())
    publisher.publish(records(3))
    publisher.close()

    assert double.stopped
    assert publisher.published == 3

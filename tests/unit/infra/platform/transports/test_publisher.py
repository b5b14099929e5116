"""One contract for all publishers: after a flush everything is there, once, and each key's records
are in order.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from infra.platform.process.error import RetryableError
from infra.platform.transports import kafka as kafka_module
from infra.platform.transports.kafka import KafkaWalPublisher
from infra.platform.transports.kinesis import KinesisWalPublisher, partition_key
from infra.platform.transports.pubsub import PubSubWalPublisher
from infra.platform.transports.transport import (
    PublishRefusedError,
    Record,
    TransportError,
    UnreachableError,
    WalPublisher,
    backoff_s,
)
from tests.unit.infra.platform.transports.cloud_double import (
    Fault,
    KafkaDouble,
    KinesisDouble,
    PubSubDouble,
    never,
)

STREAM = "orders"
TOPIC = f"projects/p/topics/{STREAM}"


def no_sleep(_: float) -> None:
    """Backing off is decided by counts here, not by time."""


class Rig:
    """A publisher, and what its service has taken, in the service's order."""

    def __init__(
        self, publisher: WalPublisher, taken: Callable[[], Sequence[tuple[Any, bytes]]]
    ) -> None:
        self.publisher = publisher
        self._taken = taken

    def data(self) -> list[bytes]:
        return [data for _, data in self._taken()]


def kinesis(fault: Fault = never, throttle: Fault = never) -> Rig:
    double = KinesisDouble([STREAM], fault=fault, throttle=throttle)
    return Rig(KinesisWalPublisher(double, sleep=no_sleep), lambda: double.taken[STREAM])


def pubsub(fault: Fault = never, _: Fault = never) -> Rig:
    double = PubSubDouble([TOPIC], fault=fault)
    return Rig(PubSubWalPublisher(double, "p", sleep=no_sleep), lambda: double.taken[TOPIC])


def kafka(_: Fault = never, __: Fault = never) -> Rig:
    double = KafkaDouble()
    return Rig(KafkaWalPublisher(double), lambda: double.taken.get(STREAM, []))


ALL = pytest.mark.parametrize("make", [kinesis, pubsub, kafka])
RETRYING = pytest.mark.parametrize("make", [kinesis, pubsub])


def records(count: int, keys: int, seed: int = 1) -> list[Record]:
    """Numbered records over some keys; the data are key:number."""
    chance = random.Random(seed)
    versions = [0] * keys
    made = []
    for _ in range(count):
        key = chance.randrange(keys)
        versions[key] += 1
        made.append(Record(STREAM, b"%d" % key, b"%d:%d" % (key, versions[key])))
    return made


def by_key(data: Sequence[bytes]) -> dict[bytes, list[int]]:
    found: dict[bytes, list[int]] = {}
    for item in data:
        key, version = item.split(b":")
        found.setdefault(key, []).append(int(version))
    return found


def assert_all_once_and_in_order(sent: Sequence[Record], data: Sequence[bytes]) -> None:
    assert sorted(data) == sorted(record.data for record in sent)
    assert by_key(data) == by_key([record.data for record in sent])


@ALL
def test_after_a_flush_everything_is_there_once_and_in_order(make: Callable[..., Rig]) -> None:
    rig = make()
    sent = records(5_000, keys=700)

    for start in range(0, len(sent), 300):
        rig.publisher.publish(sent[start : start + 300])
    rig.publisher.flush()

    assert_all_once_and_in_order(sent, rig.data())


@ALL
def test_one_hot_key_keeps_its_order(make: Callable[..., Rig]) -> None:
    rig = make()
    sent = records(300, keys=1)

    rig.publisher.publish(sent)
    rig.publisher.flush()

    assert rig.data() == [record.data for record in sent]


@ALL
def test_flushing_nothing_returns(make: Callable[..., Rig]) -> None:
    rig = make()

    rig.publisher.flush()

    assert rig.data() == []


@ALL
def test_closing_flushes(make: Callable[..., Rig]) -> None:
    rig = make()
    sent = records(10, keys=3)

    rig.publisher.publish(sent)
    rig.publisher.close()

    assert_all_once_and_in_order(sent, rig.data())


@RETRYING
@pytest.mark.parametrize("seed", range(5))
def test_refused_records_are_sent_again_without_reordering_a_key(
    make: Callable[..., Rig], seed: int
) -> None:
    chance = random.Random(seed)
    rig = make(lambda _: chance.random() < 0.3)
    sent = records(600, keys=40, seed=seed)

    rig.publisher.publish(sent)
    rig.publisher.flush()

    assert_all_once_and_in_order(sent, rig.data())


def test_throttled_calls_are_repeated_after_growing_pauses() -> None:
    pauses: list[float] = []
    double = KinesisDouble([STREAM], throttle=lambda call: call <= 6)
    publisher = KinesisWalPublisher(double, sleep=pauses.append)
    sent = records(600, keys=600)

    publisher.publish(sent)
    publisher.flush()

    assert_all_once_and_in_order(sent, [data for _, data in double.taken[STREAM]])
    assert publisher.throttled == 6
    assert len(pauses) == 6
    assert pauses[5] > pauses[0]


def test_a_stream_that_refuses_for_good_ends_in_an_error_that_says_so() -> None:
    slept: list[float] = []
    publisher = KinesisWalPublisher(
        KinesisDouble([STREAM], fault=lambda _: True),
        patience_s=5.0,
        sleep=slept.append,
        clock=lambda: sum(slept),
    )
    publisher.publish([Record(STREAM, b"%d" % key, b"") for key in range(3)])

    with pytest.raises(
        TransportError, match=r"has taken none of 3 records .* raise the number of its shards"
    ):
        publisher.flush()

    assert 5.0 <= sum(slept) < 8.0


def test_the_time_that_a_dead_service_takes_for_each_call_counts_as_waiting() -> None:
    now_s = [0.0]

    class Dead:
        def put_records(self, **_: object) -> None:
            now_s[0] += 20.0
            raise ReadTimeoutError(endpoint_url="http://127.0.0.1:1/")

    publisher = KinesisWalPublisher(Dead(), patience_s=60.0, sleep=no_sleep, clock=lambda: now_s[0])
    publisher.publish([Record(STREAM, b"1", b"")])

    with pytest.raises(TransportError, match=r"for 60 s \(ReadTimeoutError\); see whether"):
        publisher.flush()
    assert publisher.calls == 3
    assert "ReadTimeoutError" in publisher.trouble


def test_a_call_holds_at_most_five_mebibytes() -> None:
    double = KinesisDouble([STREAM])
    publisher = KinesisWalPublisher(double)
    big = bytes(900_000)

    publisher.publish([Record(STREAM, b"%d" % number, big) for number in range(12)])
    publisher.flush()

    assert double.calls == [5, 5, 2]


def test_a_key_is_in_a_call_at_most_once() -> None:
    double = KinesisDouble([STREAM])
    publisher = KinesisWalPublisher(double)

    publisher.publish(
        [Record(STREAM, key, b"%d" % number) for number, key in enumerate([b"a", b"b", b"a", b"a"])]
    )
    publisher.flush()

    assert double.calls == [2, 1, 1]


@pytest.mark.parametrize(
    ("make", "limit", "said"),
    [
        (lambda: KinesisWalPublisher(KinesisDouble([STREAM])), 1 << 20, "over Kinesis' limit"),
        (lambda: PubSubWalPublisher(PubSubDouble([TOPIC]), "p"), 10_000_000, "Pub/Sub's limit"),
        (
            lambda: KafkaWalPublisher(KafkaDouble(), {STREAM: 50_000, "other": 9}),
            50_000,
            "max.message.bytes=50000",
        ),
    ],
)
def test_a_record_over_the_limit_is_refused_with_the_limit(
    make: Callable[[], WalPublisher], limit: int, said: str
) -> None:
    publisher = make()

    assert said in publisher.refusal(Record(STREAM, b"a", bytes(limit + 1)))
    assert publisher.refusal(Record(STREAM, b"a", bytes(limit - 4_000))) == ""
    assert publisher.limit_bytes < limit


def test_large_records_are_sent_before_they_fill_the_memory() -> None:
    """By count alone 2,000 records of a megabyte would wait for a call."""
    kinesis_double, pubsub_double = KinesisDouble([STREAM]), PubSubDouble([TOPIC])
    publishers: list[WalPublisher] = [
        KinesisWalPublisher(kinesis_double),
        PubSubWalPublisher(pubsub_double, "p"),
    ]
    large = bytes(1_000_000)

    for publisher in publishers:
        publisher.publish([Record(STREAM, b"%d" % number, large) for number in range(100)])

    assert len(kinesis_double.taken[STREAM]) > 75
    assert len(pubsub_double.taken[TOPIC]) == 100
    assert publishers[1].trouble == ""


@pytest.mark.parametrize(
    ("key", "expected"),
    [(b"7", "7"), ("ä".encode(), "ä"), (b"x" * 256, "x" * 256)],
)
def test_short_text_keys_are_partition_keys_as_they_are(key: bytes, expected: str) -> None:
    assert partition_key(key) == expected


@pytest.mark.parametrize("key", [b"", b"\xff\xfe", b"x" * 257])
def test_other_keys_become_hashes_of_a_fixed_length(key: bytes) -> None:
    assert len(partition_key(key)) == 64


def test_an_unknown_stream_is_named() -> None:
    kinesis_publisher = KinesisWalPublisher(KinesisDouble([]))
    kinesis_publisher.publish(records(1, keys=1))
    with pytest.raises(UnreachableError, match="no stream 'orders'; create it first"):
        kinesis_publisher.flush()

    pubsub_publisher = PubSubWalPublisher(PubSubDouble([]), "p")
    pubsub_publisher.publish(records(1, keys=1))
    with pytest.raises(
        UnreachableError, match="no topic 'projects/p/topics/orders'; create it first"
    ):
        pubsub_publisher.flush()


def test_records_with_one_ordering_key_follow_each_other_through_repeated_failures() -> None:
    failing: Iterator[bool] = iter([False, True, True, False, True] + [False] * 100)
    double = PubSubDouble([TOPIC], fault=lambda _: next(failing))
    publisher = PubSubWalPublisher(double, "p", partitions=1, sleep=no_sleep)
    sent = records(50, keys=5)

    publisher.publish(sent)
    publisher.flush()

    assert [data for _, data in double.taken[TOPIC]] == [record.data for record in sent]
    assert publisher.resumed == 3


def test_a_full_client_queue_is_waited_for() -> None:
    double = KafkaDouble(queue=10)
    publisher = KafkaWalPublisher(double)
    sent = records(95, keys=9)

    publisher.publish(sent)
    publisher.flush()

    assert [data for _, data in double.taken[STREAM]] == [record.data for record in sent]
    assert publisher.acknowledged == 95


@pytest.mark.parametrize(
    ("error", "expected"),
    [("_MSG_TIMED_OUT", TransportError), ("MSG_SIZE_TOO_LARGE", PublishRefusedError)],
)
def test_an_undelivered_record_makes_the_flush_fail(error: str, expected: type[Exception]) -> None:
    publisher = KafkaWalPublisher(KafkaDouble(fault=lambda number: number == 7, error=error))
    publisher.publish(records(10, keys=5))

    with pytest.raises(expected, match=error):
        publisher.flush()


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([{"orders": "a"}, {"orders": "a"}], ["", ""]),
        ([{"orders": "b"}], ["its id was a and is b"]),
        # A topic that is gone may only be moving to another broker.
        ([{}, {"orders": "a"}], ["", ""]),
        ([{}, {}], ["", "the topic was deleted"]),
        ([RetryableError("the broker is away"), {"orders": "b"}], ["", "made again"]),
    ],
)
def test_a_topic_that_becomes_another_one_is_told(
    monkeypatch: pytest.MonkeyPatch, answers: list[Any], told: list[str]
) -> None:
    monkeypatch.setattr(kafka_module, "WATCH_S", 0.0)
    coming = iter([{"orders": "a"}, *answers])

    def ids() -> Any:
        answer = next(coming)
        if isinstance(answer, Exception):
            raise answer
        return answer

    publisher = KafkaWalPublisher(KafkaDouble(), topic_ids=ids)

    for expected in told:
        said = publisher.moved()
        assert expected in said
        assert bool(said) == bool(expected)


def test_pauses_double_up_to_their_limit_with_jitter() -> None:
    pauses = backoff_s(0.1, 1.0, random.Random(1))

    taken = [next(pauses) for _ in range(8)]

    assert all(0.05 <= pause <= 0.1 for pause in taken[:1])
    assert all(0.5 <= pause <= 1.0 for pause in taken[4:])

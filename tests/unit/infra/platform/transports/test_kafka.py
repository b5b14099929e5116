"""Kafka: how large records may be, and what of a client's trouble ends the reader in which way."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from infra.platform.process.topic_id import WATCH_S
from infra.platform.transports.kafka import (
    DEFAULT_LIMIT_BYTES,
    KEYLESS,
    OVERHEAD_BYTES,
    KafkaWalPublisher,
    topic_limits,
)
from infra.platform.transports.transport import (
    PublishRefusedError,
    Record,
    TransportError,
    UnreachableError,
)
from tests.unit.infra.platform.transports.cloud_double import KafkaDouble
from tests.unit.infra.platform.transports.cloud_double import KafkaError as Said


@dataclass(frozen=True)
class Entry:
    """A topic's setting as the broker tells it."""

    value: str | None


def answered(what: Any) -> Future[Any]:
    """An answer, an error, or (None) nothing."""
    future: Future[Any] = Future()
    if isinstance(what, Exception):
        future.set_exception(what)
    elif what is not None:
        future.set_result(what)
    return future


@pytest.mark.parametrize(
    ("told", "limit"),
    [
        ({"max.message.bytes": Entry("2000000")}, 2_000_000),
        ({"max.message.bytes": Entry(None)}, DEFAULT_LIMIT_BYTES),
        ({"max.message.bytes": Entry("much")}, DEFAULT_LIMIT_BYTES),
        ({}, DEFAULT_LIMIT_BYTES),
        (KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)), DEFAULT_LIMIT_BYTES),
        (None, DEFAULT_LIMIT_BYTES),
    ],
    ids=["told", "hidden", "odd", "left out", "forbidden", "silent"],
)
def test_a_topic_that_does_not_tell_its_limit_has_the_brokers_default(
    monkeypatch: pytest.MonkeyPatch, told: Any, limit: int
) -> None:
    class Admin:
        def __init__(self, _: object) -> None:
            """Connects to nothing."""

        def describe_configs(self, wanted: Any, request_timeout: float) -> dict[Any, Future[Any]]:
            assert request_timeout > 0
            return {resource: answered(told) for resource in wanted}

    monkeypatch.setattr("confluent_kafka.admin.AdminClient", Admin)

    assert topic_limits("127.0.0.1:1", ["a", "b"], timeout_s=0.01) == {"a": limit, "b": limit}


def test_the_smallest_limit_is_that_of_all_and_each_topic_has_its_own() -> None:
    publisher = KafkaWalPublisher(KafkaDouble(), {"small": 10_000, "large": 5_000_000})
    big = Record("large", b"k", bytes(100_000))

    assert publisher.limit_bytes == 10_000 - OVERHEAD_BYTES
    assert publisher.refusal(big) == ""
    assert "max.message.bytes=10000" in publisher.refusal(big._replace(stream="small"))
    assert publisher.refusal(big._replace(stream="unknown")) == ""


@pytest.mark.parametrize(("more", "refused"), [(0, False), (1, True)])
def test_a_record_is_refused_beyond_its_topics_limit_and_not_at_it(
    more: int, refused: bool
) -> None:
    publisher = KafkaWalPublisher(KafkaDouble(), {"t": 10_000})
    record = Record("t", b"key", bytes(10_000 - OVERHEAD_BYTES - 3 + more))

    assert bool(publisher.refusal(record)) is refused
    assert refused or len(record.data) + len(record.key) <= publisher.limit_bytes


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("MSG_SIZE_TOO_LARGE", PublishRefusedError),
        ("TOPIC_AUTHORIZATION_FAILED", PublishRefusedError),
        ("_UNKNOWN_TOPIC", UnreachableError),
        ("_MSG_TIMED_OUT", TransportError),
    ],
)
def test_the_first_failure_is_the_cause_and_is_told_until_the_end(
    name: str, kind: type[Exception]
) -> None:
    publisher = KafkaWalPublisher(KafkaDouble())
    publisher._note(Said(name), None)
    publisher._note(Said("_PURGE_QUEUE"), None)

    asks: list[Callable[[], None]] = [
        lambda: publisher.publish([]),
        publisher.flush,
        publisher.close,
    ]
    for ask in asks:
        with pytest.raises(kind, match=name) as raised:
            ask()
        assert type(raised.value) is kind
    assert publisher.acknowledged == 0


class Produced(KafkaDouble):
    """Keeps what `produce` is given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[Any, ...]] = []

    def produce(self, *given: Any, on_delivery: Any) -> None:
        self.given.append(given)
        on_delivery(None, None)


def test_a_record_without_a_key_has_a_place_of_its_own_so_that_its_order_is_kept() -> None:
    publisher = KafkaWalPublisher(double := Produced())
    publisher.publish(
        [
            Record("t", b"", b"keyless", keyless=True),
            Record("t", b"", b"empty"),
            Record("t", b"k", b""),
        ]
    )
    publisher.flush()

    assert double.given == [
        ("t", b"keyless", None, KEYLESS),
        ("t", b"empty", b""),
        ("t", b"", b"k"),
    ]
    assert publisher.acknowledged == 3


def test_topics_are_looked_at_in_their_turn_and_not_at_every_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = [100.0]
    monkeypatch.setattr("infra.platform.transports.kafka.time.monotonic", lambda: now_s[0])
    asked: list[float] = []

    def ids() -> dict[str, str]:
        asked.append(now_s[0])
        return {"t": "one" if now_s[0] < 200 else "two"}

    publisher = KafkaWalPublisher(KafkaDouble(), topic_ids=ids)
    assert publisher.moved() == ""
    now_s[0] += WATCH_S
    assert publisher.moved() == publisher.moved() == ""
    now_s[0] = 200.0

    assert "'t'" in publisher.moved()
    assert asked == [100.0, 100.0 + WATCH_S, 200.0]

"""What cannot be delivered is put aside with cause and position, or its partition stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from infra.platform.consume import dead_letter
from infra.platform.consume.dead_letter import DeadLetterTopic, NoDeadLetters, headers
from infra.platform.process.error import EventError, RefusedError
from infra.platform.sinks.batch import Poison

Answer = Callable[[KafkaError | None], None]


def poison(
    cause: Exception | None = None, value: bytes | None = b"value", key: bytes | None = b"key"
) -> Poison:
    return Poison("cdc.public.t", 3, 41, key, value, cause or RefusedError("not this"))


class ProducerDouble:
    """Answers each message with the next of its answers; one that is "silence" never comes."""

    def __init__(self, *answers: KafkaError | str | Exception | None) -> None:
        self.produced: list[tuple[str, bytes | None, bytes | None, Any]] = []
        self.flushes: list[float] = []
        self._answers = list(answers)
        self._waiting: list[Callable[[], None]] = []

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        *,
        headers: Any,
        on_delivery: Callable[[KafkaError | None, Any], None],
    ) -> None:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        self.produced.append((topic, value, key, headers))
        if not isinstance(answer, str):
            self._waiting.append(lambda: on_delivery(answer, None))

    def flush(self, limit_s: float) -> int:
        self.flushes.append(limit_s)
        waiting, self._waiting = self._waiting, []
        for answer in waiting:
            answer()
        return 0


def topic_of(monkeypatch: pytest.MonkeyPatch, producer: ProducerDouble) -> DeadLetterTopic:
    monkeypatch.setattr(dead_letter, "Producer", lambda _: producer)
    return DeadLetterTopic("127.0.0.1:1", "dead")


def test_a_dead_letter_says_where_it_was_and_why() -> None:
    assert dict(headers(poison())) == {
        "__connect.errors.topic": b"cdc.public.t",
        "__connect.errors.partition": b"3",
        "__connect.errors.offset": b"41",
        "__connect.errors.exception.class.name": b"RefusedError",
        "__connect.errors.exception.message": b"not this",
    }


def test_a_cause_that_is_no_unicode_text_is_told_all_the_same() -> None:
    """An error may repeat a name out of a schema, and JSON can escape half a character."""
    told = dict(headers(poison(EventError("no type \ud800 \u00e4"))))

    assert told["__connect.errors.exception.message"] == "no type \\ud800 \u00e4".encode()


@pytest.mark.parametrize("value", [b"value", b"", None])
@pytest.mark.parametrize("key", [b"key", b"", None])
async def test_key_and_value_are_put_aside_as_they_came(
    monkeypatch: pytest.MonkeyPatch, key: bytes | None, value: bytes | None
) -> None:
    producer = ProducerDouble(None)
    letters = topic_of(monkeypatch, producer)

    await letters.send(poison(value=value, key=key))

    assert producer.produced == [("dead", value, key, headers(poison()))]
    assert letters.count == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), "Message size too large"),
        ("silence", "no answer"),
        (BufferError("Local: Queue full"), "Queue full"),
        (KafkaException(KafkaError(KafkaError._MSG_TIMED_OUT)), "_MSG_TIMED_OUT"),
    ],
    ids=["refused", "silent", "full", "raised"],
)
async def test_what_cannot_be_put_aside_is_not_counted_and_is_named(
    monkeypatch: pytest.MonkeyPatch, answer: Any, reason: str
) -> None:
    letters = topic_of(monkeypatch, ProducerDouble(answer, None))

    with pytest.raises(EventError, match=r"cdc\.public\.t\[3\]@41 .* 'dead'") as raised:
        await letters.send(poison())
    assert reason in str(raised.value)
    assert letters.count == 0

    await letters.send(poison())
    assert letters.count == 1


async def test_a_failure_of_one_is_not_taken_for_another_that_is_put_aside_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
    letters = topic_of(monkeypatch, ProducerDouble(*[None, refused] * 10))

    ends = await asyncio.gather(
        *[letters.send(poison()) for _ in range(20)], return_exceptions=True
    )

    assert letters.count == ends.count(None) == 10
    assert sum(isinstance(end, EventError) for end in ends) == 10


async def test_without_a_topic_the_cause_is_raised_with_the_remedy() -> None:
    letters = NoDeadLetters()

    with pytest.raises(EventError, match=r"not this; give a --dead-letter-topic") as raised:
        await letters.send(poison())

    assert isinstance(raised.value.__cause__, RefusedError)
    assert letters.count == 0


async def test_closing_waits_for_what_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    producer = ProducerDouble()
    topic_of(monkeypatch, producer).close()

    assert producer.flushes == [dead_letter.DELIVERY_S]

"""What the Kafka client says, told apart: messages, passing trouble, gaps, and an end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException

from infra.platform.consume import broker
from infra.platform.consume.broker import Watermarks, answered, chunks, orderly, usable
from infra.platform.process.error import PlatformError


@dataclass(frozen=True)
class Message:
    """What the consumer asks of a message."""

    at: int = 0
    number: int = 0
    trouble: KafkaError | None = None
    name: str = "t"
    content: bytes | None = b"v"

    def error(self) -> KafkaError | None:
        return self.trouble

    def topic(self) -> str:
        return self.name

    def partition(self) -> int:
        return self.number

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return 1, 1000 + self.at

    def value(self) -> bytes | None:
        return self.content

    def key(self) -> bytes | None:
        return None


def used(*messages: Message) -> tuple[list[Message], list[tuple[str, int]]]:
    good, overtaken = usable(cast(Any, messages))
    return list(cast(Any, good)), overtaken


def error(code: int, *, retriable: bool = False) -> KafkaError:
    return KafkaError(code, "made up", False, retriable)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    "trouble",
    [
        error(KafkaError._PARTITION_EOF),
        error(KafkaError.UNKNOWN_TOPIC_OR_PART),
        error(KafkaError._TRANSPORT, retriable=True),
    ],
    ids=str,
)
def test_trouble_that_passes_takes_no_message_with_it(trouble: KafkaError, place: int) -> None:
    messages = [Message(1), Message(2)]
    messages.insert(place, Message(9, trouble=trouble))

    assert used(*messages) == ([Message(1), Message(2)], [])


def test_trouble_that_does_not_pass_ends_it_even_behind_messages() -> None:
    with pytest.raises(PlatformError, match="made up"):
        used(Message(1), Message(2, trouble=error(KafkaError.TOPIC_AUTHORIZATION_FAILED)))


def test_a_partition_whose_next_offset_is_gone_is_told_beside_the_messages_of_others() -> None:
    gone = error(KafkaError._AUTO_OFFSET_RESET)

    good, overtaken = used(Message(1), Message(5, 3, gone), Message(2))

    assert good == [Message(1), Message(2)]
    assert overtaken == [("t", 3)]


def test_no_messages_are_no_trouble() -> None:
    assert used() == ([], [])


def test_partitions_of_one_number_in_two_topics_are_kept_apart_and_in_their_order() -> None:
    messages = [
        Message(5, 0, name="a"),
        Message(7, 0, name="b"),
        Message(6, 0, name="a"),
        Message(1, 1, name="a"),
        Message(8, 0, name="b", content=None),
    ]

    found = dict(chunks(cast(Any, messages), 99))

    assert {place: list(chunk.offsets) for place, chunk in found.items()} == {
        ("a", 0): [5, 6],
        ("b", 0): [7, 8],
        ("a", 1): [1],
    }
    assert found["b", 0].values == [b"v", None]
    assert list(found["a", 0].appended_us) == [1_005_000, 1_006_000]
    assert list(found["a", 0].polled_us) == [99, 99]


def test_messages_of_one_partition_are_one_chunk() -> None:
    ((place, chunk),) = chunks(cast(Any, [Message(3), Message(4)]), 7)

    assert place == ("t", 0)
    assert list(chunk.offsets) == [3, 4]


class Asked:
    """Answers with errors first; counts."""

    def __init__(self, *errors: int) -> None:
        self.count = 0
        self._errors = list(errors)

    def __call__(self) -> str:
        self.count += 1
        if self._errors:
            raise KafkaException(KafkaError(self._errors.pop(0)))
        return "answer"


def test_what_is_of_the_moment_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "AGAIN_S", 0.0)
    ask = Asked(KafkaError.NOT_COORDINATOR, KafkaError._TRANSPORT, KafkaError._TIMED_OUT)

    assert answered(ask, 60.0) == "answer"
    assert ask.count == 4


def test_what_is_not_of_the_moment_is_raised_at_once() -> None:
    ask = Asked(KafkaError.GROUP_AUTHORIZATION_FAILED)

    with pytest.raises(PlatformError, match="come again"):
        answered(ask, 60.0)
    assert ask.count == 1


def test_a_moment_that_lasts_longer_than_the_limit_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(broker, "AGAIN_S", 0.0)
    ask = Asked(*[KafkaError._TRANSPORT] * 1_000_000)

    with pytest.raises(PlatformError):
        answered(ask, 0.0)
    assert 1 <= ask.count < 1_000_000


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (KafkaException(KafkaError(KafkaError._FAIL, "broke")), "broke; uncommitted events"),
        (TimeoutError(), "within 7.5 s; uncommitted events"),
    ],
    ids=["Kafka", "time"],
)
def test_what_fails_in_a_handover_is_told_with_what_comes_of_it(
    raised: Exception, words: str
) -> None:
    with pytest.raises(PlatformError, match=words), orderly(7.5):
        raise raised


def test_other_errors_of_a_handover_stay_as_they_are() -> None:
    with pytest.raises(ValueError, match="mine"), orderly(1.0):
        raise ValueError("mine")


class Offsets:
    """A client that has heard of these ends; others raise."""

    def __init__(self, **ends: int) -> None:
        self.ends = ends
        self.asked = 0

    def get_watermark_offsets(self, part: Any, cached: bool) -> tuple[int, int]:
        assert cached, "the broker is not to be asked here"
        self.asked += 1
        if part.topic not in self.ends:
            raise KafkaException(KafkaError(KafkaError._STATE))
        return 0, self.ends[part.topic]


def test_ends_are_known_as_far_as_the_client_has_heard_of_them() -> None:
    watermarks = Watermarks()
    watermarks.begin([("a", 0), ("b", 0), ("c", 0)])
    assert watermarks.high == {("a", 0): None, ("b", 0): None, ("c", 0): None}

    watermarks.look(cast(Any, Offsets(a=0, b=-1001)))

    assert watermarks.high == {("a", 0): 0, ("b", 0): None, ("c", 0): None}


def test_the_client_is_asked_a_few_times_a_second_and_at_once_for_new_partitions() -> None:
    watermarks, client = Watermarks(), Offsets(a=5, b=6)
    watermarks.begin([("a", 0)])
    for _ in range(100):
        watermarks.look(cast(Any, client))
    few = client.asked

    watermarks.begin([("b", 0)])
    watermarks.look(cast(Any, client))

    assert few < 100
    assert watermarks.high == {("a", 0): 5, ("b", 0): 6}


def test_a_partition_that_has_gone_has_no_end() -> None:
    watermarks = Watermarks()
    watermarks.begin([("a", 0), ("a", 1)])
    watermarks.end([("a", 0), ("never", 7)])

    assert watermarks.high == {("a", 1): None}

"""Where partitions are read from, and what becomes of messages while they change hands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast
from unittest import mock

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from cdc_users.measure.clock import new_anchor
from infra.platform.consume.broker import ConsumerSettings
from infra.platform.consume.buffer import Buffer, PartitionQueue
from infra.platform.consume.gap import CommitNote
from infra.platform.consume.gap_log import GapLog
from infra.platform.consume.partition_reader import PartitionReader
from infra.platform.sinks.batch import Partition
from tests.unit.infra.platform.consume.kafka_double import TOPIC, KafkaDouble, Record, records

PLACE = (TOPIC, 0)


class Trouble(Record):
    """A message that says that the broker has no such offset."""

    __slots__ = ()

    def error(self) -> Any:
        return KafkaError(KafkaError._AUTO_OFFSET_RESET)


class Client(KafkaDouble):
    """A client that gives out its records without a group, and notes what it is told."""

    def __init__(self, given: Sequence[Record] = ()) -> None:
        super().__init__(given)
        self._given = True
        self.told: list[tuple[str, list[tuple[int, int]]]] = []
        self.silent = False
        #: What happens while messages are taken out of the client.
        self.meanwhile: Callable[[], object] = lambda: None

    def consume(self, room: int, wait_s: float) -> list[Record]:
        self.meanwhile()
        return super().consume(room, wait_s)

    def _note(self, what: str, partitions: Sequence[TopicPartition]) -> None:
        self.told.append((what, [(part.partition, part.offset) for part in partitions]))

    def assign(self, partitions: list[TopicPartition]) -> None:
        self._note("assign", partitions)

    def pause(self, partitions: list[TopicPartition]) -> None:
        self._note("pause", partitions)

    def resume(self, partitions: list[TopicPartition]) -> None:
        self._note("resume", partitions)

    def seek(self, partition: TopicPartition) -> None:  # type: ignore[override]
        self._note("seek", [partition])

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
        if self.silent:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return self.low, self.high


def reader_of(client: Client, *, skip: bool = False) -> tuple[PartitionReader, list[str]]:
    settings = ConsumerSettings("", "g", (TOPIC,), 10, 1000)
    failures: list[str] = []
    with mock.patch("infra.platform.consume.partition_reader.Consumer", return_value=client):
        log = GapLog(failures, skip=skip)
        return PartitionReader(settings, new_anchor(), Buffer(1000), log), failures


def begun(
    reader: PartitionReader, own: dict[Partition, int] | None = None, *, held: bool = False
) -> dict[Partition, int | None]:
    return reader.begin([TopicPartition(TOPIC, 0)], {TOPIC: "one"}, own, held=held)


def test_a_partition_that_nobody_has_read_begins_where_it_begins_now() -> None:
    client = Client()
    client.low, client.high = 4, 9
    reader, _ = reader_of(client)

    assert begun(reader) == {PLACE: None}
    assert client.told == [("assign", [(0, 4)]), ("resume", [(0, 4)])]


def test_it_goes_on_where_the_group_and_the_sink_are_and_is_held_if_asked() -> None:
    client = Client()
    client.high, client.group = 9, (5, CommitNote("one", 5).text())
    reader, _ = reader_of(client)

    assert begun(reader, {PLACE: 7}, held=True) == {PLACE: 7}
    assert client.told == [("assign", [(0, 7)]), ("pause", [(0, 7)])]


@pytest.mark.parametrize("skip", [False, True])
def test_behind_a_gap_nothing_is_read_unless_it_is_skipped(skip: bool) -> None:
    client = Client()
    client.low, client.high, client.group = 5, 9, (2, CommitNote("one").text())
    reader, failures = reader_of(client, skip=skip)

    assert begun(reader) == ({PLACE: 5} if skip else {})
    assert client.told[0] == ("assign", [(0, 5)] if skip else [])
    assert bool(failures) is not skip


def test_what_was_read_of_a_partition_that_went_meanwhile_is_the_next_owners() -> None:
    client = Client(records(3))
    reader, _ = reader_of(client)
    begun(reader)
    client.meanwhile = lambda: reader.give_up([PLACE])

    assert reader.poll(10) == []
    assert reader.polled == 3
    assert reader.high(PLACE) is None


def test_what_comes_back_within_one_poll_is_read_again_from_its_position() -> None:
    client = Client(records(2))
    client.group = (0, CommitNote("one").text())
    reader, _ = reader_of(client)
    begun(reader)

    def handed_over() -> None:
        reader.give_up([PLACE])
        reader.forget(PLACE)
        begun(reader)

    client.meanwhile = handed_over

    assert reader.poll(10) == []
    assert client.told[-1] == ("seek", [(0, 0)])


def test_all_partitions_are_given_again_where_they_are_when_one_has_met_a_gap() -> None:
    client = Client([*records(2), cast(Record, Trouble(2, b"", b""))])
    client.low, client.high = 0, 9
    reader, failures = reader_of(client, skip=True)
    begun(reader)
    reader._buffer.queues[PLACE] = queue = PartitionQueue()
    queue.paused = True
    client.low = 6

    ((place, chunk),) = reader.poll(10)

    assert (place, chunk.offsets) == (PLACE, [0, 1])
    assert client.told[-2:] == [("assign", [(0, 6)]), ("pause", [(0, -1001)])]
    assert failures == []
    assert reader.forget(PLACE) == 6


def test_a_broker_that_does_not_answer_is_asked_again_at_the_next_poll() -> None:
    client = Client([cast(Record, Trouble(0, b"", b"")), *records(1)])
    client.low, client.high = 0, 9
    reader, failures = reader_of(client)
    begun(reader)
    client.silent = True
    reader.poll(1)
    client.silent, client.low = False, 3
    reader.poll(1)

    assert len(failures) == 1
    assert "2 records are lost, offsets 1 to 2" in failures[0]


def test_nothing_is_no_message() -> None:
    reader, _ = reader_of(Client())

    assert reader.poll(10) == []
    assert reader.polled == 0

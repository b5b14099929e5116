"""Where a partition begins: every way in which its position may mean nothing any more."""

from __future__ import annotations

import asyncio

import pytest

from infra.platform.consume.gap import (
    Books,
    CommitNote,
    PartitionSpan,
    begin_at,
    read_note,
)
from infra.platform.sinks.batch import Batch
from infra.platform.sinks.connector import WriteStatus
from infra.platform.sinks.counting import CountingSink
from tests.unit.infra.platform.consume.kafka_double import TOPIC, KafkaDouble, consumer_of, records
from tests.unit.infra.platform.consume.test_consumer import END_S, until

PLACE = ("t", 0)
SPAN = PartitionSpan(500, 1000, "one")


class GatedSink(CountingSink):
    """Holds up its writes at a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.gate = asyncio.Event(), asyncio.Event()

    async def write(self, batch: Batch) -> WriteStatus:
        self.begun.set()
        await self.gate.wait()
        return await super().write(batch)


def note(written: int | None = None, topic_id: str = "one") -> CommitNote:
    return CommitNote(topic_id, written)


@pytest.mark.parametrize(
    ("books", "offset"),
    [
        (Books(), None),
        (Books(600, note()), 600),
        (Books(600, note(), None, keeps=True), 600),
        (Books(600, note(600), 600, keeps=True), 600),
        # The sink is ahead: it ended before its offsets were committed.
        (Books(600, note(600), 700, keeps=True), 700),
        (Books(None, None, 700, keeps=True), 700),
        # Behind by what never was in the sink's books: tombstones, dead letters.
        (Books(602, note(600), 600, keeps=True), 602),
        # The table was rolled back: what it no longer has comes again.
        (Books(900, note(900), 600, keeps=True), 600),
        # A tool moved the group past events that the sink never got.
        (Books(900, None, 600, keeps=True), 600),
        (Books(1000, note(1000)), 1000),
        (Books(500, note(500)), 500),
    ],
)
def test_a_partition_begins_where_nothing_is_missing(books: Books, offset: int | None) -> None:
    assert begin_at(PLACE, books, SPAN) == (offset, None)


@pytest.mark.parametrize(
    ("books", "first", "count", "resume", "words"),
    [
        (Books(100, note()), 100, 400, 500, "400 records are lost, offsets 100 to 499: retention"),
        (Books(499, note()), 499, 1, 500, "1 record is lost, offset 499"),
        (Books(None, None, 100, keeps=True), 100, 400, 500, "offsets 100 to 499"),
        # The table was dropped, or made again with rows of which nobody knows.
        (Books(900, note(900), None, keeps=True), 500, 0, 900, "knows it no longer"),
        (Books(900, note(900), 100, keeps=True), 100, 400, 500, "offsets 100 to 499"),
        (Books(1200, note()), 1000, 200, 1000, "the partition ends at 1000"),
        (Books(600, note(topic_id="zero")), 600, 0, 500, "its id was zero and is one"),
    ],
)
def test_what_is_lost_before_the_beginning_is_named_with_offsets_and_count(
    books: Books, first: int, count: int, resume: int, words: str
) -> None:
    _, gap = begin_at(PLACE, books, SPAN)

    assert gap is not None
    assert (gap.place, gap.first, gap.count, gap.resume) == (PLACE, first, count, resume)
    assert str(gap).startswith("t[0]: ")
    assert words in str(gap)
    assert "--on-gap skip" in str(gap)


def test_brokers_without_topic_ids_have_their_positions_compared_all_the_same() -> None:
    assert begin_at(PLACE, Books(600, note()), PartitionSpan(500, 1000)) == (600, None)
    assert begin_at(PLACE, Books(600, note(topic_id="")), SPAN) == (600, None)


@pytest.mark.parametrize("written", [None, 7])
def test_a_note_is_read_as_it_was_written(written: int | None) -> None:
    assert read_note(note(written).text()) == note(written)


@pytest.mark.parametrize(
    "text",
    [
        "",
        None,
        "by hand",
        "{}",
        "[1]",
        '{"topic_id": "a"}',
        "null",
        '{"topic_id": "a", "written": "x"}',
        '{"topic_id": "a", "written": Infinity}',
        '{"topic_id": "a", "written": NaN}',
        '{"topic_id": "a", "written": [1]}',
        "[" * 4096,
    ],
)
def test_what_others_commit_has_no_note(text: str | None) -> None:
    assert read_note(text) is None


async def test_a_gap_stops_its_partition_and_is_in_the_errors() -> None:
    client = KafkaDouble(records(10))
    client.low, client.high, client.group = 5, 10, (2, note().text())
    consumer = consumer_of(client, CountingSink())
    running = asyncio.create_task(consumer.run())
    await asyncio.wait_for(consumer.assigned.wait(), END_S)
    consumer.stop()
    await asyncio.wait_for(running, END_S)

    assert client.begun_at == []
    assert "3 records are lost, offsets 2 to 4" in consumer.errors[0]
    assert consumer.snapshot()["lost_records"] == 3
    assert client.committed_offsets == []


async def test_a_gap_that_is_skipped_by_option_is_counted() -> None:
    client = KafkaDouble([record for record in records(10) if record.at >= 5])
    client.low, client.high, client.group = 5, 10, (2, note().text())
    sink = CountingSink()
    consumer = consumer_of(client, sink, skip_gaps=True)
    running = asyncio.create_task(consumer.run())
    await asyncio.wait_for(sink.reached(5), END_S)
    await until(lambda: client.committed_offsets == [10])
    snapshot = consumer.snapshot()
    consumer.stop()
    await asyncio.wait_for(running, END_S)

    assert client.begun_at == [5]
    assert (snapshot["lost_records"], snapshot["skipped_records"]) == (3, 3)
    assert "offsets 2 to 4" in str(snapshot["gaps"])
    assert snapshot["errors"] == []


@pytest.mark.parametrize(("now", "words"), [("two", "made again"), ("", "was deleted")])
async def test_a_topic_that_becomes_another_while_it_is_read_stops(
    monkeypatch: pytest.MonkeyPatch, now: str, words: str
) -> None:
    monkeypatch.setattr("infra.platform.consume.consumer.WATCH_S", 0.01)
    client, sink = KafkaDouble(records(10)), CountingSink()
    consumer = consumer_of(client, sink)
    running = asyncio.create_task(consumer.run())
    await asyncio.wait_for(sink.reached(10), END_S)

    client.topic_id = now
    await until(lambda: bool(consumer.errors))
    consumer.stop()
    await asyncio.wait_for(running, END_S)

    assert words in consumer.errors[0]
    assert consumer.errors[0].startswith(f"{TOPIC}[0] stopped: ")
    assert "up to offset 10" in consumer.errors[0]


async def test_a_write_that_ends_after_its_topic_was_made_again_commits_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The offset is another event's in the new topic, and would be skipped there at the start."""
    monkeypatch.setattr("infra.platform.consume.consumer.WATCH_S", 0.01)
    client, sink = KafkaDouble(records(10)), GatedSink()
    consumer = consumer_of(client, sink)
    running = asyncio.create_task(consumer.run())
    await asyncio.wait_for(sink.begun.wait(), END_S)

    client.topic_id = "two"
    await until(lambda: bool(consumer.errors))
    sink.gate.set()
    await asyncio.wait_for(sink.reached(1), END_S)
    consumer.stop()
    await asyncio.wait_for(running, END_S)

    assert client.committed_offsets == []
    assert len(consumer.errors) == 1


async def test_a_commit_says_what_it_belongs_to() -> None:
    client, sink = KafkaDouble(records(10)), CountingSink()
    running_consumer = consumer_of(client, sink)
    running = asyncio.create_task(running_consumer.run())
    await until(lambda: client.committed_offsets == [10])
    running_consumer.stop()
    await asyncio.wait_for(running, END_S)

    assert client.group is not None
    assert read_note(client.group[1]) == CommitNote("one", 10)

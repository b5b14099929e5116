"""What the taps on streams take for an event, and what they tell of the rest."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import fastavro
import orjson
import pytest

from cdc_users.measure.clock import new_anchor
from cdc_users.measure.ledger.probe import Probe, format_probe, parse_probe
from cdc_users.observe.events.envelope import KafkaMessage
from cdc_users.observe.settings import (
    JsonTopicSettings,
    KinesisSettings,
    PubSubSettings,
    TapSettings,
)
from cdc_users.observe.tap import ObservedRecord
from cdc_users.observe.taps.json_topic import JsonTopicTap
from cdc_users.observe.taps.kinesis import KinesisTap
from cdc_users.observe.taps.pubsub import PubSubTap
from cdc_users.observe.taps.stream import StreamFeed, StreamItem, StreamReading
from tests.unit.cdc_users.measure.ledger import zoo
from tests.unit.infra.client.test_registry import saying, serving

RUN = "stream01"


def event(sequence: int, intended_us: int = 1_000) -> bytes:
    probe = format_probe(Probe(RUN, 10_001, sequence, sequence, 0, 1, 1, "i", intended_us, 0))
    return orjson.dumps(
        {
            "op": "c",
            "before": None,
            "after": {"id": sequence, "probe": probe},
            "source": {"commit_ts_us": 2_000},
        }
    )


def test_changes_are_counted_and_their_latency_is_split() -> None:
    record = ObservedRecord(RUN)
    StreamFeed(record, TapSettings()).take(
        3, [StreamItem(0, "1", event(1), 2_500), StreamItem(1, "2", event(2), 2_600)], seen_us=3_000
    )

    step = record.snapshot().steps[1]
    assert step.delivered == 2
    assert step.series["end_to_end"].sum_us == 4_000
    assert step.series["capture"].sum_us == 500 + 600


def test_what_is_no_change_is_told_and_left_out() -> None:
    record = ObservedRecord(RUN)
    items = [
        StreamItem(0, "", b"{", 1),
        StreamItem(1, "", b"[1]", 1),
        StreamItem(2, "", b'{"op":"t"}', 1),
        StreamItem(3, "", event(1), 1),
    ]
    StreamFeed(record, TapSettings()).take(0, items, seen_us=3_000)

    assert record.events == 1
    assert record.snapshot().unreadable == 2
    assert any("position 0" in error for error in record.errors)


#: JSON, and no change of a row.
UNREADABLE = {
    "no object": b"[1]",
    "a row that is a text": b'{"op": "c", "before": null, "after": "corrupt"}',
    "an operation that is a list": b'{"op": ["c"], "before": null, "after": {}}',
    "a commit time beyond 64 bits": (
        b'{"op": "c", "after": {"id": 1}, "source": {"ts_us": 18446744073709551615}}'
    ),
    "half of an object": b'{"op": "c", ',
}


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_row_costs_its_neighbours_nothing(data: bytes) -> None:
    record = ObservedRecord(RUN)
    items = [
        StreamItem(number, "", data if number == 3 else event(number), 2_500)
        for number in range(1, 8)
    ]

    StreamFeed(record, TapSettings()).take(0, items, seen_us=3_000)

    snapshot = record.snapshot()
    assert (snapshot.steps[1].delivered, snapshot.unreadable) == (6, 1)
    (error,) = snapshot.errors
    assert "(partition 0, position 3)" in error


@pytest.mark.parametrize("probe", [5, True, {"a": 1}, ["a"]])
def test_a_row_whose_probe_is_no_text_costs_its_neighbours_nothing(probe: Any) -> None:
    record = ObservedRecord(RUN)
    data = orjson.dumps({"op": "c", "before": None, "after": {"id": 2, "probe": probe}})
    items = [
        StreamItem(0, "", event(1), 1),
        StreamItem(1, "", data, 1),
        StreamItem(2, "", event(3), 1),
    ]

    StreamFeed(record, TapSettings(check_every=1)).take(0, items, seen_us=3_000)

    assert record.snapshot().steps[1].delivered == 2
    assert (record.events, record.failed) == (3, 0)


def test_a_key_beyond_64_bits_is_a_key() -> None:
    record = ObservedRecord(RUN)
    data = orjson.dumps(
        {"op": "c", "after": {"id": 2**64 - 1, "probe": orjson.loads(event(1))["after"]["probe"]}}
    )

    StreamFeed(record, TapSettings()).take(0, [StreamItem(0, "", data, 1)], seen_us=3_000)

    assert (record.events, record.failed) == (1, 0)


def test_a_read_that_fails_is_told_and_tried_again() -> None:
    record = ObservedRecord(RUN)
    steps = iter([RuntimeError("gone"), RuntimeError("gone"), True])
    reading: StreamReading

    def step() -> bool:
        outcome = next(steps, None)
        if isinstance(outcome, Exception):
            raise outcome
        reading._stop.set()
        return True

    reading = StreamReading("stream 's'", step, 0.0, record)
    reading.start()
    reading._thread.join(10)

    assert record.errors == ["stream 's' cannot be read: RuntimeError: gone"]


class Subscription:
    """Answers pulls from a list, and notes what is acknowledged."""

    def __init__(self, *pulls: list[Any]) -> None:
        self._pulls = iter(pulls)
        self.acknowledged: list[str] = []
        self.requests: list[dict[str, Any]] = []

    def pull(self, *, request: dict[str, Any], **_: Any) -> Any:
        self.requests.append(request)
        return SimpleNamespace(received_messages=next(self._pulls, []))

    def acknowledge(self, *, request: dict[str, Any]) -> None:
        self.acknowledged += request["ack_ids"]


def message(number: int, ack_id: str, data: bytes | None = None) -> Any:
    published = datetime.fromtimestamp(0, UTC)
    data = event(number) if data is None else data
    inside = SimpleNamespace(
        message_id=str(number), ordering_key="07", data=data, publish_time=published
    )
    return SimpleNamespace(ack_id=ack_id, message=inside)


def pubsub(*pulls: list[Any]) -> tuple[PubSubTap, Subscription, Callable[[], bool]]:
    tap = PubSubTap(PubSubSettings(project="p", subscription="s"), RUN, new_anchor())
    subscription = Subscription(*pulls)
    tap._client = subscription
    return tap, subscription, tap._pull


def test_what_pubsub_itself_delivers_again_is_not_a_duplicate() -> None:
    tap, subscription, pull = pubsub([message(1, "a"), message(2, "b")], [message(1, "c")])

    assert pull()
    assert pull()
    assert not pull()

    step = tap.record.snapshot().steps[1]
    assert (step.delivered, step.duplicated) == (2, 0)
    assert subscription.acknowledged == ["a", "b", "c"]
    assert tap.gauges() == {"read": {"7": 2}, "redelivered": 1}


def test_only_an_emulator_is_asked_to_answer_at_once() -> None:
    tap, subscription, pull = pubsub()
    pull()
    tap._endpoint = "127.0.0.1:1"
    pull()

    assert [request.get("return_immediately", False) for request in subscription.requests] == [
        False,
        True,
    ]


def test_a_change_that_was_published_twice_is_a_duplicate() -> None:
    tap, _, pull = pubsub([message(1, "a")])
    pull()
    again = message(1, "b")
    again.message.message_id = "another"
    tap._client = Subscription([again])
    pull()

    assert tap.record.snapshot().steps[1].duplicated == 1


CORRUPT = UNREADABLE["a row that is a text"]


def test_pubsub_takes_the_rest_of_a_pull_that_has_an_unreadable_row() -> None:
    tap, subscription, pull = pubsub([message(1, "a"), message(2, "b", CORRUPT), message(3, "c")])

    assert pull()

    assert (tap.record.events, tap.record.failed) == (2, 1)
    assert subscription.acknowledged == ["a", "b", "c"]


class Shard:
    """Answers reads of one shard, from the iterator that it is asked with."""

    def __init__(self, *rows: bytes) -> None:
        self._rows = rows

    def get_records(self, **request: Any) -> dict[str, Any]:
        first = int(request["ShardIterator"])
        records = [
            {
                "PartitionKey": "1",
                "Data": data,
                "ApproximateArrivalTimestamp": datetime.fromtimestamp(0, UTC),
            }
            for data in self._rows[first:]
        ]
        return {"Records": records, "NextShardIterator": str(len(self._rows))}


def test_kinesis_reads_on_after_an_unreadable_row() -> None:
    tap = KinesisTap(KinesisSettings(endpoint="http://127.0.0.1:1", stream="s"), RUN, new_anchor())
    tap._client, tap._iterators = Shard(event(1), CORRUPT, event(3)), {0: "0"}

    assert tap._round()
    assert not tap._round()

    assert (tap.record.events, tap.record.failed) == (2, 1)
    assert tap.gauges() == {"read": {"0": 3}}


def test_the_tap_on_a_topic_of_json_reads_on_after_an_unreadable_row() -> None:
    tap = JsonTopicTap(JsonTopicSettings(bootstrap="127.0.0.1:1", topic="t"), RUN, new_anchor())
    rows = [event(1), CORRUPT, event(3)]

    tap.take(
        [KafkaMessage(2, offset, b"7", data, 2_000) for offset, data in enumerate(rows)],
        seen_us=3_000,
    )

    assert (tap.record.events, tap.record.failed) == (2, 1)
    assert "partition 2, position 1" in tap.record.errors[0]


def test_a_message_of_no_known_schema_beside_json_is_unreadable() -> None:
    with serving(saying(404)) as (url, _):
        settings = JsonTopicSettings(bootstrap="127.0.0.1:1", topic="t", schema_registry_url=url)
        tap = JsonTopicTap(settings, RUN, new_anchor())
        rows = [event(1), b"\0text of somebody else", event(3)]

        tap.take(
            [KafkaMessage(2, offset, b"7", data, 2_000) for offset, data in enumerate(rows)],
            seen_us=3_000,
        )

    assert (tap.record.events, tap.record.failed) == (2, 1)
    assert "is not in the registry" in tap.record.errors[0]
    assert "partition 2, offset 1" in tap.record.errors[0]


def test_a_topic_may_hold_avro_envelopes_avro_rows_and_json_side_by_side() -> None:
    settings = JsonTopicSettings(
        bootstrap="127.0.0.1:1", topic="t", schema_registry_url="http://127.0.0.1:1"
    )
    tap = JsonTopicTap(settings, zoo.RUN, new_anchor())
    assert tap._forms is not None
    tap._forms.schemas.readers[2] = zoo._READER
    made = zoo.source(3, 20)
    enveloped = [sent for sent in made.log if sent.partition == made.log[0].partition]
    bare = {
        "type": "record",
        "name": "row",
        "fields": [{"name": "id", "type": "long"}, {"name": "probe", "type": "string"}],
    }
    tap._forms._bare[9] = fastavro.parse_schema(bare)
    fence = zoo.fence(enveloped[0].partition).row
    body = io.BytesIO()
    fastavro.schemaless_writer(body, bare, {"id": fence[0], "probe": fence[-1]})
    row = b"\0\0\0\0\x09" + body.getvalue()
    number = parse_probe(str(fence[-1])).sequence
    *_, last = zoo.messages(enveloped)

    tap.take([*zoo.messages(enveloped), replace(last, value=row)], 0)

    assert not tap.record.errors
    assert tap.record.events == len(enveloped) + 1
    assert tap.record.arrivals().fences == {zoo.fence_key(number)}

"""No message stops a tap: what cannot be read is reported once, with its place, and all that is
behind it is read.
"""

from __future__ import annotations

from typing import Any, cast

import orjson
import pytest

from cdc_users.measure.clock import Anchor
from cdc_users.measure.ledger.probe import Operation, Probe, format_probe
from cdc_users.observe.settings import TapSettings, WebhookSettings
from cdc_users.observe.tap import ObservedRecord
from cdc_users.observe.taps import webhook
from cdc_users.observe.taps.stream import StreamFeed, StreamItem
from cdc_users.observe.taps.webhook import WebhookTap

RUN = "bad00001"
DECIMAL = "org.apache.kafka.connect.data.Decimal"


def event(sequence: int) -> dict[str, object]:
    probe = format_probe(Probe(RUN, 10_001, sequence, sequence, 0, 1, 1, Operation.INSERT, 0, 0))
    return {"op": "c", "after": {"id": sequence, "probe": probe}}


def schema(fields: object) -> dict[str, object]:
    return {"schema": {"fields": fields}, "payload": event(1)}


#: Forms that no pipeline should write and whose event can be read all the same.
READABLE = [
    schema(5),
    schema(None),
    schema([{"field": "x", "name": DECIMAL, "parameters": [1]}]),
    event(1) | {"scales of decimals": 3},
    event(1) | {"scales of decimals": None},
    event(1) | {"source": [1], "key": [1, 2]},
    event(1) | {"before": "nothing"},
    event(1) | {"ts_ms": True, "source": {"ts_us": None}},
]
#: What is no event.
UNREADABLE = [
    b"",
    b"5",
    b"NaN",
    b"\xef\xbb\xbf{}",
    b'{"op":"\xff"}',
    b'{"op":"\\ud800"}',
    b"[" * 2000 + b"]" * 2000,
    b'{"payload":' * 900 + b"{}" + b"}" * 900,
    orjson.dumps({"op": "d", "before": "x"}),
    orjson.dumps({"op": 5, "after": {}}),
    orjson.dumps(event(1) | {"ts_us": 2**63}),
    orjson.dumps(event(1) | {"source": {"ts_ms": 2**62}}),
]


@pytest.mark.parametrize("document", READABLE)
def test_an_event_beside_nonsense_is_the_event(document: dict[str, object]) -> None:
    record = ObservedRecord(RUN)
    StreamFeed(record, TapSettings(check_every=1)).take(
        0, [StreamItem(0, "k", orjson.dumps(document), 1)], seen_us=5
    )
    tap = WebhookTap(WebhookSettings(check_every=1), RUN, Anchor("", 0, 0))

    assert tap.apply(orjson.dumps(document), None).status == 200
    for found in (record, tap.record):
        assert (found.snapshot().steps[1].delivered, found.failed) == (1, 0)


@pytest.mark.parametrize("body", UNREADABLE[1:])
def test_what_is_no_event_is_reported_by_its_place_and_the_next_one_is_taken(body: bytes) -> None:
    record = ObservedRecord(RUN)
    items = [
        StreamItem(40, "", orjson.dumps(event(1)), 1),
        StreamItem(41, "", body, 1),
        StreamItem(42, "", orjson.dumps(event(2)), 1),
    ]
    StreamFeed(record, TapSettings(check_every=1)).take(7, items, seen_us=5)

    assert record.snapshot().steps[1].delivered == 2
    assert (record.events, record.failed) == (2, 1)
    assert record.errors[0].endswith("(partition 7, position 41)")


@pytest.mark.parametrize("body", UNREADABLE)
def test_a_request_that_is_no_event_is_refused_as_a_whole(body: bytes) -> None:
    tap = WebhookTap(WebhookSettings(check_every=1), RUN, Anchor("", 0, 0))

    assert tap.apply(body, "key-1").status == 400
    assert (
        tap.apply(b"[" + orjson.dumps(event(1)) + b"," + (body or b"x") + b"]", None).status == 400
    )
    assert (tap.record.events, tap.record.failed) == (0, 2)
    assert tap.apply(orjson.dumps(event(1)), "key-1").status == 200, "its key was not used up"
    assert tap.record.events == 1


def tap_of(**settings: Any) -> WebhookTap:
    return WebhookTap(WebhookSettings(**settings), RUN, Anchor("", 0, 0))


def delivered(tap: WebhookTap) -> int:
    step = tap.record.snapshot().steps.get(1)
    return 0 if step is None else step.delivered


@pytest.mark.parametrize("column", [[1, 2], [], {}, 5, None, "many"])
def test_a_column_that_is_called_events_is_no_list_of_events(column: object) -> None:
    """GIVEN an envelope and a bare row that have such a name beside their own."""
    tap, row = tap_of(), event(2)["after"]
    assert isinstance(row, dict)

    assert tap.apply(orjson.dumps(event(1) | {"events": column}), None).status == 200
    assert tap.apply(orjson.dumps(row | {"events": column}), None).status == 200
    assert delivered(tap) == 2


def test_requests_with_an_empty_key_are_not_repeats_of_each_other() -> None:
    tap = tap_of()
    for sequence in (1, 2):
        assert tap.apply(orjson.dumps(event(sequence)), "").status == 200

    assert (delivered(tap), tap.retries) == (2, 0)


def test_a_key_is_known_for_as_many_requests_as_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhook, "REMEMBERED", 2)
    tap = tap_of()
    for sequence, key in ((1, "a"), (2, "b"), (1, "a"), (3, "c"), (2, "b")):
        tap.apply(orjson.dumps(event(sequence)), key)
    assert (delivered(tap), tap.retries) == (3, 2)

    tap.apply(orjson.dumps(event(1)), "a")
    assert tap.retries == 2, "the oldest key was forgotten with the third one"
    assert tap.record.snapshot().steps[1].duplicated == 1


def test_a_request_without_an_event_is_answered_and_counts_nothing() -> None:
    tap = tap_of()
    for body in (b"[]", b'{"events": []}', b'[{"op": "t"}]', b'{"op": "m", "message": {}}'):
        answer = tap.apply(body, None)
        assert (answer.status, orjson.loads(cast(bytes, answer.body))) == (200, {"applied": 0}), (
            body
        )

    assert (tap.record.events, tap.record.failed) == (0, 0)


def test_the_values_of_a_request_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    body = orjson.dumps([event(1), event(2)])
    values = sum(map(body.count, (b"{", b"[", b",")))
    monkeypatch.setattr(webhook, "MOST_VALUES", values)
    assert tap_of().apply(body, None).status == 200

    monkeypatch.setattr(webhook, "MOST_VALUES", values - 1)
    refused = tap_of()
    assert refused.apply(body, None).status == 400
    assert (refused.record.events, refused.record.failed) == (0, 1)


@pytest.mark.parametrize(
    ("place", "name", "number", "status"),
    [
        ("source", "partition", -1, 200),
        ("source", "partition", -2, 400),
        ("change", "partition", 2**63 - 1, 200),
        ("change", "partition", 2**63, 400),
        ("source", "offset", 2**63 - 1, 200),
        ("source", "offset", 2**63, 400),
        ("source", "offset", "7", 200),
        ("change", "offset", 1.5, 200),
        ("source", "partition", None, 200),
    ],
)
def test_a_place_is_one_that_a_partition_and_an_offset_can_have(
    place: str, name: str, number: object, status: int
) -> None:
    told = {name: number}
    document = event(1) | ({"source": told} if place == "source" else told)
    tap = tap_of()

    assert tap.apply(orjson.dumps(document), None).status == status
    assert (tap.record.events, tap.record.failed) == ((1, 0) if status == 200 else (0, 1))


def test_an_events_size_is_its_share_of_the_request() -> None:
    tap = tap_of()
    body = orjson.dumps([event(1), event(2)])
    tap.apply(body, None)

    assert tap.record.snapshot().steps[1].bytes == len(body) // 2 * 2


def test_events_of_one_request_keep_the_order_of_each_partition() -> None:
    """GIVEN two versions of a key in one partition, and another partition's event between them."""

    def version(sequence: int, key_version: int, partition: int) -> dict[str, object]:
        operation = Operation.INSERT if key_version == 1 else Operation.UPDATE
        probe = Probe(RUN, 10_001, sequence, sequence, 0, 1, key_version, operation, 0, 0)
        after = {"id": 10 * partition, "probe": format_probe(probe)}
        return {"op": "u", "after": after, "source": {"partition": partition, "offset": sequence}}

    forwards, backwards = tap_of(), tap_of()
    forwards.apply(orjson.dumps([version(1, 1, 1), version(2, 1, 2), version(3, 2, 1)]), None)
    backwards.apply(orjson.dumps([version(3, 2, 1), version(2, 1, 2), version(1, 1, 1)]), None)

    assert forwards.record.arrivals().steps[1].reordered == 0
    assert backwards.record.arrivals().steps[1].reordered == 1

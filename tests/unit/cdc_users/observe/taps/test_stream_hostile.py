"""No message stops a tap: what cannot be read is reported once, with its place, and all that is
behind it is read.
"""

from __future__ import annotations

import orjson
import pytest

from cdc_users.measure.clock import Anchor
from cdc_users.measure.ledger.probe import Operation, Probe, format_probe
from cdc_users.observe.settings import TapSettings, WebhookSettings
from cdc_users.observe.tap import ObservedRecord
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

"""What the taps on streams take for an event, and what they tell of the rest."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import orjson

from cdc_users.measure.clock import new_anchor
from cdc_users.measure.probe import Probe, format_probe
from cdc_users.observe.pubsub import PubSubTap
from cdc_users.observe.stream import Item, Reading, StreamFeed
from cdc_users.observe.tap import Record

RUN = "stream01"


def event(sequence: int) -> bytes:
    probe = format_probe(Probe(RUN, 10_001, sequence, sequence, 0, 1, 1, "i", 1_000, 0))
    return orjson.dumps(
        {"op": "c", "before": None, "after": {"id": sequence, "probe": probe}, "source": {"commit_ts_us": 2_000}}
    )


def test_changes_are_counted_and_their_latency_is_split() -> None:
    record = Record(RUN)
    StreamFeed(record, {}).take(3, [Item(0, "1", event(1), 2_500), Item(1, "2", event(2), 2_600)], seen_us=3_000)

    step = record.snapshot()["steps"]["1"]
    assert step["delivered"] == 2
    assert step["series"]["end_to_end"]["sum_us"] == 4_000
    assert step["series"]["capture"]["sum_us"] == 500 + 600


def test_what_is_no_change_is_told_and_left_out() -> None:
    record = Record(RUN)
    items = [Item(0, "", b"{", 1), Item(1, "", b"[1]", 1), Item(2, "", b'{"op":"t"}', 1), Item(3, "", event(1), 1)]
    StreamFeed(record, {}).take(0, items, seen_us=3_000)

    assert record.events == 1
    assert record.snapshot()["unreadable"] == 2
    assert any("position 0" in error for error in record.errors)


def test_a_read_that_fails_is_told_and_tried_again() -> None:
    record = Record(RUN)
    steps = iter([RuntimeError("gone"), RuntimeError("gone"), True])
    reading: Reading

    def step() -> bool:
        outcome = next(steps, None)
        if isinstance(outcome, Exception):
            raise outcome
        reading._stop.set()
        return True

    reading = Reading("stream 's'", step, 0.0, record)
    reading.start()
    reading._thread.join(10)

    assert record.errors == ["stream 's' cannot be read: RuntimeError: gone"]


class Subscription:
    """Answers pulls from a list, and notes what is acknowledged."""

    def __init__(self, *pulls: list[Any]) -> None:
        self._pulls = iter(pulls)
        self.acknowledged: list[str] = []

    def pull(self, **_: Any) -> Any:
        return SimpleNamespace(received_messages=next(self._pulls, []))

    def acknowledge(self, *, request: dict[str, Any]) -> None:
        self.acknowledged += request["ack_ids"]


def message(number: int, ack_id: str, key: str = "07") -> Any:
    published = datetime.fromtimestamp(0, UTC)
    inside = SimpleNamespace(message_id=str(number), ordering_key=key, data=event(number), publish_time=published)
    return SimpleNamespace(ack_id=ack_id, message=inside)


def pubsub(*pulls: list[Any]) -> tuple[PubSubTap, Subscription, Callable[[], bool]]:
    tap = PubSubTap({"project": "p", "subscription": "s"}, RUN, new_anchor())
    subscription = Subscription(*pulls)
    tap._client = subscription
    return tap, subscription, tap._pull


def test_what_pubsub_itself_delivers_again_is_not_a_duplicate() -> None:
    tap, subscription, pull = pubsub([message(1, "a"), message(2, "b")], [message(1, "c")])

    assert pull()
    assert pull()
    assert not pull()

    step = tap.record.snapshot()["steps"]["1"]
    assert (step["delivered"], step["duplicated"]) == (2, 0)
    assert subscription.acknowledged == ["a", "b", "c"]
    assert tap.gauges() == {"read": {"7": 2}, "redelivered": 1}


def test_a_change_that_was_published_twice_is_a_duplicate() -> None:
    tap, _, pull = pubsub([message(1, "a")])
    pull()
    again = message(1, "b")
    again.message.message_id = "another"
    tap._client = Subscription([again])
    pull()

    assert tap.record.snapshot()["steps"]["1"]["duplicated"] == 1

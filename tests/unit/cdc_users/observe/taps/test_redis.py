"""What the tap on a Redis stream takes for an event, and for its time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from cdc_users.measure.clock import new_anchor
from cdc_users.measure.offset import ClockOffset
from cdc_users.observe.settings import RedisSettings
from cdc_users.observe.taps.redis import RedisTap
from tests.unit.cdc_users.observe.taps.test_stream import RUN, event

ANCHOR = new_anchor()
Entry = tuple[bytes, Mapping[bytes, bytes]]


class Stream:
    """Answers reads of one stream as Redis does: what is behind an id."""

    def __init__(self, *entries: Entry) -> None:
        self._entries = entries

    def xread(self, behind: Mapping[str, bytes], **_: Any) -> Sequence[Any]:
        (last,) = behind.values()
        names = [b"0-0", *(name for name, _ in self._entries)]
        left = self._entries[names.index(last) :]
        return [[b"s", list(left)]] if left else []


def tap(*entries: Entry) -> RedisTap:
    made = RedisTap(RedisSettings(url="redis://127.0.0.1:1", stream="s"), RUN, ANCHOR)
    made._client = Stream(*entries)
    return made


def at(ms: int, number: int = 0) -> bytes:
    return f"{ms}-{number}".encode()


def test_entries_are_taken_in_both_of_debeziums_forms_and_once() -> None:
    watched = tap(
        (at(1), {b'{"id":1}': event(1)}), (at(2), {b"key": b'{"id":2}', b"value": event(2)})
    )

    assert watched._round()
    assert not watched._round()

    step = watched.record.snapshot().steps[1]
    assert (step.delivered, step.duplicated) == (2, 0)
    assert watched.gauges()["read"] == {"0": 2}


def end_to_end_us(watched: RedisTap) -> int:
    watched._round()
    return watched.record.snapshot().steps[1].series["end_to_end"].sum_us


def test_an_event_is_visible_when_the_server_took_it_and_not_when_it_is_read() -> None:
    taken_ms = ANCHOR.now_us() // 1000 - 5_000
    watched = tap((at(taken_ms), {b"1": event(1, taken_ms * 1000 - 700)}))

    assert end_to_end_us(watched) == 700


def test_a_servers_clock_that_is_ahead_is_put_on_ours() -> None:
    taken_ms = ANCHOR.now_us() // 1000
    watched = tap((at(taken_ms + 2_000), {b"1": event(1, taken_ms * 1000 - 700)}))
    watched._clock = ClockOffset(2_000_000, 100)

    assert end_to_end_us(watched) == 700


def test_an_id_that_is_a_name_of_the_writers_is_no_time() -> None:
    now_us = ANCHOR.now_us()
    watched = tap((at(7, 3), {b"1": event(1, now_us - 3_000_000)}))

    assert end_to_end_us(watched) >= 3_000_000


@pytest.mark.parametrize("value", [b"default", b"null", b""])
def test_a_tombstone_is_no_event(value: bytes) -> None:
    watched = tap((at(1), {b'{"id":1}': value}), (at(2), {b"2": event(2)}))

    watched._round()

    assert (watched.record.events, watched.record.failed) == (1, 0)


def test_an_entry_in_another_form_is_told_with_its_fields_and_costs_the_next_nothing() -> None:
    watched = tap((at(1), {b"id": b"1", b"note": b"x"}), (at(2), {b"2": event(2)}))

    watched._round()

    assert (watched.record.events, watched.record.failed) == (1, 1)
    assert "position 0" in watched.record.errors[0]

"""The tap on a stream of JetStream takes each message once, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from cdc_users.measure.clock import new_anchor
from cdc_users.measure.offset import ClockOffset
from cdc_users.observe.settings import NatsSettings
from cdc_users.observe.taps import nats
from cdc_users.observe.taps.nats import NatsTap
from infra.client.nats import NatsError
from tests.unit.cdc_users.observe.taps.test_stream import RUN, event

pytest.importorskip("nats")


def message(stream: int, consumer: int, data: bytes | None = None) -> Any:
    number = SimpleNamespace(stream=stream, consumer=consumer)
    stored = datetime.fromtimestamp(5, UTC)
    metadata = SimpleNamespace(sequence=number, timestamp=stored)
    return SimpleNamespace(metadata=metadata, data=event(stream) if data is None else data)


class Link:
    """A connection whose reader is given messages from a list, batch by batch."""

    def __init__(self, batches: Iterator[Sequence[Any]]) -> None:
        self._batches = batches
        self.closed = False

    def ask(self, make: Callable[[Any], Awaitable[Any]]) -> Any:
        made = make(None)
        made.close()  # type: ignore[attr-defined]
        return next(self._batches)

    def close(self) -> None:
        self.closed = True


class Reader:
    async def fetch(self, batch: int, timeout: float) -> None:
        del batch, timeout


def tap(*batches: Sequence[Any]) -> tuple[NatsTap, Link]:
    made = NatsTap(NatsSettings(url="nats://127.0.0.1:1", stream="s"), RUN, new_anchor())
    link = Link(iter(batches))
    made._link, made._reader = link, Reader()  # type: ignore[assignment]
    return made, link


def test_an_event_is_visible_when_the_server_stored_it() -> None:
    watched, _ = tap([message(1, 1)])
    watched._clock = ClockOffset(1_000_000, 100)

    assert watched._round()

    series = watched.record.snapshot().steps[1].series["end_to_end"]
    assert series.sum_us == 5_000_000 - 1_000_000 - 1_000


def test_a_message_that_was_sent_and_did_not_come_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched, link = tap([message(11, 1), message(13, 3)])

    with pytest.raises(NatsError, match="behind number 11"):
        watched._round()
    assert link.closed

    # Connected again, the reader is made from number 12 on, and counts from one.
    again = Link(iter([Reader(), [message(12, 1), message(13, 2)]]))  # type: ignore[list-item]
    monkeypatch.setattr(nats, "NatsLink", lambda _: again)
    watched._given = 1
    assert watched._next == 12
    assert watched._round()

    step = watched.record.snapshot().steps[1]
    assert (step.delivered, step.duplicated) == (3, 0)


def test_a_message_without_data_is_a_tombstone() -> None:
    watched, _ = tap([message(1, 1, b""), message(2, 2)])

    watched._round()

    assert (watched.record.events, watched.record.failed) == (1, 0)

"""The webhook receiver: faults are injected here, through its handler, and nowhere else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests
from aiohttp import web

from cdc_users.measure.clock import Anchor
from cdc_users.measure.ledger.probe import Operation, Probe, format_probe
from cdc_users.observe.settings import WebhookSettings
from cdc_users.observe.taps import webhook
from cdc_users.observe.taps.webhook import Apply, Handler, WebhookTap, apply_and_answer

RUN = "hook0001"
STEP = 1


def event(sequence: int, partition: int = 0) -> dict[str, object]:
    probe = format_probe(Probe(RUN, 10_001, sequence, sequence, 0, 1, 1, Operation.INSERT, 0, 0))
    source = {"partition": partition, "offset": 100 + sequence, "ts_us": 5}
    return {
        "op": "c",
        "key": {"id": sequence},
        "before": None,
        "after": {"id": sequence, "probe": probe},
        "source": source,
    }


@contextmanager
def receiving(handler: Handler = apply_and_answer) -> Iterator[tuple[WebhookTap, str]]:
    tap = WebhookTap(WebhookSettings(), RUN, Anchor("", 0, 0), handler)
    try:
        yield tap, tap.start().webhook_url
    finally:
        tap.stop()


def post(url: str, events: object, key: str | None = None) -> int:
    headers = {"Idempotency-Key": key} if key else {}
    return requests.post(url, json=events, headers=headers, timeout=5).status_code


def counts(tap: WebhookTap) -> tuple[int, int]:
    step = tap.record.arrivals().steps[STEP]
    return step.delivered, step.duplicated


def test_single_events_arrays_and_wrapped_arrays_are_taken() -> None:
    with receiving() as (tap, url):
        assert [
            post(url, body) for body in (event(1), [event(2), event(3)], {"events": [event(4)]})
        ] == [200, 200, 200]

    assert counts(tap) == (4, 0)


def test_a_retry_after_an_effect_is_no_duplicate_but_a_repeat_without_a_key_is() -> None:
    answers = iter([500, 200, 200, 200])

    async def effect_then_error(_: web.Request, apply: Apply) -> web.StreamResponse:
        apply()
        return web.Response(status=next(answers))

    with receiving(effect_then_error) as (tap, url):
        assert [post(url, [event(1)], "t-0-1-1") for _ in range(2)] == [500, 200]
        assert counts(tap) == (1, 0)
        assert [post(url, [event(2)]) for _ in range(2)] == [200, 200]

    assert counts(tap) == (2, 1)
    assert tap.gauges() == {"requests": 4, "retries": 1}


def test_a_refusal_has_no_effect() -> None:
    async def refuse(_: web.Request, __: Apply) -> web.StreamResponse:
        return web.Response(status=429, headers={"Retry-After": "1"})

    with receiving(refuse) as (tap, url):
        assert post(url, [event(1)]) == 429

    assert not tap.record.arrivals().steps


def test_a_body_that_is_no_event_is_refused_and_told() -> None:
    with receiving() as (tap, url):
        assert requests.post(url, data=b"nothing", timeout=5).status_code == 400
        assert post(url, [{"no": "op"}]) == 400

    assert tap.record.snapshot().unreadable == 2


def test_findings_are_located_by_what_the_sink_says_of_the_source() -> None:
    with receiving() as (tap, url):
        post(url, [event(1, partition=3), event(1, partition=3)])

    (example,) = tap.record.arrivals().examples
    assert (example.finding, example.partition, example.position, example.key) == (
        "duplicated",
        3,
        101,
        1,
    )


def test_requests_that_were_long_ago_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "REMEMBERED", 3)
    with receiving() as (tap, url):
        for number in (1, 2, 3, 4, 1):
            post(url, [event(number)], f"key-{number}")

    assert counts(tap) == (4, 1)


def test_a_receiver_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    with receiving():
        pass

    assert threading.active_count() == before

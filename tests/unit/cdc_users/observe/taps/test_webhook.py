"""The webhook receiver: faults are injected here, through its handler, and nowhere else."""

from __future__ import annotations

import gzip
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import psutil
import pytest
import requests
from aiohttp import web

from cdc_users.measure.clock import Anchor
from cdc_users.measure.ledger.probe import Operation, Probe, format_probe
from cdc_users.observe.settings import WebhookSettings
from cdc_users.observe.tap import TapError
from cdc_users.observe.taps import webhook
from cdc_users.observe.taps.answer import Apply, Handler, apply_and_answer
from cdc_users.observe.taps.webhook import WebhookTap
from tests.tls import tls_files

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


def changed(**columns: object) -> bytes:
    """One event with other columns in its row."""
    made = event(1)
    row = made["after"]
    assert isinstance(row, dict)
    return orjson.dumps({**made, "after": {**row, **columns}})


def placed(**source: object) -> bytes:
    """One event from another place."""
    return orjson.dumps({**event(1), "source": source})


BOMB = gzip.compress(b" " * (200 << 20))
DIGITS = "9" * 5000
HOSTILE = {
    "no JSON": b"{",
    "empty": b"",
    "no UTF-8": b'[{"op": "\xff\xfe"}]',
    "half a surrogate": b'[{"op": "\\ud800"}]',
    "UTF-16": "[]".encode("utf-16"),
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep in an object": b'{"events":' * 5_000 + b"1" + b"}" * 5_000,
    "a long number": f'[{{"op": "c", "after": {{"id": {DIGITS}}}}}]'.encode(),
    "NaN": b'[{"op": "c", "after": {"id": NaN}}]',
    "an offset of 2^63": placed(partition=0, offset=1 << 63),
    "an offset of 2^64 - 1": placed(partition=0, offset=(1 << 64) - 1),
    "a negative partition": placed(partition=-7, offset=1),
    "a partition of 2^63": placed(partition=1 << 63, offset=1),
    "a time of 2^63": placed(ts_us=1 << 63),
    "a time in ms of 2^62": placed(ts_ms=1 << 62),
    "op is a number": b'[{"op": 5, "after": {}}]',
    "op is a list": b'[{"op": [], "after": {}}]',
    "a row is a list": b'[{"op": "c", "after": [1]}]',
    "a row is a text": b'[{"op": "c", "after": "x"}]',
    "events is a number": b'{"events": 5}',
    "an array in an array": b"[[[]]]",
    "many values": b"[" + b"{}," * 4_000_000 + b"{}]",
}
ODD = {
    "a decimal of a gigabyte": changed(balance="1e999999999"),
    "a decimal of no size": changed(balance="1e-999999999"),
    "a decimal with many digits": changed(balance=DIGITS * 100),
    "a decimal that is none": changed(balance="Infinity"),
    "a time out of range": changed(created_at=1 << 62),
    "a text that is an object": changed(notes={"a": [1, {"b": None}]}),
    "a text that is deep": changed(notes=orjson.Fragment(b"[" * 900 + b"]" * 900)),
    "a key that is a long text": changed(id=DIGITS),
    "a probe that is none": changed(probe="P1" + "x" * 78),
    "a probe that is an object": changed(probe={"a": 1}),
}


@contextmanager
def checking() -> Iterator[tuple[WebhookTap, str]]:
    """A tap that checks every row."""
    tap = WebhookTap(WebhookSettings(name="sink", check_every=1), RUN, Anchor("", 0, 0))
    try:
        yield tap, tap.start().webhook_url or ""
    finally:
        tap.stop()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_body_that_is_no_change_event_is_refused(name: str) -> None:
    with checking() as (tap, url):
        answer = requests.post(url, data=HOSTILE[name], timeout=20)

        assert 400 <= answer.status_code < 500, answer.text[:300]
        assert len(answer.content) < 1000
        assert post(url, event(1)) == 200

    assert counts(tap) == (1, 0)


@pytest.mark.parametrize("name", ODD)
def test_an_odd_value_is_taken_for_what_it_is_and_stops_nothing(name: str) -> None:
    before = psutil.Process().memory_info().rss
    with checking() as (_, url):
        assert requests.post(url, data=ODD[name], timeout=10).status_code == 200
        assert post(url, event(2)) == 200
    assert psutil.Process().memory_info().rss - before < 200 << 20


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", BOMB),
        ("deflate", zlib.compress(b" " * (200 << 20))),
        ("gzip", b"no gzip"),
        ("gzip", BOMB[: len(BOMB) // 2]),
        ("br", b"no brotli"),
        ("compress", b"[]x"),
    ],
)
def test_a_bomb_and_a_wrong_encoding_are_refused_in_bounded_memory(
    encoding: str, body: bytes
) -> None:
    before = psutil.Process().memory_info().rss
    with checking() as (tap, url):
        answer = requests.post(url, data=body, headers={"Content-Encoding": encoding}, timeout=20)

        assert 400 <= answer.status_code < 500
        assert psutil.Process().memory_info().rss - before < 300 << 20
        assert post(url, event(1)) == 200
    assert counts(tap) == (1, 0)


def test_a_request_is_taken_whole_or_not_at_all() -> None:
    half_wrong = [event(1, partition=0), {**event(2), "source": {"partition": 1, "ts_us": 1 << 63}}]
    with checking() as (tap, url):
        assert post(url, half_wrong) == 400
        assert post(url, [event(1), event(2, partition=1)]) == 200
    assert counts(tap) == (2, 0)


def test_a_token_is_demanded_where_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDC_WEBHOOK_TOKEN", "hush")
    tap = WebhookTap(WebhookSettings(guarded=True), RUN, Anchor("", 0, 0))
    try:
        url = tap.start().webhook_url
        wrong = ("", "hush", "Bearer", "Bearer other", "bearer hush", "Bearer hush\xff")
        for header, status in (*((text, 401) for text in wrong), ("Bearer hush", 200)):
            headers = {"Authorization": header}
            answer = requests.post(url, json=event(1), headers=headers, timeout=5)
            assert answer.status_code == status
    finally:
        tap.stop()

    assert counts(tap) == (1, 0)


def test_a_certificate_makes_it_speak_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = tls_files(tmp_path, "tap")
    monkeypatch.setenv("CDC_WEBHOOK_CERTIFICATE", str(tls.server))
    tap = WebhookTap(WebhookSettings(guarded=True), RUN, Anchor("", 0, 0))
    try:
        url = tap.start().webhook_url
        answer = requests.post(
            url,
            json=event(1),
            verify=str(tls.authority),
            timeout=5,
            headers={"Connection": "close"},
        )
    finally:
        tap.stop()

    assert url.startswith("https://")
    assert (answer.status_code, counts(tap)) == (200, (1, 0))


def test_a_certificate_that_is_none_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "none.pem").write_text("nothing", encoding="utf-8")
    monkeypatch.setenv("CDC_WEBHOOK_CERTIFICATE", str(tmp_path / "none.pem"))
    tap = WebhookTap(WebhookSettings(guarded=True), RUN, Anchor("", 0, 0))

    with pytest.raises(TapError, match="does not listen"):
        tap.start()


def test_the_runs_own_receiver_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDC_WEBHOOK_TOKEN", "hush")
    with receiving() as (_, url):
        assert post(url, event(1)) == 200

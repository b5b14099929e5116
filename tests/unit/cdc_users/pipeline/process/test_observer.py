"""The harness waits for a ledger as long as it takes, and for everything else only briefly."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import requests

from cdc_users.error import ObserverSilentError, TargetError
from cdc_users.measure.clock import new_anchor
from cdc_users.measure.ledger.arrival import Arrivals
from cdc_users.measure.wire import encode
from cdc_users.observe.settings import GaugeSettings, ObserverSettings, WebhookSettings
from cdc_users.pipeline.process import observer as module
from cdc_users.pipeline.process.child_process import Child
from cdc_users.pipeline.process.observer import Observer, expected, start_observer
from cdc_users.pipeline.telemetry import read_ledger, read_progress
from infra.client import http
from tests.unit.cdc_users.observe.taps.test_stream import RUN, event

REQUESTED = http.request
NONE = np.array([], dtype=np.int64)

WRITER = 10_001


class Slow(BaseHTTPRequestHandler):
    """Answers at once how far it is, unless it has stopped; a ledger takes it half a second."""

    stopped = False

    def do_GET(self) -> None:
        body = b'{"taps": {}, "steps": {}, "fences": []}'
        if self.stopped or self.path.startswith("/ledger"):
            threading.Event().wait(0.5)
        if self.path.startswith("/ledger"):
            body = encode(Arrivals(foreign=3).encode())
        with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A slow server, for a harness that waits a hundredth as long as it would."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def hurried(method: str, address: str, *, timeout: float, **given: object) -> requests.Response:
        return REQUESTED(method, address, timeout=timeout / 100, **given)

    monkeypatch.setattr(http, "request", hurried)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_ledger_may_take_minutes(url: str) -> None:
    observer = Observer(cast(Child, None), url)

    assert observer.ledger("sink").foreign == read_ledger([url]).foreign == 3


def test_what_has_stopped_is_not_waited_for_as_long_as_a_ledger_may_take(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    observer = Observer(cast(Child, None), url)
    monkeypatch.setattr(Slow, "stopped", True)

    for ask in (
        observer.progress,
        lambda: observer.ledger("sink"),
        lambda: observer.final(expected(NONE, NONE), expected(NONE, NONE)),
        lambda: read_progress([url]),
        lambda: read_ledger([url]),
    ):
        with pytest.raises(TargetError, match="ReadTimeout"):
            ask()


def test_an_observer_that_does_not_begin_is_the_harness_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = [sys.executable, "-c", "raise SystemExit(7)"]
    monkeypatch.setattr(module, "module_command", lambda _: ends)
    settings = ObserverSettings(
        run="abcd1234", anchor=new_anchor(), taps=(), gauges=GaugeSettings()
    )

    with pytest.raises(ObserverSilentError, match="observer ended with 7 before") as it:
        start_observer(settings, tmp_path / "log")
    assert it.value.exit_code == 2


def test_where_a_tap_saw_an_event_can_be_asked_for_as_long_as_something_is_behind_it(
    tmp_path: Path,
) -> None:
    taps = (WebhookSettings(name="topic"), WebhookSettings(name="sink"))
    settings = ObserverSettings(run=RUN, anchor=new_anchor(), taps=taps, gauges=GaugeSettings())
    observer = start_observer(settings, tmp_path / "log")
    try:
        for name in observer.taps:
            body = b"[" + event(1) + b"," + event(2) + b"]"
            http.post(observer.taps[name].webhook_url, data=body, timeout=10).raise_for_status()
        asked = [(WRITER, 2), (WRITER, 99)]

        (found,) = observer.places("topic", asked)
        assert (found.sequence, found.partition, found.key) == (2, 0, 2)
        assert observer.places("sink", asked) == []
        with pytest.raises(TargetError, match="KeyError: 'nowhere'"):
            observer.places("nowhere", asked)
    finally:
        observer.stop()

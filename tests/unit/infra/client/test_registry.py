"""The registry's client reads no more and waits no longer than it must, and goes nowhere else."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from infra.client import registry as module
from infra.client.registry import RegistryRefusedError, RegistrySilentError, SchemaRegistry

ROOT = Path(__file__).resolve().parents[4]
Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def serving(answer: Answer) -> Iterator[tuple[str, list[str]]]:
    """A server that answers everything so; its URL, and the requests that it got."""
    asked: list[str] = []

    class Answering(BaseHTTPRequestHandler):
        def _any(self) -> None:
            asked.append(f"{self.command} {self.path}")
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer(self)

        do_GET = do_POST = do_DELETE = _any  # noqa: N815 - the base class calls them so

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def saying(status: int, body: bytes = b"{}") -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def test_a_redirect_is_not_followed_but_told() -> None:
    with serving(saying(200, b'{"schema": "1"}')) as (elsewhere, asked):

        def redirect(request: BaseHTTPRequestHandler) -> None:
            request.send_response(307)
            request.send_header("Location", f"{elsewhere}/schemas/ids/1")
            request.send_header("Content-Length", "0")
            request.end_headers()

        with (
            serving(redirect) as (url, _),
            pytest.raises(RegistryRefusedError, match=re.escape(f"redirects to {elsewhere}")),
        ):
            SchemaRegistry(url).schema(1)

    assert asked == []


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(saying(500)) as (proxy, seen), serving(saying(200)) as (url, asked):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy)
        SchemaRegistry(url).check()

    assert (seen, asked) == ([], ["GET /subjects"])


def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 100_000)
    with (
        serving(saying(200, b" " * 200_000)) as (url, _),
        pytest.raises(RegistryRefusedError, match="more than 100,000 bytes"),
    ):
        SchemaRegistry(url).schema(1)


def test_an_answer_that_trickles_is_given_up_in_time() -> None:
    over = Event()

    def trickle(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000000")
        request.end_headers()
        while not over.wait(0.05):
            request.wfile.write(b" ")

    began_s = time.monotonic()
    with serving(trickle) as (url, _):
        try:
            with pytest.raises(RegistrySilentError, match=r"within 0\.3 s"):
                SchemaRegistry(url, timeout_s=0.3).schema(1)
        finally:
            over.set()

    assert time.monotonic() - began_s < 5


def test_what_is_no_json_is_refused() -> None:
    with (
        serving(saying(200, b"<html>")) as (url, _),
        pytest.raises(RegistryRefusedError, match="no JSON"),
    ):
        SchemaRegistry(url).schema(1)


def test_a_subject_is_one_part_of_the_path() -> None:
    with serving(saying(404)) as (url, asked):
        assert SchemaRegistry(url).latest("a/../b-value") is None
        SchemaRegistry(url).delete("a/b")

    assert asked == ["GET /subjects/a%2F..%2Fb-value/versions/latest", "DELETE /subjects/a%2Fb"]


@pytest.mark.parametrize("status", [409, 422])
def test_a_schema_that_does_not_fit_is_told_apart(status: int) -> None:
    body = b'{"message": "incompatible"}'
    with (
        serving(saying(status, body)) as (url, _),
        pytest.raises(RegistryRefusedError, match="incompatible") as told,
    ):
        SchemaRegistry(url).register("t-value", "string")

    assert told.value.misfit


def test_a_registry_without_rules_allows_any_schema() -> None:
    with serving(saying(405)) as (url, _):
        assert SchemaRegistry(url).fits("t-value", "string")
    with serving(saying(200, b'{"is_compatible": false}')) as (url, _):
        assert not SchemaRegistry(url).fits("t-value", "string")


def test_there_is_no_other_client_of_the_registry_in_the_product() -> None:
    speaking = re.compile(r"schemas/ids|/subjects")
    files = [path for room in ("cdc_users", "infra") for path in (ROOT / room).rglob("*.py")]
    found = [path.name for path in files if speaking.search(path.read_text(encoding="utf-8"))]

    assert found == ["registry.py"]

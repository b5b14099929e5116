"""What the registry's answers mean: no such schema, ask again, or something to put right."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from infra.platform.consume.registry import NO_AVRO, Registry
from infra.platform.process.error import (
    ConfigError,
    PlatformError,
    RetryableError,
    UnreachableError,
)


@contextmanager
def registry(status: int, body: bytes = b"{}") -> Iterator[Registry]:
    """One that answers everything so."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield Registry(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


def test_a_schema_is_found_by_its_id() -> None:
    with registry(200, b'{"schema": "{\\"type\\": \\"long\\"}"}') as asked:
        assert asked.schema(1) == {"type": "long"}
        assert asked.latest("t-value") == {"type": "long"}


@pytest.mark.parametrize(
    "schema",
    ["message Row {}", '{"type":' * 5000 + '"long"' + "}" * 5000, 7, None, {"type": "long"}],
    ids=["Protobuf", "nested too deep", "number", "nothing", "object"],
)
def test_what_is_no_schema_of_avros_is_told_from_none(schema: object) -> None:
    """Asked again it would be the same, so it is no trouble of the moment."""
    with registry(200, json.dumps({"schema": schema}).encode()) as asked:
        assert asked.schema(1) == NO_AVRO
        assert asked.latest("t-value") == NO_AVRO


def test_what_is_not_there_is_none() -> None:
    with registry(404) as asked:
        assert asked.schema(1) is None
        assert asked.latest("t-value") is None


@pytest.mark.parametrize("status", [500, 503, 408, 429])
def test_a_passing_trouble_may_be_asked_again_and_at_the_start_is_told(status: int) -> None:
    with registry(status) as asked:
        with pytest.raises(RetryableError, match=f"schemas/ids/7 with {status}"):
            asked.schema(7)
        with pytest.raises(UnreachableError, match=str(status)):
            asked.check()


def test_a_registry_that_is_not_there_may_be_asked_again() -> None:
    with pytest.raises(RetryableError, match=r"http://127\.0\.0\.1:1/schemas/ids/7"):
        Registry("http://127.0.0.1:1").schema(7)


@pytest.mark.parametrize("ask", [lambda asked: asked.schema(7), lambda asked: asked.check()])
def test_a_login_is_a_matter_of_configuration(ask: Callable[[Registry], PlatformError]) -> None:
    with registry(401) as asked, pytest.raises(ConfigError, match="401"):
        ask(asked)

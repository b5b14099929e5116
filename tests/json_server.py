"""An HTTP server on loopback that answers with JSON, and keeps what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, TypeVar


class JsonRequest(NamedTuple):
    """One request; `body` is what its JSON says, None without one."""

    method: str
    path: str
    body: Any


class JsonServer(ThreadingHTTPServer):
    """A server of a test's own, which says what each request gets."""

    def __init__(self) -> None:
        self.asked: list[JsonRequest] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, request: JsonRequest) -> tuple[int, Any]:
        """The status, and what is sent as JSON; a text is sent as it is."""
        raise NotImplementedError


class _Handler(BaseHTTPRequestHandler):
    server: JsonServer

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = JsonRequest(self.command, self.path, json.loads(body) if body else None)
        self.server.asked.append(request)
        code, told = self.server.answer(request)
        data = told.encode() if isinstance(told, str) else json.dumps(told).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data if code != 204 else b"")

    do_GET = do_POST = do_DELETE = do_PUT = _answer  # noqa: N815 - as the library calls them

    def log_message(self, *_: object) -> None:
        """Say nothing."""


AnyServer = TypeVar("AnyServer", bound=JsonServer)


@contextmanager
def serving(server: AnyServer) -> Iterator[AnyServer]:
    """The server at work in a thread, until the block ends."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

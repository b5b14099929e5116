"""A proxy that writes down whatever it is asked for, and passes nothing on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@contextmanager
def recording_proxy() -> Iterator[tuple[dict[str, str], list[str]]]:
    """The variables that name the proxy, and what it was asked for so far."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append(f"{self.requestline} {body!r}")
            self.send_error(502)

        do_GET = do_POST = do_DELETE = do_PUT = do_CONNECT = answer  # noqa: N815 - the library's

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        yield dict.fromkeys(VARIABLES, url), asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

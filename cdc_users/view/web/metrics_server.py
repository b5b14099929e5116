"""Serves the metrics of a headless run, which has no web UI to serve them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from gevent.pywsgi import WSGIServer

from cdc_users.error import OptionsError
from cdc_users.options.options import read_alone
from cdc_users.view import prometheus
from cdc_users.view.run_view import RunView
from cdc_users.view.web.host import LOOPBACK, is_known

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


def serve(port_text: str, current_run: Callable[[], RunView | None]) -> int:
    """Listen on loopback from now on; returns the port.

    Raises OptionsError if the text is no port, or the port is taken.
    """

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not is_known(environ.get("HTTP_HOST", ""), (socket.gethostname().lower(),)):
            start_response("421 Misdirected Request", [("Content-Type", "text/plain")])
            return [b"ask for the metrics by address\n"]
        if environ["PATH_INFO"] != "/metrics":
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"the metrics are at /metrics\n"]
        start_response("200 OK", [("Content-Type", prometheus.CONTENT_TYPE)])
        return [prometheus.text(current_run()).encode()]

    port = read_alone("metrics_port", port_text)
    server = WSGIServer((LOOPBACK, port), application, log=None)
    try:
        server.start()
    except OSError as error:
        raise OptionsError(
            [f"--metrics-port {port}: {error.strerror}; name another port"]
        ) from error
    return int(server.server_port)

"""Guards in front of every route of the page, Locust's own included: who may ask for what.

Without them a page of another site could stop a run through the browser of a person who watches it.
A name that an attacker has rebound to this machine (DNS rebinding) could read and start everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from flask import Flask, Response, request

from cdc_users.view.web.host import is_known

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
CORS_HEADERS = (
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials",
    "Access-Control-Allow-Headers",
    "Access-Control-Allow-Methods",
    "Access-Control-Expose-Headers",
)
#: Headers of every answer: other origins may not read, embed or frame it.
CLOSED = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
}


def install(application: Flask, names: Sequence[str]) -> None:
    """Guard all routes of the application; `names` are those by which it may be asked for."""

    def refuse() -> Response | None:
        asked = request.headers.get("Host", "")
        if not is_known(asked, names):
            return _refusal(
                421,
                "this page is not known by the name in the request; ask for it by address, or start"
                " Locust with --web-names NAME",
            )
        if request.method not in SAFE_METHODS and _foreign():
            return _refusal(403, "a page of another origin may not do this")
        return None

    def close(response: Response) -> Response:
        for name in CORS_HEADERS:
            response.headers.pop(name, None)
        response.headers.update(CLOSED)
        return response

    application.before_request_funcs.setdefault(None, []).insert(0, refuse)
    # The first in the list runs last: after Locust's own handler, which allows every origin.
    application.after_request_funcs.setdefault(None, []).insert(0, close)


def _refusal(status: int, text: str) -> Response:
    return Response(text, status, mimetype="text/plain")


def _foreign() -> bool:
    """Whether a browser says that a page of another origin sends this request."""
    origin = request.headers.get("Origin")
    if origin is None:
        return request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none")
    try:
        return urlsplit(origin).netloc != request.host
    except ValueError:  # it is no URL, e.g. http://[, which no page of ours has
        return True

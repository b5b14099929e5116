"""A connection to NATS by its URL, for callers without an event loop; the library is the extra
`streams` and is imported where it is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from threading import Thread
from typing import Any, Self

import orjson

from infra.client.access import NATS_PREFIX, HttpAccess, http_access, secret
from infra.validate import is_url

NATS_URL = f"{NATS_PREFIX}_URL"
NATS_FORM = "nats://HOST:PORT, or tls:// with TLS"
#: A file with a user's JWT and seed, as `nsc` writes it.
CREDENTIALS = f"{NATS_PREFIX}_CREDENTIALS"
TIMEOUT_S = 10.0
#: JetStream's error code for a missing stream.
_NOT_FOUND = 404


class NatsError(OSError):
    """NATS does not answer, or refuses a request; the message says what and where."""


def is_nats_url(text: str) -> bool:
    """Whether this is a possible address of NATS, without a login, which results would show."""
    return is_url(text, ("nats", "tls")) and "@" not in text


class NatsLink:
    """One connection, and a thread with its event loop."""

    def __init__(self, url: str, environ: Mapping[str, str] = os.environ) -> None:
        """Connect; raises NatsError."""
        from nats import connect

        self.url = url
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="NATS", daemon=True)
        self._thread.start()
        try:
            self._client = self._waited(connect(**_options(url, environ)))
        except Exception as error:
            self._end()
            raise NatsError(
                f"NATS does not answer at {url}: {type(error).__name__}: {error}"
            ) from error

    def ask(self, make: Callable[[Any], Awaitable[Any]]) -> Any:
        """Wait for the result of `make`, which uses the client; raises the library's errors."""
        return self._waited(_asked(make, self._client))

    def _waited(self, answer: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(answer, self._loop).result()

    def jetstream(self, request: str, body: object = None) -> Any:
        """One request of JetStream's API, such as `STREAM.INFO.orders`; the answer as plain data.

        None if the stream does not exist; raises NatsError for any other refusal.
        """
        data = b"" if body is None else orjson.dumps(body)
        subject = f"$JS.API.{request}"
        try:
            answer = self.ask(lambda client: client.request(subject, data, timeout=TIMEOUT_S))
        except Exception as error:
            raise NatsError(
                f"JetStream does not answer at {self.url}: {type(error).__name__}; is it on there?"
            ) from error
        found = orjson.loads(answer.data)
        if (refused := found.get("error")) is None:
            return found
        if refused.get("code") == _NOT_FOUND:
            return None
        raise NatsError(f"{request} is refused at {self.url}: {refused.get('description')}")

    def close(self) -> None:
        """Disconnect; the connection may be lost already."""
        with contextlib.suppress(Exception):
            self.ask(lambda client: client.close())
        self._end()

    def _end(self) -> None:
        """Stop the loop with everything that the library has left running in it."""
        self._waited(_all_cancelled())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


async def _all_cancelled() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _asked(make: Callable[[Any], Awaitable[Any]], client: Any) -> Any:
    return await make(client)


async def _say_nothing(_: Exception) -> None:
    """Ignore the error: the caller gets it, and the library would log it as well."""


def _options(url: str, environ: Mapping[str, str]) -> Mapping[str, Any]:
    access = http_access(NATS_PREFIX, environ)
    given = {
        "user": access.user,
        "password": secret(NATS_PREFIX, "PASSWORD", environ),
        "token": secret(NATS_PREFIX, "TOKEN", environ),
        "user_credentials": environ.get(CREDENTIALS, ""),
    }
    tls = url.startswith("tls:") or access.ca or access.certificate
    return {
        "servers": [url],
        "connect_timeout": TIMEOUT_S,
        # The caller connects again, because it knows where to continue.
        "allow_reconnect": False,
        "max_reconnect_attempts": 1,
        "reconnect_time_wait": 0.05,
        "error_cb": _say_nothing,
        **{name: text for name, text in given.items() if text},
        **({"tls": _tls(access)} if tls else {}),
    }


def _tls(access: HttpAccess) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=access.ca or None)
    if access.certificate:
        context.load_cert_chain(access.certificate, access.key or None)
    return context

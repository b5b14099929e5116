"""The webhook tap: it is the HTTP receiver itself, so the events that it applied have arrived."""

from __future__ import annotations

import asyncio
import hmac
import os
import ssl
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any

import numpy as np
import orjson
from aiohttp import web
from typing_extensions import override

from cdc_users.measure.clock import Anchor
from cdc_users.measure.ledger.bitmap import Numbers
from cdc_users.observe.declaration import TapDeclaration
from cdc_users.observe.events.change import ChangeParser, ReadChanges
from cdc_users.observe.events.dialect import NO_ROW, ChangeError, ObservedChange, change_of
from cdc_users.observe.message import TapPlace
from cdc_users.observe.settings import WebhookSettings
from cdc_users.observe.tap import ObservedRecord, Tap, TapError
from cdc_users.observe.taps.answer import ANSWERS, Handler, apply_and_answer
from infra.client.access import WEBHOOK_PREFIX, access_mistakes, http_access, secret
from infra.client.guard import octets

HOST = "127.0.0.1"
PATH = "/events"
START_S = 10.0
GOOD_BYE_S = 0.1
#: The header that identifies a request over all its attempts (IETF draft "The Idempotency-Key HTTP
#: Header Field").
IDEMPOTENCY_KEY = "Idempotency-Key"
#: How many requests are remembered; a later retry counts as a new request.
REMEMBERED = 100_000
MAX_BODY_BYTES = 64 * 1024 * 1024
#: A small body can hold many values, each of which takes some hundred bytes of memory.
MOST_VALUES = 4_000_000


@dataclass(frozen=True, slots=True)
class WebhookGuard:
    """Whom the receiver admits, and how it identifies itself; by default it admits everybody
    without TLS.

    The token is read when the receiver starts; if no `key` is named, it is in the certificate's
    file.
    """

    token: str = field(default="", repr=False)
    certificate: str = ""
    key: str = ""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> WebhookGuard:
        """The guard from CDC_WEBHOOK_TOKEN (or _TOKEN_FILE), _CERTIFICATE and _KEY; raises
        TapError.
        """
        if mistakes := access_mistakes(WEBHOOK_PREFIX, environ):
            raise TapError("; ".join(mistakes))
        access = http_access(WEBHOOK_PREFIX, environ)
        return cls(secret(WEBHOOK_PREFIX, "TOKEN", environ), access.certificate, access.key)

    def lets_in(self, header: str) -> bool:
        """Whether an Authorization header has the token (RFC 6750)."""
        return not self.token or hmac.compare_digest(
            octets(header), f"Bearer {self.token}".encode()
        )

    def context(self) -> ssl.SSLContext | None:
        """TLS with the certificate; None if there is none. Raises OSError for an unusable
        certificate.
        """
        if not self.certificate:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self.key or None)
        return context


class WebhookTap(Tap):
    """Receives change events as JSON: one object, an array of objects, or an object with such an
    array as `events`.

    A request whose idempotency key was applied already is answered and not applied again, as by a
    correct receiver. So a retry is a duplicate only if its events were really applied twice.
    """

    kind = "webhook"

    def __init__(
        self,
        settings: WebhookSettings,
        run: str,
        anchor: Anchor,
        handler: Handler = apply_and_answer,
    ) -> None:
        self.record = ObservedRecord(run)
        self.requests = self.retries = 0
        self._anchor = anchor
        self._parser = ChangeParser.of(settings)
        self._port = settings.port
        self._handler = handler
        self._guard = WebhookGuard.of(os.environ) if settings.guarded else WebhookGuard()
        self._applied: OrderedDict[str, None] = OrderedDict()
        self._ready = Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._url = ""
        self._failure = ""
        self._thread = Thread(target=self._run, name="webhook tap", daemon=True)

    @override
    def start(self) -> TapPlace:
        self._thread.start()
        self._ready.wait(START_S)
        if not self._url:
            raise TapError(
                f"the webhook receiver does not listen on {HOST}:{self._port}:"
                f" {self._failure or 'no answer'}"
            )
        return TapPlace(webhook_url=self._url)

    def _run(self) -> None:
        loop = asyncio.new_event_loop()
        runner: web.AppRunner | None = None
        try:
            runner = loop.run_until_complete(self._listen())
            self._loop = loop
            self._ready.set()
            loop.run_forever()
        except OSError as error:
            self._failure = str(error)
            self._ready.set()
        finally:
            if runner is not None:
                loop.run_until_complete(runner.cleanup())
                if self._guard.certificate:  # TLS sends its close after the connection was given up
                    loop.run_until_complete(asyncio.sleep(GOOD_BYE_S))
            loop.close()

    async def _listen(self) -> web.AppRunner:
        context = self._guard.context()
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_post(PATH, self._post)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, HOST, self._port, ssl_context=context).start()
        scheme = "http" if context is None else "https"
        self._url = f"{scheme}://{HOST}:{runner.addresses[0][1]}{PATH}"
        return runner

    async def _post(self, request: web.Request) -> web.StreamResponse:
        if not self._guard.lets_in(request.headers.get("Authorization", "")):
            raise web.HTTPUnauthorized(
                text="a token is needed", headers={"WWW-Authenticate": "Bearer"}
            )
        try:
            body = await request.read()
        except (
            web.RequestPayloadError
        ) as error:  # the body is not in the encoding that its header names
            raise web.HTTPBadRequest(text="the body cannot be decoded") from error
        self.requests += 1
        return await self._handler(
            request, lambda: self.apply(body, request.headers.get(IDEMPOTENCY_KEY))
        )

    def answer_as(self, how: str) -> None:
        """Answer requests from now on as one of ANSWERS; hanging requests go on hanging."""
        self._handler = ANSWERS[how]

    def apply(self, body: bytes, idempotency_key: str | None) -> web.Response:
        """Take in one request's events, unless its key was applied before; answers 400 for an
        unreadable body. An empty key identifies nothing.
        """
        if idempotency_key and idempotency_key in self._applied:
            self.retries += 1
            return web.json_response({"applied": 0})
        try:
            count = self._take(body)
        except ValueError as error:
            self.record.fail(f"a request cannot be read: {error}")
            return web.json_response({"error": str(error)}, status=400)
        if idempotency_key:
            self._applied[idempotency_key] = None
            if len(self._applied) > REMEMBERED:
                self._applied.popitem(last=False)
        return web.json_response({"applied": count})

    def _take(self, body: bytes) -> int:
        if sum(map(body.count, (b"{", b"[", b","))) > MOST_VALUES:
            raise ChangeError(f"more than {MOST_VALUES} values in one request; post fewer at once")
        changes = [change_of(one, self._parser.place) for one in self._documents(body)]
        changes = [change for change in changes if change["op"] != NO_ROW]
        seen_us = self._anchor.now_us()
        groups: dict[int, list[ObservedChange]] = {}
        for change in changes:
            groups.setdefault(_source(change, "partition", 0), []).append(change)
        size = len(body) // max(1, len(changes))
        # All of a request or nothing: a refused request comes again, and would be counted twice.
        events = [
            self._parser.parse(
                ReadChanges(group, [size] * len(group), partition, _positions(group), seen_us)
            )
            for partition, group in groups.items()
        ]
        for each in events:
            self.record.take(each)
        return len(changes)

    def _documents(self, body: bytes) -> Sequence[Any]:
        """The documents of a request. A row may have a column that is called `events`."""
        parsed = orjson.loads(body)
        if isinstance(parsed, dict) and parsed.keys().isdisjoint(
            {"op", *self._parser.place.columns}
        ):
            parsed = parsed.get("events", parsed)
        return parsed if isinstance(parsed, list) else [parsed]

    @override
    def stop(self) -> None:
        if self._thread.is_alive() and self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(START_S)

    @override
    def gauges(self) -> dict[str, object]:
        return {"requests": self.requests, "retries": self.retries}


def _positions(changes: Sequence[ObservedChange]) -> Numbers:
    return np.array([_source(change, "offset", -1) for change in changes], dtype=np.int64)


def _source(change: ObservedChange, name: str, otherwise: int) -> int:
    """A number in which the sink reports where the event came from; raises ChangeError for one that
    no partition and no offset can have.
    """
    for place in (change.get("source"), change):
        if isinstance(place, dict) and isinstance(number := place.get(name), int):
            if not -1 <= number < 1 << 63:
                raise ChangeError(f"{name} {number} is not a number of 63 bits")
            return number
    return otherwise


WEBHOOK_TAP = TapDeclaration("webhook", make=WebhookTap, settings=WebhookSettings)

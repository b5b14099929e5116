"""Posts change events to an HTTP address, a JSON array a batch or one object an event."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Literal

import aiohttp
from typing_extensions import override
from yarl import URL

from infra.platform.process.address import shown
from infra.platform.process.error import (
    ConfigError,
    RefusedError,
    Remedy,
    RetryableError,
    UnreachableError,
)
from infra.platform.sinks.batch import Batch, Partition
from infra.platform.sinks.connector import SinkConnector, WriteStatus
from infra.platform.sinks.webhook.document import documents, encode

BodyShape = Literal["batch", "single"]
TIMEOUT_S = 30.0
CONNECT_S = 5.0
LONGEST_RETRY_AFTER_S = 300.0
_RETRY = frozenset({408, 423, 425, 429})
#: About this request alone; writing less at a time finds the event.
_REFUSE_EVENT = frozenset({400, 409, 413, 414, 415, 422, 431})


class WebhookSink(SinkConnector):
    """An HTTP receiver; an answer of 2xx makes a batch durable.

    Events of a partition are posted in order, the next only after the answer to the last. After a
    failure a batch comes again under the same `Idempotency-Key` (topic, partition, first and last
    offset); after a crash of the platform batches may be cut differently, and then `source` tells
    an event's identity. So a receiver that looks at either takes every event once.
    """

    name = "webhook"

    def __init__(self, url: str, shape: BodyShape = "batch", timeout_s: float = TIMEOUT_S) -> None:
        self._url = url
        #: For messages: path and query may hold a token.
        self._shown = shown(url)
        self._shape = shape
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    @override
    async def open(self) -> None:
        """Makes a connection, posts nothing."""
        target = URL(self._url)
        try:
            _, writer = await asyncio.wait_for(
                asyncio.open_connection(target.host, target.port), CONNECT_S
            )
        except (OSError, TimeoutError) as error:
            raise UnreachableError(
                f"the webhook at {self._shown} takes no connection within {CONNECT_S:g} s: {error}"
            ) from error
        writer.close()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, connect=CONNECT_S),
            headers={"Content-Type": "application/json"},
        )

    @override
    async def identify(self, topic_ids: Mapping[str, str]) -> None:
        pass

    @override
    async def positions(self, places: Sequence[Partition]) -> None:
        return None

    @override
    async def write(self, batch: Batch) -> WriteStatus:
        events = documents(batch)
        offsets = batch.offsets.tolist()
        if self._shape == "batch":
            await self._post(
                encode(events), f"{batch.topic}-{batch.partition}-{offsets[0]}-{offsets[-1]}"
            )
        else:
            for event, offset in zip(events, offsets, strict=True):
                await self._post(encode(event), f"{batch.topic}-{batch.partition}-{offset}")
        return WriteStatus.DURABLE

    async def _post(self, body: bytes, key: str) -> None:
        assert self._session is not None, "open() comes first"
        try:
            async with self._session.post(
                self._url, data=body, headers={"Idempotency-Key": key}, allow_redirects=False
            ) as answer:
                await answer.read()
                _judge(
                    answer.status,
                    answer.headers.get("Retry-After"),
                    f"{self._shown} answered {answer.status}",
                )
        except TimeoutError as error:
            raise RetryableError(
                f"{self._shown} did not answer within {self._timeout_s:g} s"
            ) from error
        except aiohttp.ClientError as error:
            raise RetryableError(f"{self._shown} broke off: {_reason(error)}") from error

    @override
    async def flush(self) -> None:
        """Nothing is ever only accepted."""

    @override
    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _reason(error: aiohttp.ClientError) -> str:
    """What of aiohttp's text is about the connection; the rest may have the whole address in it."""
    return (
        f"{type(error).__name__}: {error}" if isinstance(error, OSError) else type(error).__name__
    )


def remedy(status: int) -> Remedy:
    """What to do about an answer that is no yes (RFC 9110, section 15)."""
    if status >= 500 or status in _RETRY:
        return Remedy.RETRY
    return Remedy.REFUSE_EVENT if status in _REFUSE_EVENT else Remedy.END


def _judge(status: int, retry_after: str | None, what: str) -> None:
    """Raise what an answer means, unless it is a yes."""
    if 200 <= status < 300:
        return
    found = remedy(status)
    if found is Remedy.RETRY:
        raise RetryableError(what, retry_after_s(retry_after))
    if found is Remedy.REFUSE_EVENT:
        raise RefusedError(what)
    raise ConfigError(f"{what}; give an address that takes change events by POST without a login")


def retry_after_s(text: str | None, now_s: float | None = None) -> float:
    """The header's seconds or date (RFC 9110, section 10.2.3) as seconds from now, within bounds;

    0 without one.
    """
    if not text:
        return 0.0
    try:
        wait_s = (
            float(text)
            if text.isdigit()
            else _date_s(text) - (time.time() if now_s is None else now_s)
        )
    except ValueError:
        return 0.0
    return min(max(wait_s, 0.0), LONGEST_RETRY_AFTER_S)


def _date_s(text: str) -> float:
    return parsedate_to_datetime(text).timestamp()

"""Posts change events to an HTTP address: one JSON array for a batch, or one object for an
event.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import aiohttp
from typing_extensions import override
from yarl import URL

from infra.platform.process.address import shown
from infra.platform.process.error import RefusedError, UnreachableError
from infra.platform.sinks.batch import Batch, Partition
from infra.platform.sinks.connector import SinkConnector, WriteStatus
from infra.platform.sinks.webhook.document import documents, encode
from infra.platform.sinks.webhook.failure import failure_of, judge

BodyShape = Literal["batch", "single"]
TIMEOUT_S = 30.0
CONNECT_S = 5.0
REQUEST_BYTES = 8_000_000
#: Up to this many bytes of an answer's body are read, so that its connection can be used again.
ANSWER_BYTES = 65_536
#: A connection that went silent without closing is detected after this time without an
#: acknowledgement.
SILENT_S = 30
_KEEPALIVES = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}


class WebhookSink(SinkConnector):
    """An HTTP receiver; an answer of 2xx makes a batch durable.

    Events of a partition are posted in order, each only after the answer to the one before. After a
    failure a batch comes again under the same `Idempotency-Key` (topic, partition, first and last
    offset). After a crash of the platform batches may be cut differently; then `source` gives an
    event's identity. So a receiver that checks either of them takes every event once.
    """

    name = "webhook"

    def __init__(
        self,
        url: str,
        shape: BodyShape = "batch",
        timeout_s: float = TIMEOUT_S,
        request_bytes: int = REQUEST_BYTES,
    ) -> None:
        self._url = url
        #: For messages, because path and query may hold a token.
        self._shown = shown(url)
        self._shape = shape
        self._timeout_s = timeout_s
        self._request_bytes = request_bytes
        self._session: aiohttp.ClientSession | None = None
        #: The offset behind the last event of each partition that the receiver has taken. If a part
        #: of a batch was refused or failed, the parts before it are not posted again.
        self._taken: dict[Partition, int] = {}

    @override
    async def open(self) -> None:
        """Open a connection; posts nothing."""
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
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=60, socket_factory=_attentive_socket
            ),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, connect=CONNECT_S),
            headers={"Content-Type": "application/json"},
            auto_decompress=False,
        )

    @override
    async def identify(self, topic_ids: Mapping[str, str]) -> None:
        pass

    @override
    async def positions(self, places: Sequence[Partition]) -> None:
        for place in places:
            self._taken.pop(place, None)

    @override
    async def write(self, batch: Batch) -> WriteStatus:
        done = int((batch.offsets < self._taken.get(batch.place, 0)).sum())
        if done == len(batch):
            return WriteStatus.DURABLE
        rest = batch.split(done)[1] if done else batch
        offsets = rest.offsets.tolist()
        for body, first, last in self._bodies(rest):
            ends = (
                f"{offsets[first]}"
                if self._shape == "single"
                else f"{offsets[first]}-{offsets[last]}"
            )
            await self._post(body, f"{batch.topic}-{batch.partition}-{ends}")
            self._taken[batch.place] = offsets[last] + 1
        return WriteStatus.DURABLE

    def _bodies(self, batch: Batch) -> Iterator[tuple[bytes, int, int]]:
        """The requests of a batch, each with its first and last event."""
        events = documents(batch)
        try:
            whole = encode(events) if self._shape == "batch" else b""
            if whole and len(whole) <= self._request_bytes:
                yield whole, 0, len(events) - 1
                return
            parts = [encode(event) for event in events]
        except (TypeError, RecursionError) as error:
            raise RefusedError(
                f"an event of {batch.topic}[{batch.partition}] cannot be written as JSON: {error}"
            ) from error
        if self._shape == "single":
            yield from ((part, row, row) for row, part in enumerate(parts))
        else:
            yield from _joined(parts, self._request_bytes)

    async def _post(self, body: bytes, key: str) -> None:
        """Post one request and read its answer. If the partition is revoked during that time, the
        request is not cut: the receiver might take it late, after the next owner has sent its
        events again.
        """
        exchange = asyncio.ensure_future(self._exchange(body, key))
        try:
            await asyncio.shield(exchange)
        except asyncio.CancelledError:
            await asyncio.wait([exchange])
            exchange.cancelled() or exchange.exception()  # retrieved, or asyncio would log it
            raise

    async def _exchange(self, body: bytes, key: str) -> None:
        assert self._session is not None, "open() comes first"
        try:
            async with self._session.post(
                self._url, data=body, headers={"Idempotency-Key": key}, allow_redirects=False
            ) as answer:
                await _read(answer)
        except (TimeoutError, aiohttp.ClientError) as error:
            raise failure_of(error, self._shown, self._timeout_s) from error
        judge(
            answer.status,
            answer.headers.get("Retry-After"),
            f"{self._shown} answered {answer.status}",
        )

    @override
    async def flush(self) -> None:
        pass

    @override
    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _joined(parts: Sequence[bytes], most: int) -> Iterator[tuple[bytes, int, int]]:
    """Arrays of as many events as fit, from the first on; so events that come again make the same
    requests.
    """
    first, size = 0, 2
    for row, part in enumerate(parts):
        if row > first and size + len(part) + 1 > most:
            yield b"[" + b",".join(parts[first:row]) + b"]", first, row - 1
            first, size = row, 2
        size += len(part) + 1
    yield b"[" + b",".join(parts[first:]) + b"]", first, len(parts) - 1


async def _read(answer: aiohttp.ClientResponse) -> None:
    """Read the answer's body and drop it; a body without an end costs the connection."""
    left = ANSWER_BYTES
    while left > 0:
        part = await answer.content.read(left)
        if not part:
            return
        left -= len(part)
    answer.close()


def _attentive_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket whose kernel detects the other side's silence, if the system supports that."""
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (*_KEEPALIVES.items(), ("TCP_USER_TIMEOUT", SILENT_S * 1000)):
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made

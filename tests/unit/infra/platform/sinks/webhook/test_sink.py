"""What the webhook sink makes of a receiver's answers, and of one that gives none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import orjson
import pytest
from aiohttp import web

from infra.platform.process.error import ConfigError, RefusedError, RetryableError, UnreachableError
from infra.platform.process.retry import Backoff
from infra.platform.sinks.connector import WriteStatus
from infra.platform.sinks.retrying import RetryingSink
from infra.platform.sinks.webhook.sink import WebhookSink, retry_after_s
from tests.batches import Partition
from tests.change_events import inserts

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def receiver(answer: Answer) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_post("/", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


@asynccontextmanager
async def opened(url: str, timeout_s: float = 30.0) -> AsyncIterator[WebhookSink]:
    sink = WebhookSink(url, timeout_s=timeout_s)
    await sink.open()
    yield sink
    await sink.close()


def always(status: int, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(
            status=status, headers={name.replace("_", "-"): text for name, text in headers.items()}
        )

    return answer


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, RetryableError),
        (503, RetryableError),
        (429, RetryableError),
        (408, RetryableError),
        (400, RefusedError),
        (413, RefusedError),
        (422, RefusedError),
        (401, ConfigError),
        (404, ConfigError),
        (307, ConfigError),
    ],
)
async def test_an_answer_tells_whether_to_try_again(status: int, error: type[Exception]) -> None:
    async with receiver(always(status)) as url, opened(url) as sink:
        with pytest.raises(error, match=str(status)):
            await sink.write(Partition().batch(list(inserts(1))))


async def test_retry_after_is_passed_on() -> None:
    async with receiver(always(429, Retry_After="7")) as url, opened(url) as sink:
        with pytest.raises(RetryableError) as caught:
            await sink.write(Partition().batch(list(inserts(1))))

    assert caught.value.retry_after_s == 7


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        (None, 0),
        ("", 0),
        ("12", 12),
        ("99999999", 300),
        ("nonsense", 0),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 50),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, wait_s: float) -> None:
    assert retry_after_s(text, now_s=10.0) == wait_s


async def test_a_receiver_that_hangs_is_given_up_and_asked_again() -> None:
    requests: list[str] = []
    released = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        requests.append(request.headers["Idempotency-Key"])
        if len(requests) == 1:
            await released.wait()
        return web.Response()

    async with receiver(answer) as url, opened(url, timeout_s=0.2) as sink:
        status = await RetryingSink(sink, Backoff(0.01, 0.02, 10)).write(
            Partition().batch(list(inserts(3)))
        )
        released.set()

    assert status is WriteStatus.DURABLE
    assert requests == ["test-0-0-2", "test-0-0-2"]


async def test_a_body_has_the_events_with_their_place() -> None:
    bodies: list[bytes] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        bodies.append(await request.read())
        return web.Response()

    async with receiver(answer) as url, opened(url) as sink:
        await sink.write(Partition("t", 3).batch(list(inserts(2))))

    events = orjson.loads(bodies[0])
    assert [event["op"] for event in events] == ["c", "c"]
    assert [event["key"] for event in events] == [{"id": 1}, {"id": 2}]
    assert events[1]["source"].items() >= {"topic": "t", "partition": 3, "offset": 1}.items()
    assert events[0]["before"] is None
    assert events[0]["after"]["balance"] == "0.37"


async def test_a_receiver_that_is_not_there_is_named() -> None:
    with pytest.raises(UnreachableError, match=r"webhook at http://127\.0\.0\.1:1 takes"):
        await WebhookSink("http://127.0.0.1:1/").open()


@pytest.mark.parametrize("trouble", ["answer", "silence", "garbage"])
async def test_no_failure_shows_the_token_in_the_address(trouble: str) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if trouble == "answer":
            writer.write(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")
        elif trouble == "garbage":
            writer.write(b"no HTTP at all\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, opened(f"{address}/hush?token=hush") as sink:
        with pytest.raises(RetryableError, match=address) as caught:
            await sink.write(Partition().batch(list(inserts(1))))

    assert "hush" not in str(caught.value)

"""What the webhook sink makes of a receiver's answers, and of one that gives none."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import orjson
import pytest
from aiohttp import web

from infra.platform.process.error import ConfigError, RefusedError, RetryableError, UnreachableError
from infra.platform.process.retry import Backoff
from infra.platform.sinks.connector import WriteStatus
from infra.platform.sinks.retrying import RetryingSink
from infra.platform.sinks.webhook.failure import remedy, retry_after_s
from infra.platform.sinks.webhook.sink import (
    REQUEST_BYTES,
    BodyShape,
    WebhookSink,
    _attentive_socket,
)
from tests.batches import Partition
from tests.change_events import inserts

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def receiver(answer: Answer) -> AsyncIterator[str]:
    application = web.Application(client_max_size=2**26)
    application.router.add_post("/", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


@asynccontextmanager
async def opened(
    url: str,
    timeout_s: float = 30.0,
    shape: BodyShape = "batch",
    request_bytes: int = REQUEST_BYTES,
) -> AsyncIterator[WebhookSink]:
    sink = WebhookSink(url, shape, timeout_s, request_bytes)
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
        (414, RefusedError),
        (431, RefusedError),
        (422, RefusedError),
        (507, RetryableError),
        (524, RetryableError),
        (501, ConfigError),
        (505, ConfigError),
        (401, ConfigError),
        (403, ConfigError),
        (405, ConfigError),
        (410, ConfigError),
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


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "wants a login"), (403, "wants a login"), (308, "a redirect, which is not followed")],
)
async def test_what_only_its_owner_can_mend_says_what_that_is(status: int, words: str) -> None:
    async with receiver(always(status, Location="/elsewhere")) as url, opened(url) as sink:
        with pytest.raises(ConfigError, match=words):
            await sink.write(Partition().batch(list(inserts(1))))


def test_every_answer_has_a_remedy() -> None:
    assert all(remedy(status) for status in [*range(100, 200), *range(300, 600)])


class Taking:
    """A receiver that notes what it takes, and answers each request as it is told."""

    def __init__(self, *statuses: int) -> None:
        self.keys: list[str] = []
        self.sizes: list[int] = []
        self.offsets: list[int] = []
        self._statuses = list(statuses)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        status = self._statuses.pop(0) if self._statuses else 200
        if status == 200:
            self.keys.append(request.headers["Idempotency-Key"])
            self.sizes.append(len(body))
            found = orjson.loads(body)
            events = found if isinstance(found, list) else [found]
            self.offsets += [event["source"]["offset"] for event in events]
        return web.Response(status=status)


async def test_requests_stay_below_their_bound_at_ten_times_of_it() -> None:
    taking = Taking()
    async with receiver(taking.answer) as url, opened(url, request_bytes=20_000) as sink:
        await sink.write(Partition().batch(list(inserts(200, text="x" * 1000))))

    assert taking.offsets == list(range(200))
    assert len(taking.sizes) > 10
    assert max(taking.sizes) <= 20_000


async def test_an_event_above_the_bound_goes_alone() -> None:
    taking = Taking()
    async with receiver(taking.answer) as url, opened(url, request_bytes=1_000) as sink:
        await sink.write(Partition().batch(list(inserts(3, text="x" * 5000))))

    assert taking.keys == ["test-0-0-0", "test-0-1-1", "test-0-2-2"]


@pytest.mark.parametrize("shape", ["batch", "single"])
async def test_what_was_taken_is_not_posted_again_when_a_later_part_fails(shape: BodyShape) -> None:
    taking = Taking(200, 503, 200, 400)
    batch = Partition().batch(list(inserts(4, text="x" * 1000)))
    async with (
        receiver(taking.answer) as url,
        opened(url, shape=shape, request_bytes=2_500) as sink,
    ):
        with pytest.raises(RetryableError):
            await sink.write(batch)
        with pytest.raises(RefusedError):
            await sink.write(batch)
        await sink.write(batch)

    assert taking.offsets == [0, 1, 2, 3]


async def test_a_partition_that_comes_back_is_posted_from_where_it_begins() -> None:
    taking = Taking()
    batch = Partition().batch(list(inserts(2)))
    async with receiver(taking.answer) as url, opened(url) as sink:
        await sink.write(batch)
        await sink.positions([("test", 0)])
        await sink.write(batch)

    assert taking.offsets == [0, 1, 0, 1]


async def test_a_request_under_way_ends_before_a_write_that_is_cut_does() -> None:
    ended = asyncio.Event()
    begun = asyncio.Event()

    async def answer(_: web.Request) -> web.StreamResponse:
        begun.set()
        await asyncio.sleep(0.1)
        ended.set()
        return web.Response()

    async with receiver(answer) as url, opened(url) as sink:
        writing = asyncio.create_task(sink.write(Partition().batch(list(inserts(1)))))
        await begun.wait()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing

    assert ended.is_set()


async def test_an_answer_without_an_end_costs_its_connection_and_no_memory() -> None:
    sent = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while sent < 2**26:
                await response.write(bytes(65_536))
                sent += 65_536
        return response

    async with receiver(answer) as url, opened(url) as sink:
        status = await sink.write(Partition().batch(list(inserts(1))))

    assert status is WriteStatus.DURABLE
    assert sent < 2**26


async def test_a_receiver_that_takes_a_connection_and_never_answers_is_noticed() -> None:
    released = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await released.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, opened(url, timeout_s=0.2) as sink:
        with pytest.raises(RetryableError, match=r"did not answer within 0\.2 s"):
            await sink.write(Partition().batch(list(inserts(1))))
        released.set()


async def test_sockets_notice_a_silent_other_side() -> None:
    family = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 1))
    with _attentive_socket(family) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000

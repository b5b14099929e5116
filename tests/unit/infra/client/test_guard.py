"""Servers of ours on loopback answer programs and no web page."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from aiohttp import ClientSession

from cdc_users.measure.clock import new_anchor
from cdc_users.observe.gauge import Gauges, Sampling
from cdc_users.observe.message import Final
from cdc_users.observe.server import ObserverServer
from infra.validate import host_of

#: A comparison that the observer can carry out.
SIDE = {"kind": "tap", "name": "sink"}
COMPARISON = {"source": SIDE, "sink": SIDE}


TOKEN = "known"


async def _statuses(headers: Mapping[str, str], token: str = TOKEN) -> list[int]:
    """How the observer answers one read and one write with these headers."""
    observer = ObserverServer({}, Sampling(Gauges(), new_anchor()), lambda _: Final(), token)
    url = await observer.start()
    try:
        async with ClientSession(headers=headers) as session:
            async with session.get(f"{url}/progress") as read:
                pass
            async with session.post(f"{url}/final", json=COMPARISON) as write:
                pass
    finally:
        await observer.stop()
    return [read.status, write.status]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, [200, 200]),
        ({"Host": "evil.example"}, [421, 421]),
        ({"Host": "127.0.0.1.evil.example:80"}, [421, 421]),
        ({"Host": ""}, [421, 421]),
        ({"Origin": "http://evil.example"}, [403, 403]),
        ({"Origin": "null"}, [403, 403]),
    ],
)
def test_a_web_page_is_not_answered(headers: dict[str, str], expected: list[int]) -> None:
    known = {"Authorization": f"Bearer {TOKEN}", **headers}
    assert asyncio.run(_statuses(known)) == expected


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({}, TOKEN),
        ({"Authorization": "Bearer other"}, TOKEN),
        ({"Authorization": "Bearer knöwn"}, TOKEN),
        ({"Authorization": "Bearer "}, ""),
        ({}, ""),
    ],
)
def test_another_user_of_the_machine_has_nothing_read_for_him(
    headers: dict[str, str], token: str
) -> None:
    assert asyncio.run(_statuses(headers, token)) == [401, 401]


async def _raw(authorization: bytes) -> bytes:
    """The first line of the answer to a request with these very bytes as its token."""
    observer = ObserverServer({}, Sampling(Gauges(), new_anchor()), lambda _: Final(), TOKEN)
    url = await observer.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    try:
        head = b"GET /progress HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        writer.write(head + b"Authorization: " + authorization + b"\r\n\r\n")
        return await reader.readline()
    finally:
        writer.close()
        await writer.wait_closed()
        await observer.stop()


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (b"Bearer known", b"200"),
        (b"Bearer known\xff", b"401"),
        (b"\xff\xfe", b"401"),
        (b"Bearer \xed\xa0\x80", b"401"),
        (b"bearer known", b"401"),
        (b"Bearer known, Bearer known", b"401"),
    ],
)
def test_a_token_of_any_bytes_is_let_in_or_refused(authorization: bytes, status: bytes) -> None:
    assert asyncio.run(_raw(authorization)).split()[1] == status


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("127.0.0.1:8089", "127.0.0.1"),
        ("[::1]:80", "::1"),
        ("Name.Example", "name.example"),
        ("user@127.0.0.1", "127.0.0.1"),
        ("[::1", ""),
        ("", ""),
    ],
)
def test_the_host_of_a_header_is_known(header: str, host: str) -> None:
    assert host_of(header) == host

"""The observer's routes under requests that no client of ours makes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from aiohttp import ClientSession

from cdc_users.measure.clock import new_anchor
from cdc_users.observe.gauge import Gauges, Sampling
from cdc_users.observe.message import Final, FinalRequest
from cdc_users.observe.server import ObserverServer

TOKEN = "known"


def _compare(asked: FinalRequest) -> Final:
    assert asked.source
    return Final()


async def _status(method: str, route: str, body: bytes, headers: Mapping[str, str]) -> int:
    observer = ObserverServer({}, Sampling(Gauges(), new_anchor()), _compare, TOKEN)
    url = await observer.start()
    try:
        async with (
            ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
            session.request(method, url + route, data=body or None, headers=headers) as answer,
        ):
            assert len(await answer.read()) < 1000
            return answer.status
    finally:
        await observer.stop()


@pytest.mark.parametrize("after", ["²", "-1", "x", "9" * 5000, "1e3"])
def test_samples_are_asked_for_by_number(after: str) -> None:
    assert asyncio.run(_status("GET", f"/samples?after={after}", b"", {})) == 400


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"{", {}),
        (b"\xff\xfe", {}),
        (b"[" * 100_000, {}),
        (b"[]", {}),
        (b"5", {}),
        (b'{"source": []}', {}),
        (b'{"source": {"kind": ' + b"9" * 5000 + b"}", {}),
        (b"no gzip", {"Content-Encoding": "gzip"}),
        (b"{}", {"Content-Type": "application/json; charset=nonsense"}),
        (b'{"source": {"kind": "nonsense"}, "sink": {"kind": "tap", "name": "sink"}}', {}),
    ],
)
def test_what_cannot_be_compared_is_refused(body: bytes, headers: dict[str, str]) -> None:
    assert asyncio.run(_status("POST", "/final", body, headers)) == 400


@pytest.mark.parametrize("route", ["/places", "/processes"])
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}),
        (b"[]", {}),
        (b'{"pids": {"x": "1"}, "tap": 5, "events": 5}', {}),
        (b'{"pids": {"x": 1.5}, "tap": "nobody", "events": []}', {}),
        (b"no gzip", {"Content-Encoding": "gzip"}),
        (b"no deflate", {"Content-Encoding": "deflate"}),
    ],
)
def test_a_request_in_another_form_is_refused(
    route: str, body: bytes, headers: dict[str, str]
) -> None:
    assert asyncio.run(_status("POST", route, body, headers)) == 400


def test_what_can_be_compared_is() -> None:
    side = b'{"kind": "tap", "name": "sink"}'
    body = b'{"source": ' + side + b', "sink": ' + side + b"}"
    assert asyncio.run(_status("POST", "/final", body, {})) == 200


@pytest.mark.parametrize("route", ["/answer?tap=sink&how=500", "/answer", "/answer?how=shout"])
def test_there_is_no_answer_to_change_without_a_webhook_tap(route: str) -> None:
    assert asyncio.run(_status("POST", route, b"", {})) == 400

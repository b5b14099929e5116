"""Streams of real servers as places where events come out: all that stands in them is seen once and
in order, and what cannot be watched is refused with the remedy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cdc_users.measure.clock import new_anchor
from cdc_users.observe.config import make_taps
from cdc_users.observe.settings import ObserverSettings
from cdc_users.observe.tap import Tap, TapError
from infra.client.nats import NatsLink
from infra.client.redis import redis_client
from infra.stack.emulators.emulator import running
from infra.stack.emulators.nats import nats_server
from infra.stack.emulators.nats import recipe as nats_recipe
from infra.stack.emulators.redis import redis_server
from infra.stack.servers.port import HOST, free_ports
from tests.unit.cdc_users.observe.taps.test_stream import RUN, event

DEADLINE_S = 30.0


@dataclass
class Service:
    """A stream in a service: where it is, and what writes one value into it."""

    kind: str
    url: str
    put: Callable[[bytes], object]

    def tap(self, **config: Any) -> Tap:
        named = {"name": "sink", "kind": self.kind, "url": self.url, "stream": "s", **config}
        settings = ObserverSettings(run=RUN, taps=(named,))
        return make_taps(settings, new_anchor())["sink"]


@contextmanager
def redis(place: Path) -> Iterator[Service]:
    with redis_server(place, {}) as url, closing(redis_client(url, {})) as client:
        yield Service("redis", url, lambda value: client.xadd("s", {b"key": value}))


@contextmanager
def nats(place: Path) -> Iterator[Service]:
    with nats_server(place, {}) as url, NatsLink(url, {}) as link:
        link.jetstream("STREAM.CREATE.s", {"name": "s", "subjects": ["s"]})
        yield Service("nats", url, published(link))


def published(link: NatsLink) -> Callable[[bytes], object]:
    return lambda value: link.ask(lambda client: client.jetstream().publish("s", value))


@pytest.fixture(params=[redis, nats])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    with request.param(tmp_path) as made:
        yield made


@contextmanager
def watching(tap: Tap) -> Iterator[Tap]:
    tap.start()
    try:
        yield tap
    finally:
        tap.stop()


def await_events(tap: Tap, count: int) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while tap.record.events < count:
        assert time.monotonic() < deadline_s, (tap.record.events, tap.record.errors)
        time.sleep(0.01)


def test_what_was_there_and_what_comes_is_seen_once_and_in_order(service: Service) -> None:
    for number in range(1, 1501):  # more than one read takes
        service.put(event(number))
    with watching(service.tap()) as tap:
        await_events(tap, 1500)
        service.put(b"")  # a tombstone
        service.put(event(1501))
        service.put(event(1500))
        await_events(tap, 1502)

    step = tap.record.snapshot().steps[1]
    assert (step.delivered, step.duplicated, tap.record.failed) == (1501, 1, 0)
    assert tap.record.errors == []


def test_from_the_end_on_nothing_of_before_is_seen(service: Service) -> None:
    service.put(event(1))
    with watching(service.tap(from_end=True)) as tap:
        service.put(event(2))
        await_events(tap, 1)

    assert tap.record.snapshot().steps[1].delivered == 1


def test_a_server_that_is_not_there_is_told(service: Service) -> None:
    (port,) = free_ports(1)
    tap = service.tap(url=f"{service.url.rpartition(':')[0]}:{port}")
    with pytest.raises(TapError, match=str(port)):
        tap.start()


def test_what_is_no_stream_of_redis_is_told(tmp_path: Path) -> None:
    with redis(tmp_path) as made, closing(redis_client(made.url, {})) as client:
        client.set("text", "x")
        with pytest.raises(TapError, match=r"is no stream of Redis at .* but a string"):
            made.tap(stream="text").start()


def test_a_stream_that_is_not_there_and_a_work_queue_are_told(tmp_path: Path) -> None:
    with nats(tmp_path) as made, NatsLink(made.url, {}) as link:
        with pytest.raises(TapError, match="there is no stream 'none'"):
            made.tap(stream="none").start()
        queue = {"name": "queue", "subjects": ["queue"], "retention": "workqueue"}
        link.jetstream("STREAM.CREATE.queue", queue)
        with pytest.raises(TapError, match="is a work queue"):
            made.tap(stream="queue").start()


def test_a_nats_that_was_away_is_read_on_from_where_it_was_left(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    url = f"nats://{HOST}:{port}"
    with running(nats_recipe(tmp_path, port), tmp_path), NatsLink(url, {}) as link:
        link.jetstream("STREAM.CREATE.s", {"name": "s", "subjects": ["s"]})
        published(link)(event(1))
        tap = Service("nats", url, published(link)).tap()
        tap.start()
        await_events(tap, 1)
    try:
        with running(nats_recipe(tmp_path, port), tmp_path), NatsLink(url, {}) as link:
            published(link)(event(2))
            await_events(tap, 2)
    finally:
        tap.stop()

    step = tap.record.snapshot().steps[1]
    assert (step.delivered, step.duplicated) == (2, 0)
    assert tap.record.errors, "that it was away is told"

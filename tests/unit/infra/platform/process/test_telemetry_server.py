"""What a process of the platform tells about itself, to whom, and that it goes on meanwhile."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout
from prometheus_client.parser import text_string_to_metric_families
from typing_extensions import override

from cdc_users.measure.ledger.ledger import Ledger
from cdc_users.measure.step import StepFigures
from infra.client.environment import TELEMETRY_TOKEN
from infra.platform.process.error import ConfigError
from infra.platform.process.telemetry_server import Figure, TelemetryServer, held_mistakes
from infra.platform.wal.__main__ import exit_code

WAIT_S = 10.0
TOKEN = "secret-of-the-test"


class Source:
    """Where nothing has failed."""

    errors: Sequence[str] = ()

    def __init__(self) -> None:
        self.begun = 0

    def begin(self) -> None:
        self.begun += 1

    def snapshot(self) -> dict[str, Any]:
        return {}


class Arrived:
    """A ledger that takes until something else was answered."""

    def __init__(self) -> None:
        self.asked, self.others = threading.Event(), threading.Event()

    def arrivals(self) -> Arrived:
        return self

    def encode(self) -> dict[str, Any]:
        self.asked.set()
        return {"waited": self.others.wait(WAIT_S)}


class Sink:
    """Where events have arrived."""

    steps: Mapping[int, StepFigures] = MappingProxyType({})

    def __init__(self, ledger: Any) -> None:
        self.ledger: Ledger = ledger

    def snapshot(self) -> dict[str, Any]:
        return {}


async def test_others_are_answered_while_a_ledger_is_put_together() -> None:
    arrived = Arrived()
    server = TelemetryServer(Source(), Sink(arrived))
    url = await server.start(0)
    try:
        async with ClientSession(timeout=ClientTimeout(2 * WAIT_S)) as session:
            asked = asyncio.create_task(_read(session, f"{url}/ledger"))
            assert await asyncio.to_thread(arrived.asked.wait, WAIT_S)
            assert await _read(session, f"{url}/healthz") == {"errors": []}
            arrived.others.set()
            assert await asked == {"waited": True}
    finally:
        await server.stop()


async def _read(session: ClientSession, url: str) -> Any:
    async with session.get(url) as answer:
        return await answer.json()


class Counted(TelemetryServer):
    """With a counter and a gauge."""

    @override
    def figures(self) -> Sequence[Figure]:
        return (
            Figure("cdc_platform_writes_total", "Batches written.", 3),
            Figure("cdc_platform_queue_events", "Events that wait.", float("nan")),
        )


@pytest.fixture
async def served(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Source, str]]:
    monkeypatch.setenv(TELEMETRY_TOKEN, TOKEN)
    source = Source()
    server = Counted(source, Sink(Arrived()))
    yield source, await server.start(0)
    await server.stop()


async def test_a_port_that_is_taken_is_a_mistake_of_the_options() -> None:
    first, second = TelemetryServer(Source(), Sink(None)), TelemetryServer(Source(), Sink(None))
    port = int((await first.start(0)).rpartition(":")[2])
    try:
        with pytest.raises(ConfigError) as told:
            await second.start(port)
    finally:
        await first.stop()
        await second.stop()

    assert str(told.value) == (
        f"--telemetry-port {port}: Address already in use; name another port, or 0 for any free one"
    )
    assert exit_code(told.value) == 2


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
async def test_begin_without_the_token_is_refused(
    served: tuple[Source, str], headers: dict[str, str]
) -> None:
    source, url = served

    async with ClientSession() as session, session.post(f"{url}/begin", headers=headers) as answer:
        assert answer.status == 403
        assert TELEMETRY_TOKEN in await answer.text()
    assert source.begun == 0


async def test_begin_with_the_token_begins(served: tuple[Source, str]) -> None:
    source, url = served
    headers = {"Authorization": f"Bearer {TOKEN}"}

    async with ClientSession() as session, session.post(f"{url}/begin", headers=headers) as answer:
        assert answer.status == 200
    assert source.begun == 1


async def test_without_a_token_of_its_own_a_process_begins_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(TELEMETRY_TOKEN, raising=False)
    source = Source()
    server = Counted(source, Sink(Arrived()))
    url = await server.start(0)
    headers = {"Authorization": "Bearer "}
    async with ClientSession() as session, session.post(f"{url}/begin", headers=headers) as answer:
        assert answer.status == 403
    await server.stop()

    assert source.begun == 0
    assert held_mistakes("yes", {})
    assert not held_mistakes("no", {})
    assert not held_mistakes("yes", {TELEMETRY_TOKEN: TOKEN})


@pytest.mark.parametrize("path", ["/snapshot", "/metrics", "/healthz"])
async def test_a_name_that_was_bound_to_the_address_by_somebody_else_reads_nothing(
    served: tuple[Source, str], path: str
) -> None:
    headers = {"Host": "evil.example"}

    async with ClientSession() as session, session.get(served[1] + path, headers=headers) as answer:
        assert answer.status == 403


async def test_metrics_are_what_prometheus_reads(served: tuple[Source, str]) -> None:
    async with ClientSession() as session, session.get(f"{served[1]}/metrics") as answer:
        assert answer.content_type == "text/plain"
        text = await answer.text()

    families = {family.name: family for family in text_string_to_metric_families(text)}
    writes, queue = families["cdc_platform_writes"], families["cdc_platform_queue_events"]
    assert (writes.type, writes.documentation) == ("counter", "Batches written.")
    assert [(one.name, one.value) for one in writes.samples] == [("cdc_platform_writes_total", 3)]
    assert queue.type == "gauge"
    assert math.isnan(queue.samples[0].value)
    assert families["cdc_platform_resident_memory_bytes"].samples[0].value > 0


async def test_the_number_of_a_sample_is_plain_digits(served: tuple[Source, str]) -> None:
    async with ClientSession() as session:
        for after, status in (("7", 200), ("\N{SUPERSCRIPT TWO}", 400), ("9" * 30, 400)):
            async with session.get(f"{served[1]}/samples", params={"after": after}) as answer:
                assert answer.status == status


def test_the_direct_readers_process_loads_nothing_of_the_consumer() -> None:
    statement = (
        "import infra.platform.wal.__main__, json, sys; print(json.dumps(list(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", statement], capture_output=True, text=True, check=True
    )
    modules = json.loads(done.stdout)

    assert "infra.platform.process.telemetry_server" in modules
    assert [name for name in modules if name.startswith("infra.platform.consume")] == []
    assert [name for name in modules if name.startswith("infra.platform.sinks")] == []

"""A server is asked until it answers, and what it is not let in to is told with the remedy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from infra.stack.endpoints import Endpoints
from infra.stack.error import StackError
from infra.stack.servers.probe import ServerProbe, await_answer, probe_connect, probes
from tests.json_server import JsonRequest, JsonServer, serving

DEBEZIUM = {"class": "io.debezium.connector.postgresql.PostgresConnector"}


class Connect(JsonServer):
    """A Kafka Connect that answers each path as it is told."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {"/connectors": (200, [])}
        super().__init__()

    def answer(self, request: JsonRequest) -> tuple[int, Any]:
        return self.answers[request.path]


@pytest.fixture
def connect() -> Iterator[Connect]:
    with serving(Connect()) as server:
        yield server


def test_connect_answers_when_it_knows_debezium_and_its_group(connect: Connect) -> None:
    connect.answers["/connector-plugins"] = (200, [{"class": "org.x.Mirror"}, DEBEZIUM])

    probe_connect(connect.url, {})

    assert [request.path for request in connect.asked] == ["/connector-plugins", "/connectors"]


@pytest.mark.parametrize("plugins", [[], [{"class": "org.apache.kafka.connect.mirror.Mirror"}]])
def test_a_connect_without_debezium_is_told(connect: Connect, plugins: list[Any]) -> None:
    connect.answers["/connector-plugins"] = (200, plugins)

    with pytest.raises(StackError) as told:
        probe_connect(connect.url, {})

    assert str(told.value) == (
        f"Kafka Connect at {connect.url} has no Debezium connector for Postgres; install it there"
    )


@pytest.mark.parametrize("code", [401, 403])
def test_a_connect_that_does_not_let_us_in_is_told_how_it_would(
    connect: Connect, code: int
) -> None:
    connect.answers["/connector-plugins"] = (code, {})

    with pytest.raises(StackError) as told:
        probe_connect(connect.url, {})

    assert str(told.value) == (
        f"Kafka Connect at {connect.url} answers with {code}; give it a user who may"
        " (CDC_CONNECT_USER, CDC_CONNECT_PASSWORD_FILE)"
    )


@pytest.mark.parametrize("path", ["/connector-plugins", "/connectors"])
@pytest.mark.parametrize("code", [404, 409, 500])
def test_a_connect_that_is_not_there_yet_has_not_answered(
    connect: Connect, path: str, code: int
) -> None:
    connect.answers |= {"/connector-plugins": (200, [DEBEZIUM]), path: (code, {})}

    with pytest.raises(requests.HTTPError):
        probe_connect(connect.url, {})


def test_an_answer_is_waited_for() -> None:
    asked: list[int] = []

    def ask() -> None:
        asked.append(1)
        if len(asked) < 3:
            raise ConnectionRefusedError("refused")

    await_answer("kafka", ServerProbe("Kafka", "k:1", ask), time.monotonic() + 30)

    assert len(asked) == 3


def test_a_server_is_asked_once_also_where_no_time_is_left() -> None:
    def ask() -> None:
        raise ConnectionRefusedError("refused")

    with pytest.raises(StackError) as told:
        await_answer("kafka", ServerProbe("Kafka", "k:1", ask), time.monotonic() - 1)

    assert str(told.value) == (
        "kafka does not answer (refused); see `python -m infra.stack logs kafka`"
    )
    assert isinstance(told.value.__cause__, ConnectionRefusedError)
    await_answer("kafka", ServerProbe("Kafka", "k:1", lambda: None), time.monotonic() - 1)


def test_each_server_of_a_stack_has_a_probe_under_the_name_of_its_log() -> None:
    found = probes(Endpoints("external", "host=db", "k:9092", "http://r", "http://c"))

    assert {name: (probe.title, probe.place) for name, probe in found.items()} == {
        "postgres": ("PostgreSQL", "host=db"),
        "kafka": ("Kafka", "k:9092"),
        "schema-registry": ("Schema Registry", "http://r"),
        "connect": ("Kafka Connect", "http://c"),
    }

"""Connectors are configured without a secret, and Connect's answers are told with their reasons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from infra.stack.debezium import connector as connectors
from infra.stack.debezium.connector import (
    DebeziumConnector,
    ReadByConnector,
    ask_worker,
    connector_config,
    create_connector,
    delete_connector,
    slot_of,
    wait_until_committed,
    what_is_read,
)
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError, StackError
from infra.stack.servers.port import free_ports
from tests.json_server import JsonRequest, JsonServer, serving

CONNECTOR = DebeziumConnector("run-1", "slot_1", "pub_1", "cdc", ("s.a", "t.b", "s.c"))
STACK = Endpoints(
    "process",
    "host=db port=6000 user=bench dbname=shop",
    postgres_secret_from_connect="${file:/p:secret}",
)


class Worker(JsonServer):
    """A Connect that gives the answers that it was told, one after another, the last for ever."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        super().__init__()

    def answer(self, request: JsonRequest) -> tuple[int, Any]:
        del request
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    monkeypatch.setattr(connectors, "POLL_S", 0.001)
    with serving(Worker()) as server:
        yield server


def at(worker: Worker) -> Endpoints:
    return replace(STACK, connect_url=worker.url)


def test_a_connector_reads_its_own_tables_slot_and_publication() -> None:
    config = connector_config(CONNECTOR, STACK)

    assert config["table.include.list"] == "s.a,t.b,s.c"
    assert config["schema.include.list"] == "s,t"
    assert (config["slot.name"], config["publication.name"]) == ("slot_1", "pub_1")
    assert config["publication.autocreate.mode"] == "disabled"
    assert config["database.password"] == "${file:/p:secret}"
    assert config["custom.metric.tags"] == "connector=run-1"
    assert (config["poll.interval.ms"], config.get("max.batch.size")) == ("1", None)


def test_throughput_is_tuned_for_by_large_batches() -> None:
    config = connector_config(replace(CONNECTOR, tuning="throughput"), STACK)

    assert (config["poll.interval.ms"], config["max.batch.size"]) == ("10", "8192")


@pytest.mark.parametrize(
    ("inside", "host", "port"),
    [
        (None, "db", "6000"),
        ("postgres:5432", "postgres", "5432"),
        ("[::1]:7000", "[::1]", "7000"),
    ],
)
def test_connect_reaches_the_database_in_its_own_way(
    inside: str | None, host: str, port: str
) -> None:
    config = connector_config(CONNECTOR, replace(STACK, postgres_from_connect=inside))

    assert (config["database.hostname"], config["database.port"]) == (host, port)


def test_connect_may_log_in_as_another_role() -> None:
    endpoints = replace(STACK, postgres_user_from_connect="cdc_connect")

    assert connector_config(CONNECTOR, STACK)["database.user"] == "bench"
    assert connector_config(CONNECTOR, endpoints)["database.user"] == "cdc_connect"


def test_the_converters_are_the_workers_unless_the_registry_is_reached_elsewhere() -> None:
    assert not any("converter" in name for name in connector_config(CONNECTOR, STACK))

    config = connector_config(CONNECTOR, replace(STACK, registry_from_connect="http://db:7"))

    for side in ("key", "value"):
        assert config[f"{side}.converter.apicurio.registry.url"] == "http://db:7/apis/registry/v2"
        assert config[f"{side}.converter"].endswith("AvroConverter")


def test_without_a_reference_the_password_is_the_one_that_libpq_would_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGPASSWORD", "hush")
    endpoints = replace(STACK, postgres_secret_from_connect=None)

    assert connector_config(CONNECTOR, endpoints)["database.password"] == "hush"


@pytest.mark.parametrize(
    ("dsn", "environ", "ca", "mode", "root"),
    [
        ("host=db", {}, None, None, None),
        ("host=db", {}, "/inside.pem", None, None),
        ("host=db sslmode=require", {}, None, "require", None),
        ("host=db sslmode=verify-full sslrootcert=/a", {}, None, "verify-full", "/a"),
        ("host=db sslmode=verify-full sslrootcert=/a", {}, "/in", "verify-full", "/in"),
        ("host=db", {"PGSSLMODE": "require", "PGSSLROOTCERT": "/b"}, None, "require", "/b"),
        ("host=db sslrootcert=/a", {}, None, None, None),
    ],
)
def test_connect_speaks_tls_as_the_dsn_asks_for_it(
    dsn: str,
    environ: dict[str, str],
    ca: str | None,
    mode: str | None,
    root: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PGSSLMODE", "PGSSLROOTCERT"):
        monkeypatch.delenv(name, raising=False)
    for name, text in environ.items():
        monkeypatch.setenv(name, text)

    config = connector_config(
        CONNECTOR, replace(STACK, postgres_dsn=dsn, postgres_ca_from_connect=ca)
    )

    assert config.get("database.sslmode") == mode
    assert config.get("database.sslrootcert") == root


def test_what_is_not_configured_is_what_debezium_takes_by_itself() -> None:
    assert what_is_read({}) == ReadByConnector("debezium", "dbz_publication")
    assert what_is_read({"slot.name": "a", "publication.name": "b"}) == ReadByConnector("a", "b")


def test_a_connector_is_created_by_one_request(worker: Worker) -> None:
    worker.answers = [(201, {})]

    create_connector(at(worker), CONNECTOR)

    ((method, path, body),) = worker.asked
    assert (method, path, body["name"]) == ("POST", "/connectors", "run-1")
    assert body["config"] == connector_config(CONNECTOR, at(worker))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((400, {"message": "slot is odd"}), "(400): slot is odd"),
        ((409, {"message": "Connector run-1 already exists"}), "(409): Connector run-1 already"),
        ((500, "<html>größe</html>"), "(500): <html>größe</html>"),
        ((500, "x" * 1000), f"(500): {'x' * 500}"),
        ((200, {}), "(200): {}"),
    ],
)
def test_a_connector_that_is_refused_is_told_with_connects_reason(
    worker: Worker, answer: tuple[int, Any], told: str
) -> None:
    worker.answers = [answer]

    with pytest.raises(StackError) as error:
        create_connector(at(worker), CONNECTOR)

    assert str(error.value).startswith(f"connector 'run-1' was refused {told}")
    assert len(worker.asked) == 1


def test_a_worker_that_rebalances_is_asked_until_it_has_settled(worker: Worker) -> None:
    busy = (409, {"message": "Cannot complete request because of a Rebalance"})
    worker.answers = [busy, busy, (204, ""), (404, {})]

    delete_connector(at(worker), "run-1")

    assert [method for method, _, _ in worker.asked] == ["DELETE"] * 3 + ["GET"]


def test_a_worker_that_rebalances_for_ever_is_told(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connectors, "TIMEOUT_S", 0.05)
    worker.answers = [(409, {"message": "rebalancing"})]

    with pytest.raises(StackError, match=r"cannot be deleted \(409\): rebalancing"):
        delete_connector(at(worker), "run-1")


@pytest.mark.parametrize("code", [204, 404])
def test_a_connector_that_is_gone_is_deleted(worker: Worker, code: int) -> None:
    worker.answers = [(code, {}), (404, {})]

    delete_connector(at(worker), "größe")

    assert worker.asked[0][:2] == ("DELETE", "/connectors/gr%C3%B6%C3%9Fe")


def test_a_deleted_connectors_end_is_awaited(worker: Worker) -> None:
    worker.answers = [(204, ""), (200, {}), (200, {}), (404, {})]

    delete_connector(at(worker), "run-1")

    assert [path for _, path, _ in worker.asked[1:]] == ["/connectors/run-1/status"] * 3


def test_a_deleted_connector_that_does_not_end_is_told(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connectors, "GONE_S", 0.05)
    worker.answers = [(204, ""), (200, {})]

    with pytest.raises(StackError, match=r"'run-1' was deleted and still runs after 0.05 s"):
        delete_connector(at(worker), "run-1")


def test_a_worker_that_does_not_answer_is_named() -> None:
    (port,) = free_ports(1)

    with pytest.raises(
        StackError, match=rf"Kafka Connect does not answer at http://127.*:{port}/x"
    ):
        ask_worker("GET", f"http://127.0.0.1:{port}/x")


def test_the_slot_of_somebody_elses_connector_is_asked_for(worker: Worker) -> None:
    worker.answers = [(200, {"slot.name": "theirs"})]
    assert slot_of(at(worker), "shop") == "theirs"

    worker.answers = [(404, {})]
    with pytest.raises(StackConfigError) as told:
        slot_of(at(worker), "shop")
    assert str(told.value) == (f"connector 'shop' is not known to {worker.url}; check --connector")


def test_an_offset_is_waited_for(worker: Worker) -> None:
    worker.answers = [
        (404, {}),
        (200, {"offsets": []}),
        (200, {"offsets": [{"partition": {}, "offset": {}}]}),
    ]

    wait_until_committed(at(worker), "run-1", 30.0)

    assert len(worker.asked) == 3
    worker.answers = [(200, {"offsets": []})]
    with pytest.raises(StackError, match=r"'run-1' has stored no offset after 0\.05 s; see Conn"):
        wait_until_committed(at(worker), "run-1", 0.05)

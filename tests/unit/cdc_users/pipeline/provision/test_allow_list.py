"""Which servers a pipeline needs: known before any is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from cdc_users.pipeline.provision.allow_list import (
    ENDPOINT,
    hidden_sources,
    missing_parts,
    outlet_mistakes,
    refused_faults,
)
from cdc_users.scenario import Pipeline
from infra.faults.fault import faults
from infra.stack.endpoints import Endpoints, StackKind

WHOLE = {
    "source": "host=127.0.0.1",
    "kafka": "127.0.0.1:9092",
    "registry": "http://127.0.0.1:8081",
    "connect": "http://127.0.0.1:8083",
}
DEBEZIUM = Pipeline()
STRAIGHT = Pipeline(source="topic")
KINESIS = Pipeline(capture="wal", transport="kinesis")


def endpoints(*sections: str) -> Endpoints:
    return Endpoints("external", **{ENDPOINT[name]: WHOLE[name] for name in sections})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pipeline", "needed"),
    [
        (DEBEZIUM, {"source", "kafka", "registry", "connect"}),
        (STRAIGHT, {"kafka", "registry"}),
        (KINESIS, {"source"}),
    ],
)
def test_a_pipeline_needs_these_servers_and_no_others(pipeline: Pipeline, needed: set[str]) -> None:
    assert missing_parts(endpoints(*needed), [pipeline]) == []
    for name in needed:
        (told,) = missing_parts(endpoints(*(needed - {name})), [pipeline])
        assert f"the pipeline has no [{name}]" in told


def test_what_several_pipelines_lack_is_told_once() -> None:
    assert len(missing_parts(endpoints(), [DEBEZIUM, STRAIGHT, KINESIS])) == 4


SERVER = Pipeline(capture="debezium-server", transport="http")


@pytest.mark.parametrize(
    ("dsn", "connect", "pipeline", "told"),
    [
        ("host=::1", None, DEBEZIUM, "at '::1'; write a name that resolves to it into the DSN, or"),
        ("postgresql://u@[::1]:5432/db", None, SERVER, "into the DSN, or use --capture wal"),
        ("host=/var/run/postgresql", None, DEBEZIUM, "the source is at '/var/run/postgresql'"),
        ("host=one,other", None, DEBEZIUM, "the source is at 'one,other'"),
        ("host=db", "[::1]:5432", DEBEZIUM, "the source is at '[::1]'"),
        ("host=::1", "db:5432", DEBEZIUM, ""),
        ("host=::1", None, replace(DEBEZIUM, connector="mine"), ""),
        ("host=::1", None, Pipeline(capture="wal", transport="kafka"), ""),
        ("host=::1", None, STRAIGHT, ""),
        ("host=127.0.0.1", None, DEBEZIUM, ""),
        ("dbname=db", None, SERVER, ""),
        ("host=db-1.example_2", None, SERVER, ""),
        ("", None, DEBEZIUM, ""),
    ],
)
def test_an_address_that_debezium_refuses_is_refused_before_any_request(
    dsn: str, connect: str | None, pipeline: Pipeline, told: str
) -> None:
    found = hidden_sources(
        Endpoints("external", dsn, "", "", "", postgres_from_connect=connect), [pipeline]
    )

    assert len(found) == bool(told)
    assert not told or told in found[0]


@pytest.mark.parametrize(("host", "mistakes"), [("[::1]", 1), ("127.0.0.1", 0), ("db.example", 0)])
def test_an_address_of_mariadb_that_debezium_refuses_is_refused_too(
    host: str, mistakes: int
) -> None:
    endpoints = Endpoints("external", mariadb_url=f"mysql://u@{host}:3306")
    found = hidden_sources(endpoints, [Pipeline("mariadb", "debezium-server", "http")])

    assert len(found) == mistakes
    assert all("'::1'" in one and "--capture wal" not in one for one in found)


def refused(
    *names: str,
    kind: StackKind = "external",
    places: Sequence[str] = (),
    allowed: str = "",
    commands: Mapping[str, str] | None = None,
    kafka_beside: str = "",
    registry: str = "",
    postgres: str = "18.4",
) -> list[str]:
    known = [faults().by_name[name] for name in names]
    endpoints = Endpoints(
        kind,
        schema_registry_url=registry,
        commands=commands or {},
        kafka_beside=kafka_beside,
        versions={"postgres": postgres},
    )
    return refused_faults(known, endpoints, places, [allowed])


def test_servers_that_are_not_ours_are_not_killed_but_may_be_disturbed_on_this_machine() -> None:
    (told,) = refused("kill-kafka", "end-walsender", places=["127.0.0.1:5432"])

    assert told.startswith("--faults kill-kafka kills or stops a server")


def test_a_server_that_has_a_command_may_be_killed_where_it_may_be_disturbed() -> None:
    commands = {"kafka": "./act kafka"}

    assert refused("pause-kafka", places=["127.0.0.1:9092"], commands=commands) == []
    (told,) = refused("pause-kafka", places=["kafka.example:9092"], commands=commands)
    assert told.endswith("add --allow-fault kafka.example:9092")
    (told,) = refused("kill-postgres", "pause-kafka", commands=commands)
    assert told.startswith("--faults kill-postgres kills or stops a server")


@pytest.mark.parametrize("kind", ["process", "compose"])
def test_servers_of_the_checkouts_own_may_be_killed(kind: StackKind) -> None:
    assert refused("kill-kafka", "pause-postgres", kind=kind, places=["127.0.0.1:1"]) == []


def test_servers_elsewhere_are_disturbed_where_they_are_allowed_by_name() -> None:
    (told,) = refused("end-walsender", "add-column", places=["db.example:5432", "127.0.0.1:9092"])

    assert "would disturb db.example:5432" in told
    assert told.endswith("add --allow-fault db.example:5432")
    assert refused("end-walsender", places=["db.example:5432"], allowed="db.example:5432") == []


def test_what_is_done_to_the_runs_own_processes_disturbs_nobody() -> None:
    assert refused("kill-platform", "webhook-hangs", places=["db.example:5432"]) == []


def test_a_relay_needs_servers_on_this_machine() -> None:
    (told,) = refused("slow-network", kind="compose", places=["127.0.0.1:5432"])

    assert "before which a relay on loopback can stand" in told
    assert refused("slow-network", kind="process", places=["127.0.0.1:5432"]) == []


def test_what_moves_a_servers_files_needs_servers_that_are_processes() -> None:
    (told,) = refused("full-broker-disk", "kill-primary", kind="compose", places=["127.0.0.1:1"])

    assert told.startswith(
        "--faults full-broker-disk,kill-primary needs servers that this checkout"
    )
    assert refused("full-broker-disk", kind="process", places=["127.0.0.1:1"]) == []


@pytest.mark.parametrize(("version", "told"), [("16.4", 1), ("17.0", 0), ("19beta1", 0)])
def test_a_standby_needs_a_server_that_copies_slots(version: str, told: int) -> None:
    found = refused("kill-primary", kind="process", places=["127.0.0.1:1"], postgres=version)

    assert len(found) == told
    assert all("needs PostgreSQL 17 or newer" in text and version in text for text in found)


def test_a_stream_that_is_watched_has_its_server_named() -> None:
    (told,) = outlet_mistakes([Pipeline(sink_tap="redis:orders")] * 2, (), {})
    assert told.startswith("--sink-tap redis takes its server from CDC_REDIS_URL")
    assert "which is missing; write redis://HOST:PORT" in told
    assert outlet_mistakes([Pipeline(sink_tap="webhook:8080"), Pipeline()], (), {}) == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:6379", "redis://ada:hush@127.0.0.1:6379"])
def test_a_url_of_another_kind_or_with_a_login_is_refused(url: str) -> None:
    (told,) = outlet_mistakes([Pipeline(sink_tap="redis:orders")], (), {"CDC_REDIS_URL": url})
    assert "without a login" in told


def test_a_server_elsewhere_is_watched_where_it_is_allowed_by_name() -> None:
    watched = [Pipeline(sink_tap="nats:ORDERS")]
    environ = {"CDC_NATS_URL": "tls://nats.example"}
    (told,) = outlet_mistakes(watched, (), environ)
    assert "add --allow-target nats.example:4222" in told
    assert outlet_mistakes(watched, ("nats.example:4222",), environ) == []


def test_a_redis_may_have_a_password_alone_and_a_nats_has_a_user_beside_it() -> None:
    for kind, told in (("redis", 0), ("nats", 1)):
        prefix = f"CDC_{kind.upper()}"
        environ = {f"{prefix}_URL": f"{kind}://127.0.0.1:1", f"{prefix}_PASSWORD": "hush"}
        assert len(outlet_mistakes([Pipeline(sink_tap=f"{kind}:s")], (), environ)) == told


def test_a_relay_before_kafka_needs_a_broker_that_sends_its_clients_there() -> None:
    (told,) = refused("silent-kafka-network", kind="process", places=["127.0.0.1:9092"])

    assert "needs a broker that says where its relay is" in told
    assert not refused("silent-kafka-network", kind="process", kafka_beside="127.0.0.2:9093")


def test_a_relay_before_the_registry_needs_one_without_tls() -> None:
    (told,) = refused("silent-registry-network", kind="process", registry="https://127.0.0.1:8081")

    assert "needs a registry without TLS" in told
    assert not refused("silent-registry-network", kind="process", registry="http://127.0.0.1:8081")

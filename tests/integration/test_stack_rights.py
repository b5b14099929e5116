"""What another user of the machine can do with a process stack: reach it, and nothing else."""

from __future__ import annotations

import os
import stat
import subprocess
from contextlib import closing

import psutil
import psycopg
import psycopg2
import pytest
from confluent_kafka import Consumer, TopicPartition
from psycopg2.extensions import make_dsn, parse_dsn

from infra.client import http
from infra.postgres.slot import drop_slot
from infra.stack.debezium.connector import (
    DebeziumConnector,
    create_connector,
    delete_connector,
)
from infra.stack.endpoints import Endpoints
from infra.stack.servers.password import READER
from infra.stack.servers.settings import CONNECT_GROUP
from infra.stack.supervise.state import recorded, state_of
from tests.integration.test_stack import secrets
from tests.scenarios.locust_process import await_that

CONNECTOR = DebeziumConnector("rights", "rights", "rights", "cdc", ("public.nothing",))


def without_password(dsn: str, **changed: str) -> str:
    place = {name: value for name, value in parse_dsn(dsn).items() if name != "passfile"}
    return str(make_dsn(**{**place, "passfile": "/nowhere", **changed}))


@pytest.mark.parametrize("user", ["postgres", READER, "root", "nobody"])
def test_nobody_gets_in_without_a_password(stack: Endpoints, user: str) -> None:
    with pytest.raises(psycopg2.OperationalError, match="no password supplied"):
        psycopg2.connect(without_password(stack.postgres_dsn, user=user))


def test_a_wrong_password_is_refused_by_scram(stack: Endpoints) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(stack.postgres_dsn, password="guess")
    with (
        closing(psycopg2.connect(stack.postgres_dsn)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT auth_method FROM pg_hba_file_rules WHERE auth_method <> 'reject'")
        assert {row[0] for row in cursor.fetchall()} == {"scram-sha-256"}


def test_the_role_that_connect_has_can_run_nothing(stack: Endpoints) -> None:
    (reader, _) = secrets()
    dsn = without_password(stack.postgres_dsn, user=READER, password=reader)
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE t (line text)")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("COPY t FROM PROGRAM 'id'")


def test_the_files_are_for_their_user_alone(stack: Endpoints) -> None:
    state = state_of()
    directories = [state.root, state.run, state.run / "secrets"]
    assert [stat.S_IMODE(place.stat().st_mode) for place in directories] == [0o700] * 3
    files = list((state.run / "secrets").iterdir())
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600] * 2


def test_no_password_stands_in_a_command_an_environment_a_log_or_connect(
    stack: Endpoints,
) -> None:
    hidden = [secret.encode() for secret in secrets()]
    assert len(hidden) == 2
    assert all(len(secret) >= 32 for secret in hidden)
    with closing(psycopg.connect(stack.postgres_dsn, autocommit=True)) as connection:
        create_connector(stack, CONNECTOR)
        try:
            await_that(lambda: b'"database.password"' in told(stack), "Connect does not answer")
            seen = told(stack) + config_topic(stack.kafka_bootstrap)
        finally:
            delete_connector(stack, CONNECTOR.name)
            drop_slot(connection, CONNECTOR.slot)
    assert b"${file:" in seen
    for identity in recorded(state_of())[0]:
        seen += repr(psutil.Process(identity.pid).cmdline()).encode()
        seen += repr(psutil.Process(identity.pid).environ()).encode()
    for log in state_of().logs.iterdir():
        seen += log.read_bytes()
    seen += state_of().endpoints.read_bytes()
    assert not [secret for secret in hidden if secret in seen]


def told(stack: Endpoints) -> bytes:
    url = f"{stack.connect_url}/connectors?expand=info&expand=status"
    return http.get(url, timeout=10).content


def resolved(stack: Endpoints, reference: str) -> bytes:
    """What a worker tells anybody who has a connector validated that refers to a file."""
    kind = "io.debezium.connector.postgresql.PostgresConnector"
    connector = {
        "connector.class": kind,
        "name": "guess",
        "topic.prefix": reference,
        "database.hostname": "127.0.0.1",
        "database.port": "1",
        "database.user": "guess",
        "database.dbname": "guess",
    }
    url = f"{stack.connect_url}/connector-plugins/{kind}/config/validate"
    return http.request("PUT", url, json=connector, timeout=30).content


def test_connect_resolves_the_one_secret_that_is_its_own(stack: Endpoints) -> None:
    """An attacker may have any reference resolved: a password file is a properties file, too."""
    directory = state_of().run / "secrets"
    owner = (directory / "pgpass").read_text(encoding="utf-8").strip().rpartition(":")[2]

    told = resolved(stack, f"${{file:{directory / 'pgpass'}:127.0.0.1}}")

    assert owner.encode() not in told
    assert b"topic.prefix" in told


def test_connect_has_no_plugin_that_reads_files_or_runs_scripts(stack: Endpoints) -> None:
    url = f"{stack.connect_url}/connector-plugins?connectorsOnly=false"
    classes = [plugin["class"] for plugin in http.get(url, timeout=10).json()]

    connectors = [name for name in classes if ".connect." not in name and "Connector" in name]
    assert connectors == ["io.debezium.connector.postgresql.PostgresConnector"]
    assert not [name for name in classes if "FileStream" in name or "scripting" in name]


def config_topic(bootstrap: str) -> bytes:
    """Everything in the topic where Connect keeps its connectors' configuration."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "rights"})
    place = TopicPartition(f"{CONNECT_GROUP}-configs", 0, 0)
    end = consumer.get_watermark_offsets(place, timeout=10)[1]
    consumer.assign([place])
    found = b""
    while consumer.position([place])[0].offset < end:
        for message in consumer.consume(100, 1.0):
            found += message.value() or b""
    consumer.close()
    return found


def test_an_other_user_of_the_machine_cannot_look_in(stack: Endpoints) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can try it as somebody else")
    command = ["/bin/cat", str(state_of().run / "secrets" / "pgpass")]
    done = subprocess.run(command, user=65534, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "denied" in done.stderr

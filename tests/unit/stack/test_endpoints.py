"""Endpoints and targets: what a user's own stack may look like, and what is refused before it is touched."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import pytest

from cdc_users.steward import check_targets
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError
from infra.stack.external import check, read_external
from infra.stack.locate import hosts
from infra.stack.port import check_free, free_ports

GOOD = """
postgres_dsn = "host=127.0.0.1 port=5432 user=bench dbname=shop"
kafka_bootstrap = "127.0.0.1:9092,127.0.0.1:9093"
schema_registry_url = "http://127.0.0.1:8081"
connect_url = "http://127.0.0.1:8083"
"""


def file_with(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "stack.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_users_own_stack_is_read_from_toml(tmp_path: Path) -> None:
    endpoints = read_external(file_with(tmp_path, GOOD))

    assert endpoints.kind == "external"
    assert hosts(endpoints) == [
        "127.0.0.1:5432",
        "127.0.0.1:9092",
        "127.0.0.1:9093",
        "127.0.0.1:8081",
        "127.0.0.1:8083",
    ]
    assert Endpoints.from_json(endpoints.to_json()) == endpoints


def test_all_mistakes_in_endpoints_are_told_together(tmp_path: Path) -> None:
    text = GOOD.replace("user=bench", "password=hunter2").replace("127.0.0.1:9093", "nowhere")
    text = text.replace("http://127.0.0.1:8083", "127.0.0.1:8083")

    with pytest.raises(StackConfigError) as caught:
        read_external(file_with(tmp_path, text))

    for word in ("PGPASSWORD", "HOST:PORT", "connect_url"):
        assert word in str(caught.value)


def test_a_dsn_that_cannot_be_parsed_is_not_repeated(tmp_path: Path) -> None:
    text = GOOD.replace("user=bench", "password=my hush")

    with pytest.raises(StackConfigError, match="postgres_dsn cannot be parsed") as caught:
        read_external(file_with(tmp_path, text))

    assert "hush" not in str(caught.value)


def test_an_unknown_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackConfigError, match="kafka_url"):
        read_external(file_with(tmp_path, GOOD + 'kafka_url = "x"'))


@pytest.mark.parametrize("line", ['versions = "17"', 'supervisor_pid = "17"'])
def test_a_value_of_another_type_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(StackConfigError, match=f"{line.split()[0]} is of the wrong type"):
        read_external(file_with(tmp_path, GOOD + line))


def test_a_target_off_loopback_must_be_allowed_by_name(tmp_path: Path) -> None:
    endpoints = check(read_external(file_with(tmp_path, GOOD.replace("host=127.0.0.1", "host=db.example.test"))))

    with pytest.raises(StackConfigError, match=r"--allow-target db\.example\.test:5432"):
        check_targets(endpoints, [])
    check_targets(endpoints, ["db.example.test:5432"])


def test_free_ports_are_all_different() -> None:
    assert len(set(free_ports(20))) == 20


def test_a_taken_port_is_named_with_its_holder() -> None:
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]

        with pytest.raises(StackConfigError, match=rf"kafka: port {port} by .*python"):
            check_free({"kafka": port})

"""Endpoints and targets: what a user's own stack may look like, and what is refused before it is
touched.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cdc_users.pipeline.provision.allow_list import check_targets
from infra.stack.debezium.connector import DebeziumConnector, connector_config
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError
from infra.stack.find.external import read_external
from infra.stack.find.locate import hosts

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
    endpoints = read_external(file_with(tmp_path, GOOD), {})

    assert endpoints.kind == "external"
    assert hosts(endpoints, {}) == [
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
        read_external(file_with(tmp_path, text), {})

    for word in ("PGPASSWORD", "HOST:PORT", "connect_url"):
        assert word in str(caught.value)


def test_a_dsn_that_cannot_be_parsed_is_not_repeated(tmp_path: Path) -> None:
    text = GOOD.replace("user=bench", "password=my hush")

    with pytest.raises(StackConfigError, match="postgres_dsn cannot be parsed") as caught:
        read_external(file_with(tmp_path, text), {})

    assert "hush" not in str(caught.value)


def test_an_unknown_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackConfigError, match="kafka_url"):
        read_external(file_with(tmp_path, GOOD + 'kafka_url = "x"'), {})


@pytest.mark.parametrize("line", ['versions = "17"', 'supervisor_pid = "17"'])
def test_a_value_of_another_type_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(StackConfigError, match=f"{line.split()[0]} is of the wrong type"):
        read_external(file_with(tmp_path, GOOD + line), {})


def test_a_target_off_loopback_must_be_allowed_by_name(tmp_path: Path) -> None:
    endpoints = read_external(
        file_with(tmp_path, GOOD.replace("host=127.0.0.1", "host=db.example.test")), {}
    )

    with pytest.raises(StackConfigError, match=r"--allow-target db\.example\.test:5432"):
        check_targets(endpoints, [], {})
    check_targets(endpoints, ["db.example.test:5432"], {})


def test_the_environment_cannot_move_a_stack_off_loopback(tmp_path: Path) -> None:
    endpoints = read_external(file_with(tmp_path, GOOD), {})

    with pytest.raises(StackConfigError, match=r"PGHOSTADDR=192\.0\.2\.9"):
        check_targets(endpoints, [], {"PGHOSTADDR": "192.0.2.9"})


def test_a_socket_is_on_this_machine(tmp_path: Path) -> None:
    endpoints = read_external(
        file_with(tmp_path, GOOD.replace("host=127.0.0.1", "host=/var/run/postgresql")), {}
    )

    check_targets(endpoints, [], {})


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    assert read_external(file_with(tmp_path, "\ufeff" + GOOD), {}).kind == "external"


MISTAKES = {
    "a port that is none": ("port=5432", "port=abc", "no port"),
    "no DSN": ("host=127.0.0.1 port=5432 user=bench dbname=shop", "", "no host"),
    "a second address": ("port=5432", "port=5432 hostaddr=192.0.2.9", "hostaddr='192.0.2.9'"),
    "a service": ("port=5432", "port=5432 service=prod", "service='prod'"),
    "a URL without host": ("http://127.0.0.1:8083", "http:///", "connect_url 'http:///'"),
    "half an IPv6 address": ("http://127.0.0.1:8083", "http://[::1", "connect_url 'http://[::1'"),
    "a URL's port that is none": (
        "http://127.0.0.1:8083",
        "http://127.0.0.1:port",
        "http://127.0.0.1:port",
    ),
    "a broker's port in other digits": (
        "127.0.0.1:9093",
        "127.0.0.1:909\N{SUPERSCRIPT TWO}",
        "kafka_bootstrap",
    ),
    "a kind": (
        "\npostgres_dsn",
        '\nkind = "banana"\npostgres_dsn',
        "'banana' is not one of process, compose",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_leads_nowhere_or_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    old, new, said = MISTAKES[name]
    assert old in GOOD

    with pytest.raises(StackConfigError) as caught:
        read_external(file_with(tmp_path, GOOD.replace(old, new)), {})

    assert said in str(caught.value)
    assert "CDC_STACK=" in str(caught.value)


@pytest.mark.parametrize("text", ["5", "null", '{"kafka_bootstrap": null}'])
def test_json_that_is_no_stack_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "stack.json"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(StackConfigError, match=r"docs/external\.md"):
        read_external(path, {})


def test_json_whose_values_are_null_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    keys = ("postgres_dsn", "kafka_bootstrap", "schema_registry_url", "connect_url")
    path.write_text(json.dumps(dict.fromkeys(keys)), encoding="utf-8")

    with pytest.raises(
        StackConfigError, match="kafka_bootstrap, postgres_dsn, schema_registry_url is of the wrong"
    ):
        read_external(path, {})


def test_a_file_that_is_not_there_is_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(StackConfigError, match=r"No such file.*unset CDC_STACK"):
        read_external(tmp_path / "nowhere.toml", {})


def test_a_connector_gets_a_reference_and_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "canary")
    reference = "${file:/etc/kafka/secrets.properties:bench}"
    lines = f'postgres_user_from_connect = "debezium"\npostgres_secret_from_connect = "{reference}"'
    connector = DebeziumConnector("c", "s", "p", "cdc", ("public.t",))

    config = connector_config(connector, read_external(file_with(tmp_path, GOOD + lines), {}))
    plain = connector_config(connector, read_external(file_with(tmp_path, GOOD), {}))

    assert config["database.password"] == reference
    assert config["database.user"] == "debezium"
    assert "canary" not in str(config)
    assert plain["database.password"] == "canary"


def test_a_password_in_place_of_a_reference_is_refused_and_not_repeated(tmp_path: Path) -> None:
    text = GOOD + 'postgres_secret_from_connect = "hunter2"'

    with pytest.raises(StackConfigError, match=r"\$\{PROVIDER:PATH:KEY\}") as caught:
        read_external(file_with(tmp_path, text), {})

    assert "hunter2" not in str(caught.value)

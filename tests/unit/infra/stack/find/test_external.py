"""The servers that a pipeline file names, and those that it does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.mariadb.address import MariadbAddress
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError
from infra.stack.find.external import check, external, source, with_databases
from infra.stack.find.locate import hosts
from infra.stack.servers.secured.certificate import make_certificates

SOURCE = '[source]\ndsn = "host=127.0.0.1 port=5432 dbname=shop"\n'


def environment(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "pipeline.toml"
    path.write_text(text, encoding="utf-8")
    return {"CDC_PIPELINE": str(path)}


def test_a_pipeline_of_a_source_alone_has_no_other_server(tmp_path: Path) -> None:
    found = external(environment(tmp_path, SOURCE))

    assert found is not None
    assert hosts(found, {}) == ["127.0.0.1:5432"]
    assert (found.kind, found.kafka_bootstrap, found.connect_url) == ("external", "", "")


def test_every_server_of_a_file_is_one_that_must_be_allowed(tmp_path: Path) -> None:
    text = (
        '[kafka]\nbootstrap = "a.example:9092,b.example:9093"\n'
        '[registry]\nurl = "https://r.example/apis/ccompat/v7"\n'
        '[connect]\nurl = "http://c.example:8083"\n'
    )
    found = external(environment(tmp_path, SOURCE + text))

    assert found is not None
    assert hosts(found, {})[1:] == [
        "a.example:9092",
        "b.example:9093",
        "r.example:443",
        "c.example:8083",
    ]


MARIADB = '[source]\nkind = "mariadb"\ndsn = "mysql://u@127.0.0.1:3306"\n'


def test_a_mariadb_of_a_file_has_its_password_in_a_file_beside(tmp_path: Path) -> None:
    found = external(environment(tmp_path, MARIADB + 'password_file = "secret"\n'))

    assert found is not None
    assert (found.postgres_dsn, hosts(found, {})) == ("", ["127.0.0.1:3306"])
    assert MariadbAddress.of(found.mariadb_url).password_file == str(tmp_path / "secret")


def test_a_mariadb_of_a_file_is_checked_by_the_authorities_beside_it(tmp_path: Path) -> None:
    authority = make_certificates(tmp_path, "s3cret").authority
    found = external(environment(tmp_path, MARIADB + f'ca = "{authority.name}"\n'))

    assert found is not None
    assert MariadbAddress.of(found.mariadb_url).ca == str(authority)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (MARIADB.replace("u@", "u:secret@"), "mariadb_url holds a password"),
        (MARIADB.replace("mariadb", "mysql"), "[source] kind is text; write mariadb or postgres"),
        (SOURCE + 'password_file = "secret"\n', '[source] password_file is for kind = "mariadb"'),
        (SOURCE + 'ca = "ca.pem"\n', "the file that sslrootcert= names in the DSN"),
        (MARIADB + 'ca = "gone.pem"\n', "has no certificates that can be read"),
    ],
)
def test_a_mistake_in_a_source_is_named_before_any_server_is_asked(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(StackConfigError) as caught:
        external(environment(tmp_path, text))

    assert told in str(caught.value)


def test_the_environment_names_a_mariadb_for_any_stack() -> None:
    url = "mysql://u@h.example:3307"

    assert with_databases(GOOD, {"CDC_MARIADB_URL": url}).mariadb_url == url
    of_file = replace(GOOD, mariadb_url="mysql://u@other.example:3306")
    assert with_databases(of_file, {"CDC_MARIADB_URL": url}) == of_file
    with pytest.raises(StackConfigError, match="CDC_MARIADB_URL is no address of MariaDB"):
        with_databases(GOOD, {"CDC_MARIADB_URL": "h.example"})


def test_a_file_without_servers_means_those_of_this_checkout(tmp_path: Path) -> None:
    environ = environment(tmp_path, '[[tap]]\nkind = "webhook"\nplace = "8080"\n')

    assert external(environ) is None
    assert source(environ) is None


def test_a_pipeline_file_goes_before_the_older_ways(tmp_path: Path) -> None:
    environ = {**environment(tmp_path, SOURCE), "CDC_STACK": "nowhere.toml"}

    assert external(environ) is not None
    assert source(environ) == "CDC_PIPELINE"


def test_connect_may_reach_the_source_in_its_own_way(tmp_path: Path) -> None:
    text = (
        '[connect]\nurl = "http://127.0.0.1:8083"\npostgres = "db:5432"\n'
        'postgres_user = "debezium"\npostgres_secret = "${file:/etc/secrets:bench}"\n'
    )
    found = external(environment(tmp_path, SOURCE + text))

    assert found is not None
    assert found.postgres_from_connect == "db:5432"
    assert found.postgres_user_from_connect == "debezium"
    assert found.postgres_secret_from_connect == "${file:/etc/secrets:bench}"


def test_an_address_that_leads_nowhere_is_refused_with_the_files_name(tmp_path: Path) -> None:
    with pytest.raises(StackConfigError, match=r"pipeline\.toml: kafka_bootstrap 'nowhere'"):
        external(environment(tmp_path, '[kafka]\nbootstrap = "nowhere"\n'))


def test_commands_for_servers_of_ones_own_go_with_their_addresses(tmp_path: Path) -> None:
    text = '[kafka]\nbootstrap = "127.0.0.1:9092"\n[commands]\nschema_registry = "true registry"\n'
    found = external(environment(tmp_path, text))

    assert found is not None
    assert found.commands == {"schema-registry": "true registry"}
    assert Endpoints.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[commands]\nkafka = "true"\n', "the file names none"),
        (
            '[kafka]\nbootstrap = "127.0.0.1:9092"\n[commands]\nkafka = "no-such-program-here"\n',
            "there is no program 'no-such-program-here' for kafka",
        ),
        ('[kafka]\nbootstrap = "127.0.0.1:9092"\n[commands]\nkafak = "true"\n', "mean kafka"),
    ],
)
def test_commands_that_can_act_on_nothing_are_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(StackConfigError, match=told):
        external(environment(tmp_path, text))


def test_a_file_without_servers_leaves_the_older_ways_as_they_are(tmp_path: Path) -> None:
    environ = environment(tmp_path, "[options]\nrate = 5\n")
    stack = {
        "CDC_POSTGRES_DSN": "host=127.0.0.1 port=5432",
        "CDC_KAFKA_BOOTSTRAP": "127.0.0.1:9092",
        "CDC_SCHEMA_REGISTRY_URL": "http://127.0.0.1:8081",
        "CDC_CONNECT_URL": "http://127.0.0.1:8083",
    }

    assert external({**environ, **stack}) == external(stack)
    assert source({**environ, **stack}) == "CDC_POSTGRES_DSN"
    assert source({**environ, "CDC_STACK": "a.toml"}) == "CDC_STACK"


def test_half_a_stack_in_the_environment_is_told_with_what_is_missing() -> None:
    with pytest.raises(StackConfigError) as told:
        external({"CDC_KAFKA_BOOTSTRAP": "k:9092", "CDC_CONNECT_URL": "", "CDC_POSTGRES_DSN": "x"})

    assert str(told.value) == (
        "CDC_KAFKA_BOOTSTRAP, CDC_POSTGRES_DSN without CDC_CONNECT_URL, CDC_SCHEMA_REGISTRY_URL:"
        " an own stack is named by all four, or by a file in CDC_STACK; unset them to use servers"
        " of this checkout"
    )


def test_an_optional_variable_alone_is_no_stack() -> None:
    with pytest.raises(StackConfigError, match="CDC_POSTGRES_FROM_CONNECT without CDC_CONNECT_URL"):
        external({"CDC_POSTGRES_FROM_CONNECT": "db:5432"})
    assert external({"CDC_POSTGRES_DSN": "", "CDC_STACK": "", "CDC_PIPELINE": ""}) is None
    assert source({"CDC_POSTGRES_DSN": "", "CDC_STACK": "", "CDC_PIPELINE": ""}) is None


GOOD = Endpoints("external", "host=127.0.0.1", "127.0.0.1:9092", "http://r", "http://c")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"kafka_bootstrap": "a:1,b"}, "kafka_bootstrap 'a:1,b' is not HOST:PORT[,HOST:PORT...]"),
        ({"kafka_bootstrap": ""}, "kafka_bootstrap '' is not HOST:PORT[,HOST:PORT...]"),
        (
            {"connect_url": "c:8083"},
            "connect_url 'c:8083' is not an http URL; write http://HOST:PORT",
        ),
        ({"schema_registry_url": ""}, "schema_registry_url '' is not an http URL"),
        ({"connect_metrics": "c:1"}, "connect_metrics is not an http URL without a login"),
        ({"connect_metrics": "http://u:p@c:1"}, "connect_metrics is not an http URL without a"),
        ({"postgres_from_connect": "db"}, "postgres_from_connect 'db' is not HOST:PORT"),
        ({"postgres_secret_from_connect": "${file}"}, "is no reference to a password; write"),
        ({"postgres_secret_from_connect": "a${file:/a:b}"}, "is no reference to a password"),
        ({"commands": {"zoo": "x"}}, "commands: 'zoo' is not one of postgres, kafka"),
    ],
)
def test_an_endpoint_that_leads_nowhere_is_told(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(StackConfigError) as error:
        check(replace(GOOD, **changes), {})

    assert told in str(error.value)
    assert check(GOOD, {}) == GOOD


def with_url(name: str, url: str) -> Endpoints:
    changes: dict[str, Any] = {name: url}
    return replace(GOOD, **changes)


@pytest.mark.parametrize("name", ["connect_url", "schema_registry_url"])
def test_a_login_in_a_url_is_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(StackConfigError) as told:
        check(with_url(name, "http://bench:hush@h:1"), {})

    assert "hush" not in str(told.value)
    prefix = "CDC_CONNECT" if name == "connect_url" else "CDC_SCHEMA_REGISTRY"
    assert str(told.value).endswith(f"name them by {prefix}_USER and {prefix}_PASSWORD_FILE")


def test_a_part_that_need_not_be_there_may_be_left_out_and_not_be_wrong() -> None:
    none = Endpoints("external")

    assert check(none, {}, whole=False) is none
    with pytest.raises(StackConfigError) as told:
        check(replace(none, kafka_bootstrap="k", connect_url="c"), {}, whole=False)
    assert str(told.value).count(";") == 2  # two mistakes, one of them with its remedy


def test_the_sinks_database_stands_beside_any_stack() -> None:
    assert with_databases(GOOD, {"CDC_SINK_DSN": "host=127.0.0.2"}).sink == "host=127.0.0.2"
    assert with_databases(GOOD, {"CDC_SINK_DSN": ""}) == GOOD
    assert GOOD.sink == "host=127.0.0.1"
    with pytest.raises(StackConfigError, match=r"^CDC_SINK_DSN "):
        with_databases(GOOD, {"CDC_SINK_DSN": "host="})


def test_a_pipeline_file_that_cannot_be_read_counts_as_one_that_names_servers(
    tmp_path: Path,
) -> None:
    environ = {"CDC_PIPELINE": str(tmp_path / "nowhere.toml")}

    assert source(environ) == "CDC_PIPELINE"
    with pytest.raises(StackConfigError, match="cannot be read: No such file or directory"):
        external(environ)

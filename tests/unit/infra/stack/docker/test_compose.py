"""The compose stack without Docker: its files, its settings beside the process stack's, and what
it says in trouble.
"""

from __future__ import annotations

import json
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from infra.stack.artifacts.java import HEAP_MB, JavaFiles
from infra.stack.debezium.connector import DebeziumConnector, connector_config
from infra.stack.docker import compose, compose_file
from infra.stack.docker.compose_file import DIRECTORY, rendered, services
from infra.stack.error import StackError
from infra.stack.servers.password import make_passwords
from infra.stack.servers.port import WELL_KNOWN, Ports
from infra.stack.servers.postgres import Cluster, alterable
from infra.stack.servers.postgres import recipe as postgres_recipe
from infra.stack.servers.process import (
    Site,
    StackRequest,
    connect_recipe,
    kafka_recipe,
    registry_recipe,
)
from infra.stack.servers.settings import ServerSettings
from infra.stack.supervise.state import StackState

PORTS = Ports(5432, 9092, 9093, 8081, 9000, 8083, 9094, 8082, 5433, 9404)
#: What may differ between the kinds of stack: addresses and directories, and nothing else.
ADDRESSES = {
    "postgres": {"listen_addresses", "unix_socket_directories"},
    "kafka": {"listeners", "advertised.listeners", "listener.security.protocol.map", "log.dirs"},
    "schema-registry": {"quarkus.http.host", "quarkus.management.host"},
    "connect": {
        "bootstrap.servers",
        "listeners",
        "rest.advertised.host.name",
        "key.converter.apicurio.registry.url",
        "value.converter.apicurio.registry.url",
    },
}


def committed() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(
        (DIRECTORY / "docker-compose.yml").read_text(encoding="utf-8")
    )
    return data


def properties(text: str) -> ServerSettings:
    return dict(line.split("=", 1) for line in text.splitlines())


def flags(command: list[str], mark: str) -> ServerSettings:
    """NAME=VALUE after every mark, written together or apart."""
    joined = "\n".join(command).replace(f"{mark}\n", mark).splitlines()
    return dict(
        part.removeprefix(mark).split("=", 1)
        for part in joined
        if part.startswith(mark) and "=" in part
    )


@pytest.fixture
def process_settings(tmp_path: Path) -> dict[str, ServerSettings]:
    """Every server's settings as the process stack hands them over."""
    (tmp_path / "template").mkdir()
    java = JavaFiles(Path("java"), [], [], tmp_path, tmp_path / "startup")
    passwords = make_passwords(tmp_path / "secrets")
    site = Site(StackRequest(tmp_path, PORTS, "bench"), java, passwords, secured=None)
    kafka = kafka_recipe(site, tmp_path / "template", compose.endpoints())
    registry = registry_recipe(site, compose.endpoints())
    connect = connect_recipe(site, compose.endpoints())
    cluster = Cluster(Path("/a/b/bin"), tmp_path, 5432, None, passwords)
    kafka.prepare()
    connect.prepare()
    registry_flags = flags(list(registry.command), "-D")
    return {
        "postgres": flags([*postgres_recipe(cluster).command, *alterable()], "-c"),
        "kafka": properties((tmp_path / "kafka.properties").read_text(encoding="utf-8")),
        "schema-registry": {
            name: value
            for name, value in registry_flags.items()
            if name.startswith(("quarkus", "apicurio"))
        },
        # Containers are not shared with other users, so there are no passwords to look up.
        "connect": {
            name: value
            for name, value in properties(
                (tmp_path / "connect.properties").read_text(encoding="utf-8")
            ).items()
            if not name.startswith("config.providers")
        },
    }


def compose_settings() -> dict[str, ServerSettings]:
    """Every server's settings as the committed files hand them over; environment variables under
    their own names.
    """
    found = committed()["services"]
    return {
        "postgres": flags(found["postgres"]["command"], "-c"),
        "kafka": found["kafka"]["environment"],
        "schema-registry": found["schema-registry"]["environment"],
        "connect": properties(
            (DIRECTORY / "connect" / "connect.properties").read_text(encoding="utf-8")
        ),
    }


def test_the_committed_files_are_what_the_settings_render_to() -> None:
    stale = [
        name
        for name, text in rendered().items()
        if (DIRECTORY / name).read_text(encoding="utf-8") != text
    ]

    assert not stale, f"run `python -m infra.stack compose render`: {stale}"


def test_the_file_holds_to_the_compose_specification() -> None:
    # The schema is the one that the package check-jsonschema ships.
    text = (
        files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    ).read_text(encoding="utf-8")
    schema = json.loads(text)
    validator = jsonschema.validators.validator_for(schema)(schema)

    assert [error.message for error in validator.iter_errors(committed())] == []
    assert not validator.is_valid({"services": {"kafka": {"imagee": "x"}}})


@pytest.mark.parametrize("server", ["postgres", "kafka", "schema-registry", "connect"])
def test_a_server_has_the_same_settings_in_both_kinds_of_stack(
    process_settings: dict[str, ServerSettings], server: str
) -> None:
    prefix = {"kafka": "KAFKA_", "schema-registry": ""}.get(server)
    own = {
        name: value
        for name, value in process_settings[server].items()
        if name not in ADDRESSES[server]
    }
    shared = {
        name: value
        for name, value in compose_settings()[server].items()
        if name not in ADDRESSES[server]
    }
    if prefix is not None:
        own = compose_file.environment(prefix, own)
        apart = {
            *compose_file.environment(prefix, dict.fromkeys(ADDRESSES[server], "")),
            *HEAP_VARIABLES,
        }
        shared = {name: value for name, value in shared.items() if name not in apart}

    assert len(own) > 4
    assert shared == own


HEAP_VARIABLES = ("KAFKA_HEAP_OPTS", "JAVA_TOOL_OPTIONS")


def test_the_java_servers_have_the_same_heap_in_both_kinds_of_stack() -> None:
    for server, limit_mb in HEAP_MB.items():
        environment = committed()["services"][server]["environment"]
        heap = next(environment[name] for name in HEAP_VARIABLES if name in environment)
        assert f"-Xmx{limit_mb}m" in heap


def test_no_setting_is_lost_in_the_notation_of_environment_variables(
    process_settings: dict[str, ServerSettings],
) -> None:
    for server in ("kafka", "schema-registry"):
        assert len(compose_file.environment("", process_settings[server])) == len(
            process_settings[server]
        )
    assert not [name for name in process_settings["kafka"] if "_" in name or "-" in name]


def test_every_server_is_published_on_its_well_known_port_of_loopback_only() -> None:
    published = {name: service["ports"] for name, service in committed()["services"].items()}

    wanted = {
        name: [f"127.0.0.1:{port}:{port}"] for name, port in WELL_KNOWN.items() if name != "webhook"
    }
    assert published == wanted


def test_a_connector_reaches_postgres_by_its_name_inside_the_network() -> None:
    connector = DebeziumConnector("c", "s", "p", "cdc", ("a.b",))

    config = connector_config(connector, compose.endpoints())

    assert (config["database.hostname"], config["database.port"]) == ("postgres", "5432")
    assert set(services()) > {"postgres"}


def docker_that(tmp_path: Path, script: str) -> dict[str, str]:
    """An environment with a `docker` of ours on PATH."""
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:/bin:/usr/bin"}


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ('[ "$1" != compose ]', "`docker compose` is not there"),
        (
            '[ "$1" = info ] && echo "Cannot connect to the Docker daemon" >&2; [ "$1" = compose ]',
            "no Docker engine",
        ),
    ],
)
def test_what_docker_lacks_is_said_with_the_remedy(
    tmp_path: Path, script: str, message: str
) -> None:
    with pytest.raises(StackError, match=rf"{message}.*--kind process") as caught:
        compose.require_engine(docker_that(tmp_path, script))

    assert caught.value.exit_code == 3


def test_without_docker_the_message_names_the_stack_that_needs_none(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"no `docker` on PATH.*--kind process"):
        compose.require_engine({"PATH": str(tmp_path)})


def test_containers_that_do_not_come_up_are_removed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = docker_that(
        tmp_path, f'echo "$@" >> {tmp_path}/calls; case "$*" in *--build*) exit 1;; esac'
    )
    monkeypatch.setenv("PATH", environ["PATH"])
    monkeypatch.setattr(compose, "check_free", lambda _: None)
    monkeypatch.setattr(
        compose, "_fill_context", lambda state, *_: (state.root / "compose").mkdir(parents=True)
    )
    state = StackState(tmp_path / ".stack")

    with pytest.raises(StackError, match="`docker compose up` ended with 1"):
        compose.up(state, environ, lambda _: None)

    assert not compose.is_ours(state)
    assert (
        (tmp_path / "calls")
        .read_text(encoding="utf-8")
        .splitlines()[-1]
        .endswith("--remove-orphans")
    )


def test_down_removes_containers_and_volumes_and_what_the_checkout_remembers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = docker_that(tmp_path, f'echo "$@" >> {tmp_path}/calls')
    monkeypatch.setenv("PATH", environ["PATH"])
    state = StackState(tmp_path / ".stack")
    (state.root / "compose" / "jars").mkdir(parents=True)
    assert compose.is_ours(state)

    compose.down(state, environ)

    assert not compose.is_ours(state)
    last = (tmp_path / "calls").read_text(encoding="utf-8").splitlines()[-1]
    assert last.endswith("down --volumes --remove-orphans")
    assert "--file" in last

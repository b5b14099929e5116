"""The process stack: four real servers on loopback, each a process of its own, without Docker."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AdminClient

from infra.client import http
from infra.client.environment import for_server
from infra.client.registry import SchemaRegistry
from infra.stack.artifacts import java
from infra.stack.artifacts.artifact import DownloadProgress, cache_directory
from infra.stack.artifacts.version import VERSIONS
from infra.stack.endpoints import Endpoints, Profile
from infra.stack.error import StackError
from infra.stack.servers import postgres, settings
from infra.stack.servers.password import READER, StackPasswords, make_passwords
from infra.stack.servers.port import HOST, WELL_KNOWN, check_free, free_ports
from infra.stack.servers.server import Recipe
from infra.stack.servers.settings import Listener
from infra.stack.supervise.identity import Identity

REGISTRY_PATH = "/apis/ccompat/v7"
PROBE_S = 5.0
#: A connector's own client settings could name a provider that reads any file (CVE-2024-31141).
NO_OTHER_PROVIDER = "-Dorg.apache.kafka.automatic.config.providers=none"


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one stack."""

    postgres: int
    kafka: int
    controller: int
    registry: int
    registry_management: int
    connect: int


def choose_ports(kind: str) -> Ports:
    """Free ports, or the well-known ones; raises StackConfigError that says by what one is
    taken.
    """
    free = free_ports(6)
    if kind == "free":
        return Ports(*free)
    check_free(WELL_KNOWN)
    known = WELL_KNOWN
    return Ports(
        known["postgres"],
        known["kafka"],
        free[2],
        known["schema-registry"],
        free[4],
        known["connect"],
    )


@dataclass(frozen=True, slots=True)
class Blueprint:
    """All servers of one stack and where they will be; `places` lie outside the run directory."""

    recipes: tuple[Recipe, ...]
    endpoints: Endpoints
    places: tuple[Path, ...]
    passwords: StackPasswords


def blueprint(
    run_directory: Path,
    ports: Ports,
    profile: Profile,
    environ: Mapping[str, str],
    owner: Identity,
    progress: DownloadProgress,
) -> Blueprint:
    """Work out every server's recipe; fetches what is missing from the cache."""
    files = java.java_files(environ, progress)
    binaries = postgres.find_binaries(environ)
    versions = {
        "postgres": postgres.version(binaries),
        "java": _java_version(files.java),
        **VERSIONS,
    }
    account = postgres.account()
    passwords = make_passwords(run_directory / "secrets")
    passwords.write(ports.postgres)
    place = postgres.home(run_directory, account)
    template = _kafka_template(files, environ, progress)
    (run_directory / "log4j2.xml").write_text(java.LOG4J, encoding="utf-8")
    endpoints = Endpoints(
        kind="process",
        postgres_dsn=postgres.dsn(ports.postgres, passwords.passfile),
        kafka_bootstrap=f"{HOST}:{ports.kafka}",
        schema_registry_url=f"http://{HOST}:{ports.registry}{REGISTRY_PATH}",
        connect_url=f"http://{HOST}:{ports.connect}",
        profile=profile,
        versions=versions,
        supervisor_pid=owner.pid,
        supervisor_started_s=owner.started_s,
        postgres_user_from_connect=READER,
        postgres_secret_from_connect=passwords.reference,
    )
    recipes = (
        postgres.recipe(binaries, place, ports.postgres, account, passwords),
        kafka_recipe(files, run_directory, ports, profile, template),
        registry_recipe(files, run_directory, ports, profile, endpoints),
        connect_recipe(files, run_directory, ports, profile, endpoints, passwords),
    )
    return Blueprint(recipes, endpoints, (place,) if account is not None else (), passwords)


def _java_version(path: Path) -> str:
    output = subprocess.run(
        [path, "-XX:-UsePerfData", "-version"],
        env=for_server(os.environ),
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    return output.split('"')[1]


def kafka_recipe(
    files: java.JavaFiles, run: Path, ports: Ports, profile: Profile, template: Path
) -> Recipe:
    """Kafka on a copy of the formatted template, with an identity of its own."""
    directory = run / "kafka"
    properties = run / "kafka.properties"
    listener = Listener(HOST, ports.kafka, HOST)

    def prepare() -> None:
        shutil.copytree(template, directory)
        (directory / "meta.properties").write_text(_meta_properties(), encoding="utf-8")
        text = settings.render_properties(
            settings.kafka(listener, ports.controller, str(directory))
        )
        properties.write_text(text, encoding="utf-8")

    quick, training = java.startup(files, "kafka", profile)
    return Recipe(
        name="kafka",
        command=[
            str(files.java),
            *java.flags("kafka", profile, run),
            *quick,
            "-cp",
            java.class_path(files.kafka),
            "kafka.Kafka",
            str(properties),
        ],
        probe=lambda: probe_kafka(f"{HOST}:{ports.kafka}"),
        prepare=prepare,
        training=training,
    )


def _meta_properties() -> str:
    """A fresh identity for a cluster made from the template (KIP-631 names the keys)."""
    cluster, directory = (uuid.uuid4().hex[:22] for _ in range(2))
    return f"version=1\nnode.id=1\ncluster.id={cluster}\ndirectory.id={directory}\n"


def _kafka_template(
    files: java.JavaFiles, environ: Mapping[str, str], progress: DownloadProgress
) -> Path:
    """A formatted log directory, made once per user: formatting costs a Java start of its own."""
    template = cache_directory(environ) / "kafka-template" / VERSIONS["kafka"]
    if template.exists():
        return template
    progress("formatting Kafka's storage (once per user)")
    work = template.with_name(f".{template.name}-{uuid.uuid4().hex[:8]}")
    (work / "log").mkdir(parents=True)
    properties = work / "kafka.properties"
    listener = Listener(HOST, 9092, HOST)
    properties.write_text(
        settings.render_properties(settings.kafka(listener, 9093, str(work / "log"))),
        encoding="utf-8",
    )
    command = [
        str(files.java),
        "-XX:-UsePerfData",
        "-cp",
        java.class_path(files.kafka),
        "kafka.tools.StorageTool",
    ]
    done = subprocess.run(
        [*command, "format", "-t", uuid.uuid4().hex[:22], "-c", str(properties)],
        env=for_server(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise StackError(
            f"Kafka's storage cannot be formatted: {done.stderr.strip() or done.stdout.strip()}"
        )
    try:
        (work / "log").rename(template)
    except OSError:
        if not template.exists():
            raise
    shutil.rmtree(work)
    return template


def registry_recipe(
    files: java.JavaFiles, run: Path, ports: Ports, profile: Profile, endpoints: Endpoints
) -> Recipe:
    """The schema registry."""
    listener = Listener(HOST, ports.registry, HOST)
    properties = settings.registry(listener, ports.registry_management)
    quick, training = java.startup(files, "schema-registry", profile)
    return Recipe(
        name="schema-registry",
        command=[
            str(files.java),
            *java.flags("schema-registry", profile, run),
            *quick,
            *(f"-D{name}={value}" for name, value in properties.items()),
            "-jar",
            str(files.registry / "quarkus-run.jar"),
        ],
        probe=lambda: probe_registry(endpoints.schema_registry_url),
        prepare=lambda: None,
        training=training,
    )


def connect_recipe(
    files: java.JavaFiles,
    run: Path,
    ports: Ports,
    profile: Profile,
    endpoints: Endpoints,
    passwords: StackPasswords,
) -> Recipe:
    """Kafka Connect; a connector's password is read from a file, and from no other one."""
    properties = run / "connect.properties"
    base = endpoints.schema_registry_url.removesuffix(REGISTRY_PATH)
    listener = Listener(HOST, ports.connect, HOST)

    def prepare() -> None:
        rendered = settings.render_properties(
            settings.connect(listener, endpoints.kafka_bootstrap, base)
            | settings.file_provider(str(passwords.directory))
        )
        properties.write_text(rendered, encoding="utf-8")

    quick, training = java.startup(files, "connect", profile)
    return Recipe(
        name="connect",
        command=[
            str(files.java),
            *java.flags("connect", profile, run),
            NO_OTHER_PROVIDER,
            *quick,
            "-cp",
            java.class_path(files.connect),
            "org.apache.kafka.connect.cli.ConnectDistributed",
            str(properties),
        ],
        probe=lambda: probe_connect(endpoints.connect_url),
        prepare=prepare,
        training=training,
    )


def probe_kafka(bootstrap: str) -> None:
    """Cluster metadata with at least one broker."""
    client = AdminClient(
        {"bootstrap.servers": bootstrap, "log_level": 0, "socket.timeout.ms": 2000}
    )
    if not client.list_topics(timeout=2.0).brokers:
        raise StackError(f"Kafka at {bootstrap} has no broker")


def probe_registry(url: str) -> None:
    """Register a schema, read it back by its id, and remove it."""
    subject, schema = f"locust-cdc-probe-{uuid.uuid4().hex[:8]}", "string"
    with SchemaRegistry(url, PROBE_S) as registry:
        back = registry.schema(registry.register(subject, schema))
        registry.delete(subject)
    if back not in (schema, {"type": schema}):
        raise StackError(f"the schema registry at {url} gave back another schema than it was given")


def probe_connect(url: str) -> None:
    """The worker has joined its group and knows Debezium's connector."""
    answer = http.get(f"{url}/connector-plugins", timeout=PROBE_S)
    answer.raise_for_status()
    if not any("debezium" in plugin["class"].lower() for plugin in answer.json()):
        raise StackError(
            f"Kafka Connect at {url} has no Debezium connector for Postgres; install it there"
        )
    http.get(f"{url}/connectors", timeout=PROBE_S).raise_for_status()

"""The process stack: four real servers on loopback, each a process of its own, without Docker."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from infra.client.environment import ROOT, for_server, module_command
from infra.stack.artifacts import java
from infra.stack.artifacts.artifact import DownloadProgress, cache_directory
from infra.stack.artifacts.version import VERSIONS
from infra.stack.endpoints import Endpoints, Profile
from infra.stack.error import StackError
from infra.stack.servers import postgres, settings
from infra.stack.servers.password import READER, StackPasswords, make_passwords, write_private
from infra.stack.servers.port import BESIDE, HOST, Ports
from infra.stack.servers.probe import probe_connect, probe_kafka, probe_registry
from infra.stack.servers.secured import postgres_door, registry_door
from infra.stack.servers.secured.secured import Secured, make_secured
from infra.stack.servers.server import Recipe
from infra.stack.servers.settings import Listener
from infra.stack.supervise.identity import Identity

REGISTRY_PATH = "/apis/ccompat/v7"
#: What Connect's JVM shows: Debezium's figures, by the names in its documentation.
METRICS = 'includeObjectNames: ["debezium.*:*"]\nrules: [{pattern: ".*"}]\n'
#: A connector's own client settings could name a provider that reads any file (CVE-2024-31141).
NO_OTHER_PROVIDER = "-Dorg.apache.kafka.automatic.config.providers=none"


@dataclass(frozen=True, slots=True)
class Blueprint:
    """All servers of one stack and their addresses; `places` lie outside the run directory."""

    recipes: tuple[Recipe, ...]
    endpoints: Endpoints
    places: tuple[Path, ...]
    passwords: StackPasswords
    cluster: postgres.Cluster


@dataclass(frozen=True, slots=True)
class StackRequest:
    """The request for a process stack: where it may be, how quickly it starts, whether it is
    secured, and whether Connect shows its metrics.
    """

    run_directory: Path
    ports: Ports
    profile: Profile
    secure: bool = False
    metrics: bool = False


@dataclass(frozen=True, slots=True)
class Site:
    """The building site of one stack's servers: its request, its files, and its security."""

    request: StackRequest
    files: java.JavaFiles
    passwords: StackPasswords
    secured: Secured | None

    @property
    def run(self) -> Path:
        """The run directory."""
        return self.request.run_directory

    @property
    def ports(self) -> Ports:
        """The ports."""
        return self.request.ports


def blueprint(
    request: StackRequest, environ: Mapping[str, str], owner: Identity, progress: DownloadProgress
) -> Blueprint:
    """Work out every server's recipe; fetches files that the cache lacks."""
    files = java.java_files(environ, progress, metrics=request.metrics)
    binaries = postgres.find_binaries(environ)
    versions = {
        "postgres": postgres.version(binaries),
        "java": _java_version(files.java),
        **VERSIONS,
    }
    run, ports = request.run_directory, request.ports
    account = postgres.account()
    passwords = make_passwords(run / "secrets")
    passwords.write(ports.postgres, ports.postgres_inner)
    secured = make_secured(passwords.directory, ports) if request.secure else None
    site = Site(request, files, passwords, secured)
    place = postgres.home(run, account)
    template = _kafka_template(files, environ, progress)
    (run / "log4j2.xml").write_text(java.LOG4J, encoding="utf-8")
    endpoints = _endpoints(site, versions, owner)
    inner = ports.postgres if secured is None else ports.postgres_inner
    cluster = postgres.Cluster(binaries, place, inner, account, passwords)
    recipes = (
        postgres.recipe(cluster),
        kafka_recipe(site, template, endpoints),
        registry_recipe(site, endpoints),
        connect_recipe(site, endpoints),
        *([] if secured is None else door_recipes(secured, endpoints)),
    )
    places = (place,) if account is not None else ()
    return Blueprint(recipes, endpoints, places, passwords, cluster)


def _endpoints(site: Site, versions: Mapping[str, str], owner: Identity) -> Endpoints:
    ports, passwords, secured = site.ports, site.passwords, site.secured
    scheme = "http" if secured is None else "https"
    authority = None if secured is None else secured.certificates.authority
    found = Endpoints(
        kind="process",
        postgres_dsn=postgres.dsn(ports.postgres, passwords.passfile, authority),
        kafka_bootstrap=f"{HOST}:{ports.kafka}",
        schema_registry_url=f"{scheme}://{HOST}:{ports.registry}{REGISTRY_PATH}",
        connect_url=f"{scheme}://{HOST}:{ports.connect}",
        connect_metrics=f"http://{HOST}:{ports.metrics}/metrics" if site.request.metrics else "",
        profile=site.request.profile,
        versions=versions,
        supervisor_pid=owner.pid,
        supervisor_started_s=owner.started_s,
        postgres_user_from_connect=READER,
        postgres_secret_from_connect=passwords.reference,
    )
    if secured is None:
        return replace(found, kafka_beside=f"{BESIDE}:{ports.kafka_internal}")
    return replace(
        found,
        kafka_properties=str(secured.kafka_properties),
        registry_access=secured.registry_access(),
        connect_access=secured.connect_access(),
    )


def _java_version(path: Path) -> str:
    output = subprocess.run(
        [path, "-XX:-UsePerfData", "-version"],
        env=for_server(os.environ),
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    return output.split('"')[1]


def kafka_recipe(site: Site, template: Path, endpoints: Endpoints) -> Recipe:
    """Kafka on a copy of the formatted template, with an identity of its own."""
    files, run, ports, secured = site.files, site.run, site.ports, site.secured
    profile = site.request.profile
    directory = run / "kafka"
    properties = run / "kafka.properties"
    listener = Listener(HOST, ports.kafka, HOST)
    relayed = Listener(HOST, ports.kafka_internal, BESIDE)

    def prepare() -> None:
        shutil.copytree(template, directory)
        (directory / "meta.properties").write_text(_meta_properties(), encoding="utf-8")
        wanted = settings.kafka(listener, ports.controller, str(directory), relayed)
        if secured is not None:
            wanted |= secured.kafka()
        write_private(properties, settings.render_properties(wanted))

    def probe() -> None:
        if secured is not None:
            secured.let_user_in()
        probe_kafka(endpoints.kafka_bootstrap, endpoints.environment({}))

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
        probe=probe,
        prepare=prepare,
        training=training,
    )


def _meta_properties() -> str:
    """A fresh identity for a cluster that is made from the template (KIP-631 names the keys)."""
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


def door_recipes(secured: Secured, endpoints: Endpoints) -> tuple[Recipe, ...]:
    """The doors of a secured stack's PostgreSQL and registry."""
    environ = endpoints.environment({})
    return (
        Recipe(
            name="postgres-door",
            command=module_command(postgres_door.__name__),
            environment={
                "PYTHONPATH": str(ROOT),
                postgres_door.VARIABLE: str(secured.postgres_door),
            },
            probe=lambda: postgres.probe(endpoints.postgres_dsn),
            prepare=lambda: None,
        ),
        Recipe(
            name="registry-door",
            command=module_command(registry_door.__name__),
            environment={
                "PYTHONPATH": str(ROOT),
                registry_door.VARIABLE: str(secured.registry_door),
            },
            probe=lambda: probe_registry(endpoints.schema_registry_url, environ),
            prepare=lambda: None,
        ),
    )


def registry_recipe(site: Site, endpoints: Endpoints) -> Recipe:
    """The schema registry; of a secured stack only its door knows where it is."""
    files, run, ports, profile = site.files, site.run, site.ports, site.request.profile
    port, url = ports.registry, endpoints.schema_registry_url
    if site.secured is not None:
        port = ports.registry_inner
        url = f"http://{HOST}:{port}{REGISTRY_PATH}"
    listener = Listener(HOST, port, HOST)
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
        probe=lambda: probe_registry(url, {}),
        prepare=lambda: None,
        training=training,
    )


def connect_recipe(site: Site, endpoints: Endpoints) -> Recipe:
    """Kafka Connect; a connector's password is read from a file, and from no other one."""
    files, run, profile = site.files, site.run, site.request.profile
    properties, metrics = run / "connect.properties", run / "metrics.yml"
    base = endpoints.schema_registry_url.removesuffix(REGISTRY_PATH)
    listener = Listener(HOST, site.ports.connect, HOST)

    def prepare() -> None:
        wanted = settings.connect(listener, endpoints.kafka_bootstrap, base)
        if site.secured is not None:
            wanted |= site.secured.connect(base)
        wanted |= settings.file_provider(str(site.passwords.properties))
        write_private(properties, settings.render_properties(wanted))
        if files.agent is not None:
            metrics.write_text(METRICS, encoding="utf-8")

    if files.agent is None:
        quick, training = java.startup(files, "connect", profile)
    else:
        # What is known about a start without an agent is of no use with one.
        quick, training = [f"-javaagent:{files.agent}={HOST}:{site.ports.metrics}:{metrics}"], None
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
        probe=lambda: probe_connect(endpoints.connect_url, endpoints.environment({})),
        prepare=prepare,
        training=training,
    )

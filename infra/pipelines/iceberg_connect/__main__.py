"""`python -m infra.pipelines.iceberg_connect`: runs Kafka Connect with Iceberg's sink as a run's
platform.

It keeps the contract of docs/platform-contract.md and has no telemetry: it prints one ready line
once the sink's task runs. When the worker or the task ends, it ends with 1, with the end of the
log on standard error.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import requests

from infra.client.access import KAFKA_PROPERTIES
from infra.client.environment import for_server
from infra.client.http import DirectSession
from infra.pipelines.child import JavaChild, await_that
from infra.pipelines.contract import platform_parser, run_in_directory, say_ready
from infra.pipelines.fetch import libraries
from infra.pipelines.iceberg_connect.configuration import (
    IcebergConnectSettings,
    connector,
    worker,
)
from infra.stack.artifacts.artifact import print_progress
from infra.stack.artifacts.java import LOG4J, class_path, java_files
from infra.stack.error import StackError
from infra.stack.servers.port import HOST, free_ports
from infra.stack.servers.process import REGISTRY_PATH
from infra.stack.servers.settings import render_properties

SET = "iceberg-connect"
FLAGS = ("-Xmx768m", "-XX:+UseSerialGC", "-XX:-UsePerfData")
NEEDED = (
    *("bootstrap", "schema-registry", "topic", "group", "control-topic"),
    *("iceberg-warehouse", "iceberg-table"),
)


def parser() -> argparse.ArgumentParser:
    """The options of a platform; unused ones are accepted and ignored."""
    found = platform_parser(__doc__, NEEDED)
    found.add_argument("--iceberg-commit-interval-ms", type=int, default=1000)
    return found


def settings_of(options: argparse.Namespace, environ: Mapping[str, str]) -> IcebergConnectSettings:
    """The settings; raises StackError for servers that the worker cannot use."""
    if environ.get(KAFKA_PROPERTIES):
        raise StackError(
            f"Iceberg's sink does not log in to Kafka here; unset {KAFKA_PROPERTIES}, or run it in"
            " a worker of your own with --sink-tap iceberg:CATALOG.TABLE"
        )
    base = options.schema_registry.removesuffix(REGISTRY_PATH)
    if base == options.schema_registry:
        raise StackError(
            f"the schema registry at {options.schema_registry} is not Apicurio's, which this"
            " worker's converter needs; use the stack's own"
        )
    return IcebergConnectSettings(
        bootstrap=options.bootstrap,
        registry=base,
        topics=tuple(options.topic.split(",")),
        group=options.group,
        control=options.control_topic,
        warehouse=Path(options.iceberg_warehouse),
        table=options.iceberg_table,
        commit_interval_ms=options.iceberg_commit_interval_ms,
    )


def run(settings: IcebergConnectSettings, environ: Mapping[str, str], place: Path) -> int:
    """Run it until it ends or a signal comes; returns the exit code."""
    files = java_files(environ, print_progress)
    plugin = place / "plugins" / SET
    plugin.mkdir(parents=True)
    for jar in libraries(SET, environ, print_progress):
        (plugin / jar.name).symlink_to(jar)
    (port,) = free_ports(1)
    written = {"worker": worker(settings, port, place), "connector": connector(settings)}
    for name, properties in written.items():
        (place / f"{name}.properties").write_text(render_properties(properties), encoding="utf-8")
    (place / "log4j2.xml").write_text(LOG4J, encoding="utf-8")
    command = [
        *(str(files.java), *FLAGS, f"-Djava.io.tmpdir={place}"),
        f"-Dlog4j2.configurationFile={place / 'log4j2.xml'}",
        *("-cp", class_path(files.connect), "org.apache.kafka.connect.cli.ConnectStandalone"),
        *(str(place / f"{name}.properties") for name in written),
    ]
    url = f"http://{HOST}:{port}/connectors/{settings.group}/status"
    with JavaChild(command, for_server(environ), place) as child, DirectSession() as session:
        if await_that(lambda: _task(session, url) == "RUNNING", child):
            say_ready()
        return child.ended()


def _task(session: DirectSession, url: str) -> str:
    """The state of the sink's task; empty if nothing is known yet."""
    try:
        answer = session.get(url, timeout=5.0)
        tasks = answer.json()["tasks"] if answer.ok else []
    except (requests.RequestException, ValueError):
        return ""
    return str(tasks[0]["state"]) if tasks else ""


def main(arguments: Sequence[str]) -> int:
    """Run it; returns 2 for bad options, 3 if it cannot start, 1 if it ended by itself."""
    options, _ = parser().parse_known_args(arguments)

    def start(place: Path) -> int:
        return run(settings_of(options, os.environ), os.environ, place)

    return run_in_directory(SET, start)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

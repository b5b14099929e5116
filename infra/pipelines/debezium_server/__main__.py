"""`python -m infra.pipelines.debezium_server`: runs Debezium Server as a run's platform.

It keeps the contract of docs/platform-contract.md and has no telemetry: it prints one ready line
once it reads its slot. When Debezium Server ends, it ends with 1, with the end of the log on
standard error. Debezium Server's own settings are taken from its environment variables
(DEBEZIUM_...).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psycopg

from infra.client.cloud import kinesis_variables, region
from infra.client.environment import for_server
from infra.client.passfile import password
from infra.pipelines.child import JavaChild, await_that
from infra.pipelines.contract import kept_directory, platform_parser, run_in_directory, say_ready
from infra.pipelines.debezium_server.configuration import (
    JDBC_PASSWORD,
    SINKS,
    SOURCE_PASSWORD,
    DebeziumServerSettings,
    as_text,
    configuration,
)
from infra.pipelines.fetch import distribution
from infra.postgres.database import connect_to
from infra.postgres.slot import is_read
from infra.stack.artifacts.artifact import print_progress
from infra.stack.artifacts.java import find_java
from infra.stack.error import StackError
from infra.validate import dsn_place

SET = "debezium-server"
FLAGS = ("-Xmx768m", "--add-opens=java.base/java.lang=ALL-UNNAMED")
_TABLES = "SELECT schemaname || '.' || tablename FROM pg_publication_tables WHERE pubname = %s"


def parser() -> argparse.ArgumentParser:
    """The options of a platform, and where the events go."""
    found = platform_parser(__doc__)
    found.add_argument("--transport", required=True, choices=sorted(SINKS))
    found.add_argument("--stream", default="", help="of a service: what is written to")
    found.add_argument("--project", default="", help="of Pub/Sub")
    return found


def environment(settings: DebeziumServerSettings, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of the process: secrets, and the user's settings for Debezium Server."""
    own = {name: value for name, value in environ.items() if name.startswith("DEBEZIUM_")}
    secrets = {SOURCE_PASSWORD: password(dsn_place(settings.dsn), environ)}
    if settings.transport == "postgres":
        secrets[JDBC_PASSWORD] = password(dsn_place(settings.endpoint), environ)
    known = {name: value for name, value in secrets.items() if value}
    to_kinesis = settings.transport == "kinesis"
    aws = kinesis_variables(settings.endpoint, environ) if to_kinesis else {}
    return {**for_server(environ), **aws, **known, **own}


def settings_of(options: argparse.Namespace, environ: Mapping[str, str]) -> DebeziumServerSettings:
    """The settings, with the tables of the publication; raises psycopg.Error."""
    with connect_to(options.dsn) as connection:
        rows = connection.execute(_TABLES, (options.publication,)).fetchall()
    return DebeziumServerSettings(
        dsn=options.dsn,
        slot=options.slot,
        publication=options.publication,
        transport=options.transport,
        endpoint=options.endpoint,
        tables=tuple(sorted(str(row[0]) for row in rows)),
        stream=options.stream,
        project=options.project,
        region=region(environ),
    )


def run(settings: DebeziumServerSettings, environ: Mapping[str, str], place: Path) -> int:
    """Run it until it ends or a signal comes; returns the exit code."""
    home = distribution(SET, environ, print_progress) / SET
    config = place / "config"
    config.mkdir(exist_ok=True)
    properties = configuration(settings, str(place / "offsets.dat"))
    (config / "application.properties").write_text(as_text(properties), encoding="utf-8")
    (runner,) = home.glob("*-runner.jar")
    paths = os.pathsep.join((str(runner), str(config), str(home / "lib" / "*")))
    command = [str(find_java(environ)), *FLAGS, "-cp", paths, "io.debezium.server.Main"]
    with JavaChild(command, environment(settings, environ), place) as child:
        with connect_to(settings.dsn) as connection:
            reads = await_that(lambda: is_read(connection, settings.slot), child)
        if reads:
            say_ready()
        return child.ended()


def main(arguments: Sequence[str]) -> int:
    """Run it; returns 2 for bad options, 3 if a server is missing, 1 if it ended by itself."""
    options, _ = parser().parse_known_args(arguments)

    def start(place: Path) -> int:
        return run(settings_of(options, os.environ), os.environ, place)

    # As with a real one, its position survives a kill.
    kept = kept_directory(SET, options.slot)
    return run_in_directory(SET, start, (StackError, psycopg.Error), kept)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`python -m infra.pipelines.debezium_server`: runs Debezium Server as a run's platform.

It keeps the contract of docs/platform-contract.md and has no telemetry: it prints one ready line
once it reads its slot, or MariaDB's log. When Debezium Server ends, it ends with 1, with the end of
the log on standard error. Debezium Server's own settings are taken from its environment variables
(DEBEZIUM_...).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from infra.client.cloud import kinesis_variables, region
from infra.client.environment import for_server
from infra.client.passfile import password
from infra.mariadb.address import FAILURES, MariadbAddress
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
from infra.pipelines.debezium_server.mariadb import (
    is_mariadb,
    readers,
    source_tables,
    write_trust_store,
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
    secrets = {SOURCE_PASSWORD: _source_password(settings.dsn, environ)}
    if settings.transport == "postgres":
        secrets[JDBC_PASSWORD] = password(dsn_place(settings.endpoint), environ)
    known = {name: value for name, value in secrets.items() if value}
    to_kinesis = settings.transport == "kinesis"
    aws = kinesis_variables(settings.endpoint, environ) if to_kinesis else {}
    return {**for_server(environ), **aws, **known, **own}


def _source_password(dsn: str, environ: Mapping[str, str]) -> str:
    if is_mariadb(dsn):
        return MariadbAddress.of(dsn).password(environ)
    return password(dsn_place(dsn), environ)


def settings_of(options: argparse.Namespace, environ: Mapping[str, str]) -> DebeziumServerSettings:
    """The settings, with the tables that are read; raises the driver's error."""
    return DebeziumServerSettings(
        dsn=options.dsn,
        slot=options.slot,
        publication=options.publication,
        transport=options.transport,
        endpoint=options.endpoint,
        tables=_tables_of(options),
        stream=options.stream,
        project=options.project,
        region=region(environ),
        environ=environ,
    )


def _tables_of(options: argparse.Namespace) -> tuple[str, ...]:
    """The tables of the publication, or of the run's own database in MariaDB."""
    if is_mariadb(options.dsn):
        return source_tables(options.dsn)
    with connect_to(options.dsn) as connection:
        rows = connection.execute(_TABLES, (options.publication,)).fetchall()
    return tuple(sorted(str(row[0]) for row in rows))


@contextmanager
def _reading(settings: DebeziumServerSettings) -> Iterator[Callable[[], bool]]:
    """Tells whether Debezium Server reads the log: its slot, or MariaDB's log with a connection
    that was not there before.
    """
    if is_mariadb(settings.dsn):
        before = readers(settings.dsn)
        yield lambda: bool(readers(settings.dsn) - before)
        return
    with connect_to(settings.dsn) as connection:
        yield lambda: is_read(connection, settings.slot)


def run(settings: DebeziumServerSettings, environ: Mapping[str, str], place: Path) -> int:
    """Run it until it ends or a signal comes; returns the exit code."""
    home = distribution(SET, environ, print_progress) / SET
    config = place / "config"
    config.mkdir(exist_ok=True)
    properties = as_text(configuration(settings, place))
    (config / "application.properties").write_text(properties, encoding="utf-8")
    if is_mariadb(settings.dsn):
        write_trust_store(settings.dsn, place)
    (runner,) = home.glob("*-runner.jar")
    paths = os.pathsep.join((str(runner), str(config), str(home / "lib" / "*")))
    # Its web server makes a directory for itself, and would leave it behind.
    flags = (*FLAGS, f"-Djava.io.tmpdir={place}")
    command = [str(find_java(environ)), *flags, "-cp", paths, "io.debezium.server.Main"]
    with (
        _reading(settings) as reads,
        JavaChild(command, environment(settings, environ), place) as child,
    ):
        if await_that(reads, child):
            say_ready()
        return child.ended()


def main(arguments: Sequence[str]) -> int:
    """Run it; returns 2 for bad options, 3 if a server is missing, 1 if it ended by itself."""
    options, _ = parser().parse_known_args(arguments)

    def start(place: Path) -> int:
        return run(settings_of(options, os.environ), os.environ, place)

    # As with a real one, its position survives a kill. The slot is named after the run's objects,
    # as MariaDB's database is.
    name = MariadbAddress.of(options.dsn).database if is_mariadb(options.dsn) else options.slot
    errors = (StackError, psycopg.Error, *FAILURES)
    return run_in_directory(SET, start, errors, kept_directory(SET, name))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

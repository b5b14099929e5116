"""The platform's command line, checked as a whole: all mistakes are reported together."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Mapping
from pathlib import Path

from infra.platform.process.address import url_mistakes
from infra.schemas.envelope import is_probe_column
from infra.validate import MOST_PORT, are_addresses, dsn_mistakes, is_topic, is_whole, unwritable

SINKS = ("counting", "slow", "webhook", "postgres", "iceberg")
MODES = ("append", "upsert")
SHAPES = ("batch", "single")
LOG_LEVELS = ("debug", "info", "warning", "error")
#: Whole numbers, with the least that each may be.
_NUMBERS = {
    "sink_delay_ms": 0,
    "batch_size": 1,
    "max_buffered_messages": 1,
    "iceberg_commit_interval_ms": 1,
    "flush_interval_ms": 1,
    "retry_limit_s": 0,
}
#: PostgreSQL cuts longer names (NAMEDATALEN), and `<table>_offsets` must not become another
#: table's name.
NAME_BYTES = 63
_TABLE_BYTES = NAME_BYTES - len("_offsets")
#: What each sink cannot do without.
_NEEDED = {
    "webhook": ("webhook_url",),
    "postgres": ("postgres_dsn", "postgres_table"),
    "iceberg": ("iceberg_table",),
}


class DefaultsShown(argparse.HelpFormatter):
    """Says behind each option that may be left out what holds then."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.required or action.default == argparse.SUPPRESS:
            return action.help
        return f"{action.help} (default: {action.default or 'none'})"


def parser(program: str = "python -m infra.platform") -> argparse.ArgumentParser:
    """The command line. Numbers are texts here and checked together in `mistakes`."""
    top = argparse.ArgumentParser(
        prog=program,
        description="One instance of the reference platform.",
        formatter_class=DefaultsShown,
    )
    top.add_argument("--bootstrap", required=True, help="Kafka, HOST:PORT, several by comma")
    top.add_argument("--schema-registry", required=True, help="Confluent-compatible URL")
    top.add_argument("--topic", required=True, help="topics to read, by comma")
    top.add_argument(
        "--group", required=True, help="consumer group; instances of one group share the partitions"
    )
    top.add_argument("--sink", default="counting", help=f"one of {', '.join(SINKS)}")
    top.add_argument("--batch-size", default="500", help="most events in one write")
    top.add_argument("--max-buffered-messages", default="10000", help="most events held in memory")
    top.add_argument(
        "--flush-interval-ms",
        default="1000",
        help="milliseconds between flushes of a sink that only accepts",
    )
    top.add_argument(
        "--retry-limit-s",
        default="60",
        help="seconds for which a failing write or lookup is tried again",
    )
    top.add_argument(
        "--dead-letter-topic",
        default="",
        help="where events go that cannot be delivered; must exist",
    )
    top.add_argument("--telemetry-port", default="0", help="port on 127.0.0.1; 0 takes a free one")
    top.add_argument(
        "--held",
        default="no",
        help="yes: read nothing before POST /begin (starts a drain at one moment)",
    )
    top.add_argument("--run", default="", help="the run whose probes are counted")
    top.add_argument("--probe-column", default="probe", help="the column that carries the probe")
    top.add_argument(
        "--log-level",
        default="info",
        help=f"one of {', '.join(LOG_LEVELS)}; debug also tells every write and every queue sample",
    )
    _add_sinks(top)
    return top


def _add_sinks(top: argparse.ArgumentParser) -> None:
    top.add_argument(
        "--sink-delay-ms", default="50", help="slow: milliseconds that it sleeps in each write"
    )
    top.add_argument(
        "--webhook-url", default="", help="webhook: where change events are posted; without a login"
    )
    top.add_argument(
        "--webhook-shape",
        default="batch",
        help=f"webhook: one of {', '.join(SHAPES)}: what a post has",
    )
    top.add_argument(
        "--postgres-dsn",
        default="",
        help="postgres: without a password, which PGPASSWORD or PGPASSFILE has",
    )
    top.add_argument(
        "--postgres-table", default="", help="postgres: SCHEMA.TABLE, created where it is absent"
    )
    top.add_argument(
        "--iceberg-warehouse", default="", help="iceberg: a directory, with its catalog in SQLite"
    )
    top.add_argument(
        "--iceberg-properties",
        default="",
        help="iceberg: a file of any PyIceberg catalog's properties",
    )
    top.add_argument(
        "--iceberg-table", default="", help="iceberg: NAMESPACE.TABLE, created where it is absent"
    )
    top.add_argument(
        "--iceberg-commit-interval-ms", default="5000", help="iceberg: milliseconds between commits"
    )
    top.add_argument("--iceberg-mode", default="append", help=f"iceberg: one of {', '.join(MODES)}")


def mistakes(options: argparse.Namespace, environ: Mapping[str, str]) -> list[str]:
    """Every mistake in the options, each with its remedy; no server is touched."""
    found = number_mistakes(options, _NUMBERS)
    if not found and int(options.max_buffered_messages) < int(options.batch_size):
        found.append("--max-buffered-messages is below --batch-size; raise it")
    if options.held not in ("yes", "no"):
        found.append(f"--held {options.held!r} is neither yes nor no")
    if options.sink not in SINKS:
        found.append(f"--sink {options.sink!r} is not one of {', '.join(SINKS)}")
    if not is_probe_column(options.probe_column):
        found.append(f"--probe-column {options.probe_column!r} is not a plain column name")
    if options.log_level not in LOG_LEVELS:
        found.append(f"--log-level {options.log_level!r} is not one of {', '.join(LOG_LEVELS)}")
    return found + _kafka_mistakes(options) + _sink_mistakes(options, environ)


def number_mistakes(options: argparse.Namespace, least: Mapping[str, int]) -> list[str]:
    """What is wrong with the numbers, given by name with the least that each may be, and with the
    telemetry's port.
    """
    found = [
        f"{_option(name)} {getattr(options, name)!r} is not a whole number of at least {fewest}"
        for name, fewest in least.items()
        if not is_whole(getattr(options, name), fewest)
    ]
    if not is_whole(options.telemetry_port, 0, MOST_PORT):
        found.append(
            f"--telemetry-port {options.telemetry_port!r} is not a port, at most {MOST_PORT}, or 0"
            " for a free one"
        )
    return found


def _kafka_mistakes(options: argparse.Namespace) -> list[str]:
    found = url_mistakes("--schema-registry", options.schema_registry)
    if not are_addresses(options.bootstrap):
        found.append(f"--bootstrap {options.bootstrap!r} is not HOST:PORT[,HOST:PORT...]")
    if not options.group:
        found.append("--group '' names no consumer group; write one")
    topics = options.topic.split(",")
    found += [
        f"--topic {topic!r} is no name of a topic; write names by comma"
        for topic in topics
        if not is_topic(topic)
    ]
    if options.dead_letter_topic and not is_topic(options.dead_letter_topic):
        found.append(f"--dead-letter-topic {options.dead_letter_topic!r} is no name of a topic")
    elif options.dead_letter_topic in topics and options.dead_letter_topic:
        found.append(
            f"--dead-letter-topic {options.dead_letter_topic!r} is also read; choose another"
        )
    return found


def _sink_mistakes(options: argparse.Namespace, environ: Mapping[str, str]) -> list[str]:
    found = [
        f"--sink {options.sink} needs {_option(name)}"
        for name in _NEEDED.get(options.sink, ())
        if not getattr(options, name)
    ]
    if options.webhook_url:
        found += url_mistakes("--webhook-url", options.webhook_url)
    if options.webhook_shape not in SHAPES:
        found.append(f"--webhook-shape {options.webhook_shape!r} is not one of {', '.join(SHAPES)}")
    if options.postgres_dsn:
        found += [
            f"--postgres-dsn {mistake}" for mistake in dsn_mistakes(options.postgres_dsn, environ)
        ]
    for name in ("postgres_table", "iceberg_table"):
        table = getattr(options, name)
        if table and len([part for part in table.split(".") if part]) != 2:
            found.append(f"{_option(name)} {table!r} is not two names with a dot between them")
    found += _length_mistakes(options.postgres_table)
    return found + (_iceberg_mistakes(options) if options.sink == "iceberg" else [])


def _length_mistakes(table: str) -> list[str]:
    schema, _, name = table.partition(".")
    return [
        f"--postgres-table {table!r}: {what} {part!r} is longer than {most} bytes, so PostgreSQL"
        f" would cut it{why}"
        for what, part, most, why in (
            ("schema", schema, NAME_BYTES, ""),
            ("table", name, _TABLE_BYTES, " with _offsets behind it"),
        )
        if len(part.encode()) > most
    ]


def _iceberg_mistakes(options: argparse.Namespace) -> list[str]:
    found = []
    if bool(options.iceberg_warehouse) == bool(options.iceberg_properties):
        found.append("--sink iceberg needs either --iceberg-warehouse or --iceberg-properties")
    if options.iceberg_warehouse and (why := unwritable(Path(options.iceberg_warehouse))):
        found.append(
            f"--iceberg-warehouse {options.iceberg_warehouse!r}: {why}; name a directory that can"
            " be written to"
        )
    if options.iceberg_properties and not Path(options.iceberg_properties).is_file():
        found.append(f"--iceberg-properties {options.iceberg_properties!r} is no file")
    if options.iceberg_mode not in MODES:
        found.append(f"--iceberg-mode {options.iceberg_mode!r} is not one of {', '.join(MODES)}")
    if importlib.util.find_spec("pyiceberg") is None:
        found.append("--sink iceberg needs PyIceberg; install the extra: uv sync --extra iceberg")
    return found


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"

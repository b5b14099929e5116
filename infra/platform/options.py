"""The platform's command line, checked as a whole: all mistakes are reported together."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from infra.platform.address import dsn_mistakes, url_mistakes
from infra.schemas.envelope import is_probe_column

SINKS = ("counting", "slow", "webhook", "postgres", "iceberg")
MODES = ("append", "upsert")
SHAPES = ("batch", "single")
#: Whole numbers, with the least that each may be.
_NUMBERS = {
    "sink_delay_ms": 0,
    "batch_size": 1,
    "max_buffered_messages": 1,
    "telemetry_port": 0,
    "iceberg_commit_interval_ms": 1,
    "flush_interval_ms": 1,
    "retry_limit_s": 0,
}
#: PostgreSQL cuts longer names (NAMEDATALEN), and `<table>_offsets` must not become another table's name.
_NAME_BYTES = 63
_TABLE_BYTES = _NAME_BYTES - len("_offsets")
#: What each sink cannot do without.
_NEEDED = {
    "webhook": ("webhook_url",),
    "postgres": ("postgres_dsn", "postgres_table"),
    "iceberg": ("iceberg_table",),
}


def parser(program: str = "python -m infra.platform") -> argparse.ArgumentParser:
    """The command line. Numbers are texts here and checked together in `mistakes`."""
    top = argparse.ArgumentParser(prog=program, description="One instance of the reference platform.")
    top.add_argument("--bootstrap", required=True, help="Kafka, HOST:PORT")
    top.add_argument("--schema-registry", required=True, help="Confluent-compatible URL")
    top.add_argument("--topic", required=True, help="topics to read, by comma")
    top.add_argument("--group", required=True, help="consumer group; instances of one group share the partitions")
    top.add_argument("--sink", default="counting", help=f"one of {', '.join(SINKS)}")
    top.add_argument("--batch-size", default="500", help="most events in one write")
    top.add_argument("--max-buffered-messages", default="10000", help="most events held in memory")
    top.add_argument("--flush-interval-ms", default="1000", help="how often a sink that only accepts is made to flush")
    top.add_argument("--retry-limit-s", default="60", help="how long a failing write or lookup is tried again")
    top.add_argument("--dead-letter-topic", default="", help="where events go that cannot be delivered; must exist")
    top.add_argument("--telemetry-port", default="0", help="0 takes a free port")
    top.add_argument("--held", default="no", help="yes: read nothing before POST /begin (starts a drain at one moment)")
    top.add_argument("--run", default="", help="the run whose probes are counted")
    top.add_argument("--probe-column", default="probe", help="the column that carries the probe")
    top.add_argument("--log-level", default="info", help="debug also tells every write and every queue sample")
    _add_sinks(top)
    return top


def _add_sinks(top: argparse.ArgumentParser) -> None:
    top.add_argument("--sink-delay-ms", default="50", help="slow: what it sleeps in each write")
    top.add_argument("--webhook-url", default="", help="webhook: where change events are posted; without a login")
    top.add_argument("--webhook-shape", default="batch", help=f"webhook: one of {', '.join(SHAPES)}: what a post has")
    top.add_argument(
        "--postgres-dsn", default="", help="postgres: without a password, which PGPASSWORD or PGPASSFILE has"
    )
    top.add_argument("--postgres-table", default="", help="postgres: SCHEMA.TABLE, created where it is absent")
    top.add_argument("--iceberg-warehouse", default="", help="iceberg: a directory, with its catalog in SQLite")
    top.add_argument("--iceberg-properties", default="", help="iceberg: a file of any PyIceberg catalog's properties")
    top.add_argument("--iceberg-table", default="", help="iceberg: NAMESPACE.TABLE, created where it is absent")
    top.add_argument("--iceberg-commit-interval-ms", default="5000", help="iceberg: the time between commits")
    top.add_argument("--iceberg-mode", default="append", help=f"iceberg: one of {', '.join(MODES)}")


def mistakes(options: argparse.Namespace) -> list[str]:
    """Every mistake in the options, each with its remedy."""
    found = []
    for name, least in _NUMBERS.items():
        text = getattr(options, name)
        if not text.isdigit() or int(text) < least:
            found.append(f"{_option(name)} {text!r} is not a whole number of at least {least}")
    if options.held not in ("yes", "no"):
        found.append(f"--held {options.held!r} is neither yes nor no")
    if options.sink not in SINKS:
        found.append(f"--sink {options.sink!r} is not one of {', '.join(SINKS)}")
    if not is_probe_column(options.probe_column):
        found.append(f"--probe-column {options.probe_column!r} is not a plain column name")
    if options.log_level not in ("debug", "info", "warning", "error"):
        found.append(f"--log-level {options.log_level!r} is not one of debug, info, warning, error")
    if options.dead_letter_topic in options.topic.split(",") and options.dead_letter_topic:
        found.append(f"--dead-letter-topic {options.dead_letter_topic!r} is also read; choose another")
    found += url_mistakes("--schema-registry", options.schema_registry)
    if not found and int(options.max_buffered_messages) < int(options.batch_size):
        found.append("--max-buffered-messages is below --batch-size; raise it")
    return found + _sink_mistakes(options)


def _sink_mistakes(options: argparse.Namespace) -> list[str]:
    found = [
        f"--sink {options.sink} needs {_option(name)}"
        for name in _NEEDED.get(options.sink, ())
        if not getattr(options, name)
    ]
    if options.webhook_url:
        found += url_mistakes("--webhook-url", options.webhook_url)
    if options.webhook_shape not in SHAPES:
        found.append(f"--webhook-shape {options.webhook_shape!r} is not one of {', '.join(SHAPES)}")
    found += dsn_mistakes("--postgres-dsn", options.postgres_dsn)
    for name in ("postgres_table", "iceberg_table"):
        table = getattr(options, name)
        if table and len([part for part in table.split(".") if part]) != 2:
            found.append(f"{_option(name)} {table!r} is not two names with a dot between them")
    found += _length_mistakes(options.postgres_table)
    return found + (_iceberg_mistakes(options) if options.sink == "iceberg" else [])


def _length_mistakes(table: str) -> list[str]:
    schema, _, name = table.partition(".")
    return [
        f"--postgres-table {table!r}: {what} {part!r} is longer than {most} bytes, so PostgreSQL would cut it{why}"
        for what, part, most, why in (
            ("schema", schema, _NAME_BYTES, ""),
            ("table", name, _TABLE_BYTES, " with _offsets behind it"),
        )
        if len(part.encode()) > most
    ]


def _iceberg_mistakes(options: argparse.Namespace) -> list[str]:
    found = []
    if bool(options.iceberg_warehouse) == bool(options.iceberg_properties):
        found.append("--sink iceberg needs either --iceberg-warehouse or --iceberg-properties")
    if options.iceberg_properties and not Path(options.iceberg_properties).is_file():
        found.append(f"--iceberg-properties {options.iceberg_properties!r} is no file")
    if options.iceberg_mode not in MODES:
        found.append(f"--iceberg-mode {options.iceberg_mode!r} is not one of {', '.join(MODES)}")
    if importlib.util.find_spec("pyiceberg") is None:
        found.append("--sink iceberg needs PyIceberg; install the extra: uv sync --extra iceberg")
    return found


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"

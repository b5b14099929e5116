"""The Iceberg sink on the platform's command line."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from infra.platform.process.argument import (
    Argument,
    file,
    missing,
    one_of,
    table,
    whole,
    writable,
)
from infra.platform.process.error import ConfigError
from infra.platform.sinks.connector import SinkConnector
from infra.platform.sinks.plugin import SinkPlugin
from infra.plugin import lacking

MODES = ("append", "upsert")


def read_properties(path: str) -> dict[str, str]:
    """A file of `name=value` lines; lines that start with # are comments. Raises ConfigError."""
    found = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            name, equals, value = line.partition("=")
            if not equals:
                raise ConfigError(f"{path}: line {number} has no '='; write name=value")
            found[name.strip()] = value.strip()
    return found


def _make(options: argparse.Namespace) -> SinkConnector:
    from infra.platform.sinks.iceberg.sink import IcebergSink, local_properties

    properties = (
        read_properties(options.iceberg_properties)
        if options.iceberg_properties
        else local_properties(options.iceberg_warehouse)
    )
    return IcebergSink(properties, options.iceberg_table, upsert=options.iceberg_mode == "upsert")


def _mistakes(options: argparse.Namespace, _: Mapping[str, str]) -> list[str]:
    found = missing(options, "--sink iceberg", ["--iceberg-table"])
    if bool(options.iceberg_warehouse) == bool(options.iceberg_properties):
        found.append("--sink iceberg needs either --iceberg-warehouse or --iceberg-properties")
    if absent := lacking("pyiceberg", "iceberg"):
        found.append(f"--sink iceberg {absent}")
    return found


ICEBERG = SinkPlugin(
    "iceberg",
    make=_make,
    arguments=(
        Argument(
            "--iceberg-warehouse",
            "iceberg: a directory, with its catalog in SQLite",
            check=writable,
        ),
        Argument(
            "--iceberg-properties",
            "iceberg: a file of any PyIceberg catalog's properties",
            check=file,
        ),
        Argument(
            "--iceberg-table",
            "iceberg: NAMESPACE.TABLE, created where it is absent",
            check=table,
        ),
        Argument(
            "--iceberg-commit-interval-ms",
            "iceberg: milliseconds between commits",
            default="5000",
            check=whole(1),
        ),
        Argument(
            "--iceberg-mode",
            f"iceberg: one of {', '.join(MODES)}",
            default="append",
            check=one_of(*MODES),
        ),
    ),
    mistakes=_mistakes,
    flush_interval_s=lambda options: int(options.iceberg_commit_interval_ms) / 1000,
)

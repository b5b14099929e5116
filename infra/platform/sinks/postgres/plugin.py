"""The Postgres sink on the platform's command line."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from infra.platform.process.argument import Argument, dsn, missing, table
from infra.platform.sinks.connector import SinkConnector
from infra.platform.sinks.plugin import SinkPlugin
from infra.validate import NAME_BYTES

#: `<table>_offsets` must not become another table's name.
_TABLE_BYTES = NAME_BYTES - len("_offsets")


def _make(options: argparse.Namespace) -> SinkConnector:
    from infra.platform.sinks.postgres.sink import PostgresSink

    return PostgresSink(options.postgres_dsn, options.postgres_table, options.probe_column)


def _table_mistakes(flag: str, text: str, environ: Mapping[str, str]) -> list[str]:
    schema, _, name = text.partition(".")
    return table(flag, text, environ) + [
        f"{flag} {text!r}: {what} {part!r} is longer than {most} bytes, so PostgreSQL would cut"
        f" it{why}"
        for what, part, most, why in (
            ("schema", schema, NAME_BYTES, ""),
            ("table", name, _TABLE_BYTES, " with _offsets behind it"),
        )
        if len(part.encode()) > most
    ]


POSTGRES = SinkPlugin(
    "postgres",
    make=_make,
    arguments=(
        Argument(
            "--postgres-dsn",
            "postgres: without a password, which PGPASSWORD or PGPASSFILE has",
            check=dsn,
        ),
        Argument(
            "--postgres-table",
            "postgres: SCHEMA.TABLE, created where it is absent",
            check=_table_mistakes,
        ),
    ),
    mistakes=lambda options, _: missing(
        options, "--sink postgres", ["--postgres-dsn", "--postgres-table"]
    ),
)

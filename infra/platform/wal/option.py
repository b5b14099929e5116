"""The direct reader's command line, checked as a whole before any server is touched."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from infra.platform.address import dsn_mistakes, url_mistakes
from infra.platform.wal.service import FORMATS, TRANSPORTS, Settings
from infra.schemas.envelope import is_probe_column

#: Where the emulator or the service is told from outside, by transport.
ENVIRONMENT = {"kinesis": "AWS_ENDPOINT_URL_KINESIS", "pubsub": "PUBSUB_EMULATOR_HOST"}
NUMBERS = (
    ("partitions", 1),
    ("max_buffered_messages", 1),
    ("max_buffered_mb", 1),
    ("coalesce_ms", 0),
    ("reconnect_s", 0),
    ("telemetry_port", 0),
)


def parser(description: str) -> argparse.ArgumentParser:
    """The command line. Numbers are texts here and checked together in `mistakes`."""
    top = argparse.ArgumentParser(prog="python -m infra.platform.wal", description=description)
    top.add_argument("--dsn", required=True, help="Postgres, without a password (PGPASSWORD or PGPASSFILE has it)")
    top.add_argument("--slot", required=True, help="the replication slot to read")
    top.add_argument("--publication", required=True, help="the publication to read")
    top.add_argument("--create", default="", help="make slot and publication for these tables (SCHEMA.TABLE, by comma)")
    top.add_argument("--journal", default=".cdc-wal", help="with --create: where what was made is written down")
    top.add_argument("--state", default="", help="file for the confirmed position; tells a slot that was made anew")
    top.add_argument("--transport", default="null", help=f"one of {', '.join(TRANSPORTS)}")
    top.add_argument("--endpoint", default="", help="URL (kinesis), HOST:PORT (pubsub, kafka); default: environment")
    top.add_argument(
        "--project", default="", help="the Pub/Sub project; default: PUBSUB_PROJECT_ID, else the emulator's"
    )
    top.add_argument("--prefix", default="cdc", help="streams are called PREFIX.SCHEMA.TABLE, as the service allows")
    top.add_argument("--stream", default="", help="one stream for all tables, by its own name")
    top.add_argument("--partitions", default="16", help="virtual partitions (Pub/Sub ordering keys) of a stream")
    top.add_argument("--run", default="", help="the run whose probes are counted")
    top.add_argument("--probe-column", default="probe", help="the column that carries the probe")
    top.add_argument("--max-buffered-messages", default="10000", help="most changes held in memory")
    top.add_argument("--max-buffered-mb", default="64", help="most MB of changes held in memory")
    top.add_argument("--coalesce-ms", default="4", help="pause between reads under load; 0 reads at once")
    top.add_argument("--reconnect-s", default="60", help="how long a server that went away is waited for")
    top.add_argument("--format", default="json", help="json, or none (null transport only: decode, make no records)")
    top.add_argument("--held", default="no", help="yes: read nothing before POST /begin (starts a drain at one moment)")
    top.add_argument("--telemetry-port", default="0", help="0 takes a free port")
    return top


def mistakes(options: argparse.Namespace) -> list[str]:
    """Every mistake in the options, each with its remedy."""
    found = []
    for name, least in NUMBERS:
        text = getattr(options, name)
        if not text.isdigit() or int(text) < least:
            found.append(f"--{name.replace('_', '-')} {text!r} is not a whole number of at least {least}")
    if options.transport not in TRANSPORTS:
        found.append(f"--transport {options.transport!r} is not one of {', '.join(TRANSPORTS)}")
    if options.format not in FORMATS:
        found.append(f"--format {options.format!r} is not one of {', '.join(FORMATS)}")
    if options.format == "none" and options.transport != "null":
        found.append(f"--format none publishes nothing; --transport {options.transport} needs --format json")
    if options.held not in ("yes", "no"):
        found.append(f"--held {options.held!r} is neither yes nor no")
    if options.transport == "kafka" and not options.endpoint:
        found.append("--transport kafka needs --endpoint HOST:PORT of a broker")
    if not is_probe_column(options.probe_column):
        found.append(f"--probe-column {options.probe_column!r} is not a plain column name")
    found += [f"--create {table!r} is not SCHEMA.TABLE" for table in _tables(options) if table.count(".") < 1]
    if options.transport == "kinesis" and options.endpoint:
        found += url_mistakes("--endpoint", options.endpoint)
    return found + dsn_mistakes("--dsn", options.dsn)


def _tables(options: argparse.Namespace) -> tuple[str, ...]:
    return tuple(part.strip() for part in options.create.split(",") if part.strip())


def to_settings(options: argparse.Namespace, environ: Mapping[str, str]) -> Settings:
    """The settings that valid options ask for."""
    return Settings(
        dsn=options.dsn,
        slot=options.slot,
        publication=options.publication,
        create=_tables(options),
        journal=Path(options.journal),
        state=Path(options.state) if options.state else None,
        transport=options.transport,
        endpoint=options.endpoint or environ.get(ENVIRONMENT.get(options.transport, ""), ""),
        project=options.project or environ.get("PUBSUB_PROJECT_ID") or "locust-cdc",
        prefix=options.prefix,
        stream=options.stream,
        partitions=int(options.partitions),
        run=options.run,
        probe_column=options.probe_column,
        max_messages=int(options.max_buffered_messages),
        max_bytes=int(options.max_buffered_mb) * 1_000_000,
        coalesce_s=int(options.coalesce_ms) / 1000,
        reconnect_s=float(options.reconnect_s),
        format=options.format,
        held=options.held == "yes",
    )

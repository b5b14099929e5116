"""The direct reader's command line, checked as a whole before any server is touched."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path

from infra.platform.options import NAME_BYTES, DefaultsShown, number_mistakes
from infra.platform.process.address import url_mistakes
from infra.platform.wal.service import FORMATS, TRANSPORTS, DirectReaderSettings
from infra.schemas.envelope import is_probe_column
from infra.validate import are_addresses, dsn_mistakes, is_address, unwritable

#: Where the emulator or the service is told from outside, by transport.
ENVIRONMENT = {"kinesis": "AWS_ENDPOINT_URL_KINESIS", "pubsub": "PUBSUB_EMULATOR_HOST"}
#: The Pub/Sub project of the emulator, which takes any.
PROJECT = "locust-cdc"
_NUMBERS = {
    "partitions": 1,
    "max_buffered_messages": 1,
    "max_buffered_mb": 1,
    "coalesce_ms": 0,
    "reconnect_s": 0,
}
#: PostgreSQL documentation, "Querying and Manipulating Replication Slots".
_SLOT = re.compile(r"[a-z0-9_]{1,63}")


def parser(description: str) -> argparse.ArgumentParser:
    """The command line. Numbers are texts here and checked together in `mistakes`."""
    top = argparse.ArgumentParser(
        prog="python -m infra.platform.wal", description=description, formatter_class=DefaultsShown
    )
    top.add_argument(
        "--dsn",
        required=True,
        help="Postgres, without a password (PGPASSWORD or PGPASSFILE has it)",
    )
    top.add_argument("--slot", required=True, help="the replication slot to read")
    top.add_argument("--publication", required=True, help="the publication to read")
    top.add_argument(
        "--create",
        default="",
        help="make slot and publication for these tables (SCHEMA.TABLE, by comma)",
    )
    top.add_argument(
        "--journal", default=".cdc-wal", help="with --create: where what was made is written down"
    )
    top.add_argument(
        "--state",
        default="",
        help="file for the confirmed position; tells a slot that was made anew",
    )
    top.add_argument("--transport", default="null", help=f"one of {', '.join(TRANSPORTS)}")
    variables = ", ".join(f"{name} ({transport})" for transport, name in ENVIRONMENT.items())
    top.add_argument(
        "--endpoint",
        default="",
        help=(
            f"URL (kinesis), HOST:PORT (pubsub, kafka); without it {variables}, else the real"
            " service"
        ),
    )
    top.add_argument(
        "--project",
        default="",
        help=f"the Pub/Sub project; without it PUBSUB_PROJECT_ID, else {PROJECT}",
    )
    top.add_argument(
        "--prefix",
        default="cdc",
        help="streams are called PREFIX.SCHEMA.TABLE, as the service allows",
    )
    top.add_argument("--stream", default="", help="one stream for all tables, by its own name")
    top.add_argument(
        "--partitions", default="16", help="virtual partitions (Pub/Sub ordering keys) of a stream"
    )
    top.add_argument("--run", default="", help="the run whose probes are counted")
    top.add_argument("--probe-column", default="probe", help="the column that carries the probe")
    top.add_argument("--max-buffered-messages", default="10000", help="most changes held in memory")
    top.add_argument(
        "--max-buffered-mb",
        default="64",
        help="most MB (1,000,000 bytes) of changes held in memory",
    )
    top.add_argument(
        "--coalesce-ms", default="4", help="milliseconds between reads under load; 0 reads at once"
    )
    top.add_argument(
        "--reconnect-s",
        default="60",
        help="seconds for which a server that went away is waited for",
    )
    top.add_argument(
        "--format",
        default="json",
        help="json, or none (null transport only: decode, make no records)",
    )
    top.add_argument(
        "--held",
        default="no",
        help="yes: read nothing before POST /begin (starts a drain at one moment)",
    )
    top.add_argument("--telemetry-port", default="0", help="port on 127.0.0.1; 0 takes a free one")
    return top


def mistakes(options: argparse.Namespace, environ: Mapping[str, str]) -> list[str]:
    """Every mistake in the options, each with its remedy; no server is touched."""
    found = number_mistakes(options, _NUMBERS)
    if options.transport not in TRANSPORTS:
        found.append(f"--transport {options.transport!r} is not one of {', '.join(TRANSPORTS)}")
    if options.format not in FORMATS:
        found.append(f"--format {options.format!r} is not one of {', '.join(FORMATS)}")
    if options.format == "none" and options.transport != "null":
        found.append(
            f"--format none publishes nothing; --transport {options.transport} needs --format json"
        )
    if options.held not in ("yes", "no"):
        found.append(f"--held {options.held!r} is neither yes nor no")
    if not is_probe_column(options.probe_column):
        found.append(f"--probe-column {options.probe_column!r} is not a plain column name")
    found += [f"--dsn {mistake}" for mistake in dsn_mistakes(options.dsn, environ)]
    return (
        found
        + _source_mistakes(options)
        + _endpoint_mistakes(options, environ)
        + _file_mistakes(options)
    )


def _source_mistakes(options: argparse.Namespace) -> list[str]:
    found = []
    if _SLOT.fullmatch(options.slot) is None:
        found.append(
            f"--slot {options.slot!r} is no name of a slot; write 1 to 63 of a-z, 0-9 and _"
        )
    if not 0 < len(options.publication.encode()) <= NAME_BYTES:
        found.append(f"--publication {options.publication!r} is no name of 1 to {NAME_BYTES} bytes")
    if options.create and not _tables(options):
        found.append(
            f"--create {options.create!r} names no table; write SCHEMA.TABLE, or leave it out"
        )
    # A dot within a name cannot be told from the one between the two.
    wrong = [
        table for table in _tables(options) if not all(table.partition(".")) or table.count(".") > 1
    ]
    return found + [f"--create {table!r} is not SCHEMA.TABLE" for table in wrong]


def _endpoint_mistakes(options: argparse.Namespace, environ: Mapping[str, str]) -> list[str]:
    variable = ENVIRONMENT.get(options.transport, "")
    name, endpoint = (
        ("--endpoint", options.endpoint)
        if options.endpoint
        else (variable, environ.get(variable, ""))
    )
    if options.transport == "kafka" and not are_addresses(endpoint):
        return [f"--transport kafka needs --endpoint HOST:PORT of a broker, not {endpoint!r}"]
    if options.transport == "kinesis" and endpoint:
        return url_mistakes(name, endpoint)
    if options.transport == "pubsub" and endpoint and not is_address(endpoint):
        return [f"{name} {endpoint!r} is not HOST:PORT"]
    return []


def _file_mistakes(options: argparse.Namespace) -> list[str]:
    found = []
    if options.create and (why := unwritable(Path(options.journal))):
        found.append(
            f"--journal {options.journal!r}: {why}; name a directory that can be written to"
        )
    state = Path(options.state)
    if options.state and (state.is_dir() or not state.parent.is_dir() or unwritable(state.parent)):
        found.append(
            f"--state {options.state!r} cannot be written; name a file in a directory that is there"
        )
    return found


def _tables(options: argparse.Namespace) -> tuple[str, ...]:
    return tuple(part.strip() for part in options.create.split(",") if part.strip())


def to_settings(options: argparse.Namespace, environ: Mapping[str, str]) -> DirectReaderSettings:
    """The settings that valid options ask for."""
    return DirectReaderSettings(
        dsn=options.dsn,
        slot=options.slot,
        publication=options.publication,
        create=_tables(options),
        journal=Path(options.journal),
        state=Path(options.state) if options.state else None,
        transport=options.transport,
        endpoint=options.endpoint or environ.get(ENVIRONMENT.get(options.transport, ""), ""),
        project=options.project or environ.get("PUBSUB_PROJECT_ID") or PROJECT,
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

"""The direct reader's command line, checked as a whole before any server is touched."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path

from infra.platform.process.address import url_mistakes
from infra.platform.process.argument import (
    Argument,
    argument_parser,
    column,
    dsn,
    listening_port,
    one_of,
    text_mistakes,
    whole,
    yes_or_no,
)
from infra.platform.process.telemetry_server import held_mistakes
from infra.platform.transports.plugin import TransportPlugin, transports
from infra.platform.wal.serialise.avro_type import INTERVALS
from infra.platform.wal.service import FORMATS, DirectReaderSettings
from infra.plugin import lacking
from infra.validate import NAME_BYTES, unwritable

#: The Pub/Sub project of the emulator, which takes any.
PROJECT = "locust-cdc"
#: PostgreSQL documentation, "Querying and Manipulating Replication Slots".
_SLOT = re.compile(r"[a-z0-9_]{1,63}")


def _slot(flag: str, text: str, _: Mapping[str, str]) -> list[str]:
    if _SLOT.fullmatch(text) is not None:
        return []
    return [f"{flag} {text!r} is no name of a slot; write 1 to 63 of a-z, 0-9 and _"]


def _publication(flag: str, text: str, _: Mapping[str, str]) -> list[str]:
    if 0 < len(text.encode()) <= NAME_BYTES:
        return []
    return [f"{flag} {text!r} is no name of 1 to {NAME_BYTES} bytes"]


def _created_tables(flag: str, text: str, _: Mapping[str, str]) -> list[str]:
    if not _tables(text):
        return [f"{flag} {text!r} names no table; write SCHEMA.TABLE, or leave it out"]
    # A dot within a name cannot be told from the one between the two.
    return [
        f"{flag} {table!r} is not SCHEMA.TABLE"
        for table in _tables(text)
        if not all(table.partition(".")) or table.count(".") > 1
    ]


def _state(flag: str, text: str, _: Mapping[str, str]) -> list[str]:
    state = Path(text)
    if not state.is_dir() and state.parent.is_dir() and not unwritable(state.parent):
        return []
    return [f"{flag} {text!r} cannot be written; name a file in a directory that is there"]


def arguments() -> tuple[Argument, ...]:
    """Every option of the direct reader."""
    known = transports().by_name
    hints = ", ".join(f"{one.hint} ({one.name})" for one in known.values() if one.hint)
    variables = ", ".join(f"{one.variable} ({one.name})" for one in known.values() if one.variable)
    return (
        Argument(
            "--dsn", "Postgres, without a password (PGPASSWORD or PGPASSFILE has it)", None, dsn
        ),
        Argument("--slot", "the replication slot to read", None, _slot),
        Argument("--publication", "the publication to read", None, _publication),
        Argument(
            "--create",
            "make slot and publication for these tables (SCHEMA.TABLE, by comma)",
            check=_created_tables,
        ),
        Argument("--journal", "with --create: where what was made is written down", ".cdc-wal"),
        Argument(
            "--state",
            "file for the confirmed position; shows a slot that was dropped and created again",
            check=_state,
        ),
        Argument("--transport", f"one of {', '.join(known)}", "null", one_of(*known)),
        Argument("--endpoint", f"{hints}; without it {variables}, else the real service"),
        Argument("--project", f"the Pub/Sub project; without it PUBSUB_PROJECT_ID, else {PROJECT}"),
        Argument(
            "--prefix", "streams are called PREFIX.SCHEMA.TABLE, as the service allows", "cdc"
        ),
        Argument("--stream", "one stream for all tables, by its own name"),
        Argument(
            "--partitions",
            "virtual partitions (Pub/Sub ordering keys) of a stream",
            "16",
            whole(1),
        ),
        Argument("--run", "the run whose probes are counted"),
        Argument("--probe-column", "the column that carries the probe", "probe", column),
        Argument("--max-buffered-messages", "most changes held in memory", "10000", whole(1)),
        Argument(
            "--max-buffered-mb",
            "most MB (1,000,000 bytes) of changes held in memory",
            "64",
            whole(1),
        ),
        Argument(
            "--coalesce-ms",
            "milliseconds between reads under load; 0 reads at once",
            "4",
            whole(0),
        ),
        Argument(
            "--reconnect-s",
            "seconds for which a server that went away is waited for",
            "60",
            whole(0),
        ),
        Argument(
            "--silence-s",
            "seconds for which the server may say nothing before the connection is made again",
            "30",
            whole(1),
        ),
        Argument(
            "--on-gap",
            "where changes are missing between --state and the slot: stop, or skip (counted and"
            " logged)",
            "stop",
            one_of("stop", "skip"),
        ),
        Argument(
            "--refused",
            "file for changes that the service can never take (too large), one JSON object a"
            " line; without it the first one ends the reader",
            check=_state,
        ),
        Argument(
            "--streaming",
            "yes: have the server send transactions in progress; they are held here until they"
            " are committed",
            "no",
            yes_or_no,
        ),
        Argument(
            "--max-spill-mb",
            "with --streaming: most MB of transactions in progress in temporary files",
            "10000",
            whole(1),
        ),
        Argument(
            "--format",
            "json; avro (Debezium's envelopes, topics and keys; kafka only); or none (null"
            " transport only: decode, make no records)",
            "json",
            one_of(*FORMATS),
        ),
        Argument(
            "--schema-registry",
            "with --format avro: URL of a registry of Confluent's interface",
            check=lambda flag, url, _: url_mistakes(flag, url),
        ),
        Argument(
            "--intervals",
            "with --format avro: numeric (microseconds; one with months ends the reader) or string"
            " (ISO 8601), as Debezium's interval.handling.mode",
            "numeric",
            one_of(*INTERVALS),
        ),
        Argument(
            "--held",
            "yes: read nothing before POST /begin (starts a drain at one moment)",
            "no",
            yes_or_no,
        ),
        Argument("--telemetry-port", "port on 127.0.0.1; 0 takes a free one", "0", listening_port),
    )


def parser(description: str) -> argparse.ArgumentParser:
    """The command line. All options are texts here and checked together in `mistakes`."""
    return argument_parser("python -m infra.platform.wal", description, arguments())


def mistakes(options: argparse.Namespace, environ: Mapping[str, str]) -> list[str]:
    """Every mistake in the options, each with its remedy; no server is touched."""
    found = [*transports().mistakes, *text_mistakes(arguments(), options, environ)]
    if options.format == "none" and options.transport != "null":
        found.append(
            f"--format none publishes nothing; --transport {options.transport} needs --format json"
        )
    if options.format == "avro" and options.transport != "kafka":
        found.append(
            f"--format avro is for --transport kafka, not {options.transport}; use --format json"
        )
    if (options.format == "avro") != bool(options.schema_registry):
        found.append("--format avro and --schema-registry URL go together; give both or neither")
    if options.create and (why := unwritable(Path(options.journal))):
        found.append(
            f"--journal {options.journal!r}: {why}; name a directory that can be written to"
        )
    found += held_mistakes(options.held, environ)
    transport = transports().by_name.get(options.transport)
    if transport is None:
        return found
    if absent := lacking(transport.package, transport.extra):
        found.append(f"--transport {transport.name} {absent}")
    return found + _endpoint_mistakes(transport, options, environ)


def _endpoint_mistakes(
    transport: TransportPlugin, options: argparse.Namespace, environ: Mapping[str, str]
) -> list[str]:
    if options.endpoint:
        return transport.endpoint_mistakes("--endpoint", options.endpoint)
    return transport.endpoint_mistakes(transport.variable, environ.get(transport.variable, ""))


def _tables(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def to_settings(options: argparse.Namespace, environ: Mapping[str, str]) -> DirectReaderSettings:
    """The settings that valid options ask for."""
    variable = transports().by_name[options.transport].variable
    return DirectReaderSettings(
        dsn=options.dsn,
        slot=options.slot,
        publication=options.publication,
        create=_tables(options.create),
        journal=Path(options.journal),
        state=Path(options.state) if options.state else None,
        transport=options.transport,
        endpoint=options.endpoint or environ.get(variable, ""),
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
        schema_registry=options.schema_registry,
        held=options.held == "yes",
        silence_s=float(options.silence_s),
        skip_gaps=options.on_gap == "skip",
        refused=Path(options.refused) if options.refused else None,
        streaming=options.streaming == "yes",
        spill_bytes=int(options.max_spill_mb) * 1_000_000,
        intervals=options.intervals,
    )

"""`python -m infra.pipelines.subscription`: has one database subscribe to another's publication.

It keeps the contract of docs/platform-contract.md and has no telemetry: one ready line, once the
subscription reads its slot; SIGTERM drops the subscription and leaves the slot. It ends with 1
where the server has disabled the subscription.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infra.client.passfile import password
from infra.postgres.database import connect_to, drop_subscriptions

LOOK_S = 0.1
READY_S = 50.0
_ENABLED = "SELECT subenabled FROM pg_subscription WHERE subname = %s"
_ACTIVE = "SELECT active FROM pg_replication_slots WHERE slot_name = %s"


def parser() -> argparse.ArgumentParser:
    """The options that a run gives its platform; those that are of no use here are taken."""
    found = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    for name in ("dsn", "slot", "publication", "endpoint"):
        found.add_argument(f"--{name}", required=True)
    return found


def source_conninfo(dsn: str) -> str:
    """The source as the sink's server reaches it: that cannot read our password file, so the
    password itself stands in its catalogue while the run lasts.
    """
    place = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
    known = password(place, os.environ)
    place.pop("passfile", None)
    return make_conninfo("", **place, **({"password": known} if known else {}))


def subscribe(sink: Connection[Any], options: argparse.Namespace) -> None:
    """Create the subscription on the slot that is there, without a copy of what was before."""
    sink.execute(
        sql.SQL(
            "CREATE SUBSCRIPTION {name} CONNECTION {source} PUBLICATION {publication} WITH"
            " (create_slot = false, slot_name = {slot}, copy_data = false)"
        ).format(
            name=sql.Identifier(options.slot),
            source=sql.Literal(source_conninfo(options.dsn)),
            publication=sql.Identifier(options.publication),
            slot=sql.Literal(options.slot),
        )
    )


def _told(sink: Connection[Any], query: str, name: str) -> bool:
    return sink.execute(query, (name,)).fetchone() == (True,)


def run(options: argparse.Namespace) -> int:
    """Subscribe, and watch until a signal comes."""
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: stopping.append(received))
    with connect_to(options.endpoint) as sink, connect_to(options.dsn) as source:
        subscribe(sink, options)
        try:
            deadline_s = time.monotonic() + READY_S
            while not stopping and not _told(source, _ACTIVE, options.slot):
                if time.monotonic() > deadline_s:
                    print("the subscription does not read its slot", file=sys.stderr)
                    return 1
                time.sleep(LOOK_S)
            print(json.dumps({"event": "platform.ready"}), flush=True)
            while not stopping:
                if not _told(sink, _ENABLED, options.slot):
                    print("the server has disabled the subscription; see its log", file=sys.stderr)
                    return 1
                time.sleep(LOOK_S)
        finally:
            drop_subscriptions(sink)
    return 0


def main(arguments: Sequence[str]) -> int:
    """Run it; 3 where a server does not answer or refuses."""
    options, _ = parser().parse_known_args(arguments)
    try:
        return run(options)
    except psycopg.Error as error:
        print(error, file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

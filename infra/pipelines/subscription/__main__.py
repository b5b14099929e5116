"""`python -m infra.pipelines.subscription`: makes one database subscribe to another's publication.

It keeps the contract of docs/platform-contract.md and has no telemetry: it prints one ready line
once the subscription reads its slot. SIGTERM drops the subscription and leaves the slot. It ends
with 1 if the server has disabled the subscription.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import make_conninfo

from infra.client.passfile import password
from infra.pipelines.contract import platform_parser, say_ready
from infra.postgres.database import connect_to, drop_subscriptions
from infra.postgres.slot import is_read
from infra.validate import dsn_place

LOOK_S = 0.1
READY_S = 50.0
_ENABLED = "SELECT subenabled FROM pg_subscription WHERE subname = %s"


def source_conninfo(dsn: str) -> str:
    """The source as the sink's server reaches it. That server cannot read our password file, so its
    catalogue has the password during the run.
    """
    place = dsn_place(dsn)
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


def _is_enabled(sink: Connection[Any], name: str) -> bool:
    return sink.execute(_ENABLED, (name,)).fetchone() == (True,)


def run(options: argparse.Namespace) -> int:
    """Subscribe, and watch until a signal comes."""
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: stopping.append(received))
    with connect_to(options.endpoint) as sink, connect_to(options.dsn) as source:
        subscribe(sink, options)
        try:
            deadline_s = time.monotonic() + READY_S
            while not stopping and not is_read(source, options.slot):
                if time.monotonic() > deadline_s:
                    print("the subscription does not read its slot", file=sys.stderr)
                    return 1
                time.sleep(LOOK_S)
            say_ready()
            while not stopping:
                if not _is_enabled(sink, options.slot):
                    print("the server has disabled the subscription; see its log", file=sys.stderr)
                    return 1
                time.sleep(LOOK_S)
        finally:
            drop_subscriptions(sink)
    return 0


def main(arguments: Sequence[str]) -> int:
    """Run it; returns 3 if a server does not answer or refuses."""
    options, _ = platform_parser(__doc__).parse_known_args(arguments)
    try:
        return run(options)
    except psycopg.Error as error:
        print(error, file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

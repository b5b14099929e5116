"""Debezium Server: a slot of the run's own, and a process that writes to where the transport is."""

from __future__ import annotations

import os
import sys

from cdc_users.pipeline.captures.wal import stream_of
from cdc_users.pipeline.declaration import CaptureDeclaration
from cdc_users.pipeline.prepared import MadeNames
from cdc_users.pipeline.provision.ground import Ground


def provision_slot(ground: Ground) -> MadeNames:
    """A slot of the run's own, and what the transport needs."""
    from infra.postgres.slot import create_slot

    with ground.postgres() as connection:
        create_slot(connection, ground.note("slot", ground.name))
    return {"slot": ground.name, "stream": dict(stream_of(ground))}


def _fetch() -> None:
    from infra.pipelines.fetch import distribution

    distribution("debezium-server", os.environ, lambda text: print(text, file=sys.stderr))


DEBEZIUM_SERVER = CaptureDeclaration(
    "debezium-server",
    "Debezium Server",
    provision=provision_slot,
    direct=True,
    module="infra.pipelines.debezium_server",
    ready_s=180.0,  # a JVM with 561 jars, on a machine that is busy
    transports=("http", "kafka", "postgres"),
    fetch=_fetch,
)

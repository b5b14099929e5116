"""Debezium Server: a process that writes to the transport, and in PostgreSQL a slot of the run's
own.
"""

from __future__ import annotations

import os

from cdc_users.pipeline.captures.wal import provision_slot, stream
from cdc_users.pipeline.declaration import CaptureDeclaration
from cdc_users.pipeline.prepared import MadeNames
from cdc_users.pipeline.provision.ground import Ground
from infra.pipelines.contract import kept_directory

SET = "debezium-server"


def _fetch() -> None:
    from infra.pipelines.fetch import distribution
    from infra.stack.artifacts.artifact import print_progress

    distribution(SET, os.environ, print_progress)


def _provision(ground: Ground) -> MadeNames:
    """MariaDB has no slots: its log is there for whoever may read it."""
    ground.note("directory", str(kept_directory(SET, ground.name, ground.checkout)))
    return provision_slot(ground) if ground.source == "postgres" else {"stream": stream(ground)}


DEBEZIUM_SERVER = CaptureDeclaration(
    SET,
    "Debezium Server",
    provision=_provision,
    direct=True,
    is_debezium=True,
    module="infra.pipelines.debezium_server",
    ready_s=180.0,  # a JVM with 561 jars, on a busy machine
    sources=("postgres", "mariadb"),
    transports=("http", "kafka", "postgres", "redis", "nats", "kinesis", "pubsub"),
    fetch=_fetch,
)

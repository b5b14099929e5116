"""Debezium Server: a slot of the run's own, and a process that writes to the transport."""

from __future__ import annotations

import os

from cdc_users.pipeline.captures.wal import provision_slot
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
    ground.note("directory", str(kept_directory(SET, ground.name, ground.checkout)))
    return provision_slot(ground)


DEBEZIUM_SERVER = CaptureDeclaration(
    SET,
    "Debezium Server",
    provision=_provision,
    direct=True,
    is_debezium=True,
    module="infra.pipelines.debezium_server",
    ready_s=180.0,  # a JVM with 561 jars, on a busy machine
    transports=("http", "kafka", "postgres", "redis", "nats", "kinesis", "pubsub"),
    fetch=_fetch,
)

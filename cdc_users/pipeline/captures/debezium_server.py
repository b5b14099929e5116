"""Debezium Server: a slot of the run's own, and a process that writes to the transport."""

from __future__ import annotations

import os

from cdc_users.pipeline.captures.wal import provision_slot
from cdc_users.pipeline.declaration import CaptureDeclaration


def _fetch() -> None:
    from infra.pipelines.fetch import distribution
    from infra.stack.artifacts.artifact import print_progress

    distribution("debezium-server", os.environ, print_progress)


DEBEZIUM_SERVER = CaptureDeclaration(
    "debezium-server",
    "Debezium Server",
    provision=provision_slot,
    direct=True,
    is_debezium=True,
    module="infra.pipelines.debezium_server",
    ready_s=180.0,  # a JVM with 561 jars, on a busy machine
    transports=("http", "kafka", "postgres", "redis", "nats", "kinesis", "pubsub"),
    fetch=_fetch,
)

"""PostgreSQL's own logical replication: a slot of the run's own, and a database that subscribes."""

from __future__ import annotations

from cdc_users.pipeline.captures.wal import provision_slot
from cdc_users.pipeline.declaration import CaptureDeclaration

SUBSCRIPTION = CaptureDeclaration(
    "subscription",
    "Subscription",
    provision=provision_slot,
    direct=True,
    module="infra.pipelines.subscription",
    transports=("postgres",),
)

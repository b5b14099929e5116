"""Debezium in Kafka Connect: a connector of the run's own, or one of the user's."""

from __future__ import annotations

from cdc_users.pipeline.declaration import CaptureDeclaration
from cdc_users.pipeline.prepared import MadeNames
from cdc_users.pipeline.provision.ground import Ground
from infra.stack.servers.settings import TOPIC_PREFIX

STREAMING_DEADLINE_S = 60.0


def _connector(name: str) -> str:
    return name.replace("_", "-")


def _provision(ground: Ground) -> MadeNames:
    from infra.stack.debezium.connector import (
        DebeziumConnector,
        create_connector,
        slot_of,
        wait_until_streaming,
    )

    if ground.connector:
        return {"slot": slot_of(ground.endpoints, ground.connector)}
    name = ground.name
    own = tuple(f"{table.schema}.{table.name}" for table in ground.own.tables)
    connector = DebeziumConnector(
        slot=ground.note("slot", name),
        name=ground.note("connector", _connector(name)),
        publication=name,
        # Other connectors may capture a table of the user's own into topics of its plain name.
        topic_prefix=f"{TOPIC_PREFIX}.{name}" if own else TOPIC_PREFIX,
        tables=own or tuple(f"{name}.{table}" for table in ground.tables),
        tuning="throughput" if ground.tuning == "throughput" else "latency",
        failover=ground.failover,
    )
    create_connector(ground.endpoints, connector)
    wait_until_streaming(ground.endpoints, connector, STREAMING_DEADLINE_S)
    return {"slot": name}


DEBEZIUM = CaptureDeclaration(
    "debezium", "Debezium", provision=_provision, connector=_connector, is_debezium=True
)

"""The direct reader: a slot of the run's own, and a stream that the reader publishes to. In place
of the stream it can write topics as Debezium does, with the platform's consumer behind them.
"""

from __future__ import annotations

from cdc_users.pipeline.declaration import Arguments, CaptureDeclaration, transports
from cdc_users.pipeline.prepared import MadeNames, Prepared
from cdc_users.pipeline.provision.ground import Ground
from infra.stack.servers.settings import TOPIC_PREFIX


def provision_slot(ground: Ground) -> MadeNames:
    """A slot of the run's own, and the stream or topics of the transport."""
    from infra.postgres.slot import create_slot

    with ground.postgres() as connection:
        create_slot(connection, ground.note("slot", ground.name), failover=ground.failover)
    return {"slot": ground.name, "stream": stream(ground)}


def stream(ground: Ground) -> dict[str, str]:
    """The stream that the reader publishes to (Names.stream)."""
    transport = transports().by_name[ground.transport]
    if transport.provision is not None:
        return dict(transport.provision(ground))
    if transport.create is None:
        return {"endpoint": ground.endpoints.kafka_bootstrap, "name": ground.topics[0]}
    endpoint = ground.service(ground.transport, ground.transport_endpoint)
    return dict(transport.create(endpoint, ground.name, ground.partitions))


def _feeds(prepared: Prepared) -> Arguments:
    endpoints, names = prepared.endpoints, prepared.names
    return {
        "dsn": endpoints.postgres_dsn,
        "slot": names.slot,
        "publication": names.publication,
        "transport": "kafka",
        "endpoint": endpoints.kafka_bootstrap,
        "format": "avro",
        "schema-registry": endpoints.schema_registry_url,
        "prefix": TOPIC_PREFIX,
    }


WAL = CaptureDeclaration("wal", "WAL reader", provision=provision_slot, direct=True, feeds=_feeds)

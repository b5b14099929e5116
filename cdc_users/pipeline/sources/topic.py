"""Records go straight to the topic; their schemas are registered before the first record."""

from __future__ import annotations

from cdc_users.pipeline.declaration import SourceDeclaration
from cdc_users.pipeline.prepared import MadeNames, Prepared
from cdc_users.pipeline.provision.ground import Ground
from cdc_users.users.target import TopicTarget


def _target(prepared: Prepared) -> TopicTarget:
    return TopicTarget(
        bootstrap=prepared.endpoints.kafka_bootstrap,
        schema_registry_url=prepared.endpoints.schema_registry_url,
        channels=prepared.names.channels,
        access=prepared.endpoints.variables(),
    )


def _provision(ground: Ground) -> MadeNames:
    from cdc_users.users.producer.topic_schemas import open_channel

    kafka, registry = ground.endpoints.kafka_bootstrap, ground.endpoints.schema_registry_url
    return {"channels": tuple(open_channel(kafka, registry, topic) for topic in ground.topics)}


TOPIC = SourceDeclaration("topic", lanes="producer", target=_target, provision=_provision)

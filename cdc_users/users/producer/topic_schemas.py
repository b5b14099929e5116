"""What a producer needs to know about a topic, found out once a run.

For processes without gevent: the steward asks broker and registry, and tells the lanes' processes.
"""

from __future__ import annotations

from dataclasses import replace

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]

from cdc_users.error import SubjectError, TargetError
from cdc_users.users.producer.channel import Channel as Channel
from infra.client.kafka import kafka_settings
from infra.client.registry import RegistryError, RegistryRefusedError, SchemaRegistry
from infra.schemas.debezium import AvroDefinition, customers_schemas, with_column

REACH_S = 10.0
_SIZE = "max.message.bytes"


def open_channel(bootstrap: str, registry_url: str, topic: str) -> Channel:
    """Look at the topic and register its subjects.

    Raises TargetError if the broker or the registry does not answer or the topic does not exist,
    and SubjectError if a subject has an incompatible schema.
    """
    partitions, largest = _look(bootstrap, topic)
    schemas = customers_schemas(topic)
    key_subject, value_subject = schemas.subjects
    key_id = register(registry_url, key_subject, schemas.key)
    value_id = register(registry_url, value_subject, schemas.value)
    return Channel(topic, partitions, largest, key_id, value_id)


def evolve(channel: Channel, registry_url: str, column: str) -> Channel:
    """Register the schema with one column more; Debezium does so at the first row after ALTER
    TABLE.
    """
    schemas = with_column(channel.schemas, column)
    return replace(
        channel, value_id=register(registry_url, schemas.subjects[1], schemas.value), added=column
    )


def _look(bootstrap: str, topic: str) -> tuple[int, int]:
    admin = AdminClient(kafka_settings(bootstrap, {"log_level": 2}))
    try:
        found = admin.list_topics(topic, timeout=REACH_S).topics[topic]
        if found.error is not None:
            raise TargetError(
                f"topic {topic!r} cannot be written to: {found.error.str()}; create it first"
            )
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        settings = admin.describe_configs([resource], request_timeout=REACH_S)[resource].result(
            REACH_S
        )
    except KafkaException as error:
        cause: KafkaError = error.args[0]
        raise TargetError(
            f"Kafka does not answer at {bootstrap} within {REACH_S:g} s: {cause.str()}"
        ) from error
    return len(found.partitions), int(settings[_SIZE].value)


def register(registry_url: str, subject: str, schema: AvroDefinition) -> int:
    """Register a schema, or find it registered; returns its id.

    First asks whether the schema is compatible with the subject's: a registry without rules accepts
    any schema, and then every reader of older records would fail.
    """
    try:
        with SchemaRegistry(registry_url, REACH_S) as registry:
            if not registry.fits(subject, schema):
                raise _misfit(subject, "the registry says so")
            return registry.register(subject, schema)
    except RegistryRefusedError as error:
        if error.misfit:
            raise _misfit(subject, str(error)) from error
        raise TargetError(f"subject {subject!r} cannot be registered: {error}") from error
    except RegistryError as error:
        raise TargetError(str(error)) from error


def _misfit(subject: str, why: str) -> SubjectError:
    return SubjectError(
        f"subject {subject!r} holds a schema with which ours is not compatible ({why}); "
        "use a topic of its own, or delete the subject if nothing else reads it"
    )

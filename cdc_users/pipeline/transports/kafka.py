"""Kafka: the stack's own broker."""

from __future__ import annotations

from cdc_users.observe.settings import JsonTopicSettings
from cdc_users.pipeline.declaration import TransportDeclaration
from cdc_users.pipeline.prepared import Prepared


def _tap(prepared: Prepared) -> JsonTopicSettings:
    stream = prepared.names.stream
    return JsonTopicSettings(bootstrap=stream["endpoint"], topic=stream["name"])


KAFKA = TransportDeclaration("kafka", "Kafka", tap=_tap, of_kafka=True)

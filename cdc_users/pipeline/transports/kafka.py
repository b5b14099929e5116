"""Kafka: the stack's own broker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cdc_users.pipeline.declaration import TransportDeclaration
from cdc_users.pipeline.prepared import Prepared


def _tap(prepared: Prepared) -> Mapping[str, Any]:
    stream = prepared.names.stream
    return {"kind": "json-topic", "bootstrap": stream["endpoint"], "topic": stream["name"]}


KAFKA = TransportDeclaration("kafka", "Kafka", tap=_tap, of_kafka=True)

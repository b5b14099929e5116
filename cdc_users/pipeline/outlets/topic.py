"""Events come out as JSON in a topic of the stack's broker."""

from __future__ import annotations

from cdc_users.observe.settings import JsonTopicSettings
from cdc_users.pipeline.declaration import OutletDeclaration
from cdc_users.pipeline.prepared import Prepared
from infra.validate import is_topic


def _check(place: str) -> None:
    if not is_topic(place):
        raise ValueError(
            f"{place!r} is no name for a topic, which has up to 249 letters of a-z, A-Z, 0-9, '.',"
            " '_' and '-'"
        )


def _tap(prepared: Prepared, place: str) -> JsonTopicSettings:
    return JsonTopicSettings(
        bootstrap=prepared.endpoints.kafka_bootstrap,
        topic=place,
        from_end=True,
        schema_registry_url=prepared.endpoints.schema_registry_url,
    )


TOPIC = OutletDeclaration("topic", "NAME", _check, tap=_tap, messages=True)

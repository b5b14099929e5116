"""Pub/Sub: an emulator of the user's, or one that lives as long as the run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from cdc_users.observe.settings import PubSubSettings
from cdc_users.pipeline.declaration import TransportDeclaration
from cdc_users.pipeline.prepared import Prepared
from infra.validate import is_address


def _tap(prepared: Prepared) -> PubSubSettings:
    stream = prepared.names.stream
    return PubSubSettings(
        endpoint=stream["endpoint"], project=stream["project"], subscription=stream["name"]
    )


def _create(endpoint: str, name: str, _: int) -> Mapping[str, str]:
    """A topic, and a subscription of the same name."""
    from infra.stack import cloud

    project = cloud.project(os.environ)
    cloud.create_topic(endpoint, project, name, name)
    return {"endpoint": endpoint, "name": name, "project": project}


def _delete(endpoint: str, name: str) -> None:
    from infra.stack import cloud

    cloud.delete_topic(endpoint, cloud.project(os.environ), name, name)


def _emulator(logs: Path) -> AbstractContextManager[str]:
    from infra.stack.artifacts.artifact import print_progress
    from infra.stack.emulators.pubsub import pubsub_emulator

    return pubsub_emulator(logs, os.environ, print_progress)


PUBSUB = TransportDeclaration(
    "pubsub",
    "Pub/Sub",
    tap=_tap,
    create=_create,
    delete=_delete,
    variable="PUBSUB_EMULATOR_HOST",
    is_endpoint=is_address,
    form="HOST:PORT",
    emulator=_emulator,
    package="google.cloud.pubsub_v1",
    extra="cloud",
)

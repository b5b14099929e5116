"""NATS JetStream: a server of the user's, or one that lives as long as the run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from cdc_users.observe.settings import NatsSettings
from cdc_users.pipeline.declaration import TransportDeclaration
from cdc_users.pipeline.prepared import Prepared
from infra.client.nats import NATS_FORM, NATS_URL, is_nats_url


def _tap(prepared: Prepared) -> NatsSettings:
    stream = prepared.names.stream
    return NatsSettings(url=stream["endpoint"], stream=stream["name"])


def _create(endpoint: str, name: str, _: int) -> Mapping[str, str]:
    """A stream with a subject of the same name."""
    from infra.client.nats import NatsLink

    with NatsLink(endpoint) as link:
        link.jetstream(f"STREAM.CREATE.{name}", {"name": name, "subjects": [name], **_KEPT})
    return {"endpoint": endpoint, "name": name}


def _delete(endpoint: str, name: str) -> None:
    from infra.client.nats import NatsLink

    with NatsLink(endpoint) as link:
        link.jetstream(f"STREAM.DELETE.{name}")


def _server(logs: Path) -> AbstractContextManager[str]:
    from infra.stack.emulators.nats import nats_server

    return nats_server(logs, os.environ)


#: On disk, and all of it until the stream is deleted: the server's defaults.
_KEPT = {"storage": "file", "retention": "limits", "discard": "old", "num_replicas": 1}

NATS = TransportDeclaration(
    "nats",
    "NATS JetStream",
    tap=_tap,
    create=_create,
    delete=_delete,
    variable=NATS_URL,
    is_endpoint=is_nats_url,
    form=NATS_FORM,
    emulator=_server,
    named=True,
    package="nats",
    extra="streams",
)

"""Redis Streams: a server of the user's, or a Valkey that lives as long as the run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from cdc_users.observe.settings import RedisSettings
from cdc_users.pipeline.declaration import TransportDeclaration
from cdc_users.pipeline.prepared import Prepared
from infra.client.redis import REDIS_FORM, REDIS_URL, is_redis_url


def _tap(prepared: Prepared) -> RedisSettings:
    stream = prepared.names.stream
    return RedisSettings(url=stream["endpoint"], stream=stream["name"])


def _create(endpoint: str, name: str, _: int) -> Mapping[str, str]:
    """Create nothing: the first entry creates the stream."""
    return {"endpoint": endpoint, "name": name}


def _delete(endpoint: str, name: str) -> None:
    from contextlib import closing

    from infra.client.redis import redis_client

    with closing(redis_client(endpoint)) as client:
        client.delete(name)


def _server(logs: Path) -> AbstractContextManager[str]:
    from infra.stack.emulators.redis import redis_server

    return redis_server(logs, os.environ)


REDIS = TransportDeclaration(
    "redis",
    "Redis",
    tap=_tap,
    create=_create,
    delete=_delete,
    variable=REDIS_URL,
    is_endpoint=is_redis_url,
    form=REDIS_FORM,
    emulator=_server,
    named=True,
    package="redis",
    extra="streams",
)

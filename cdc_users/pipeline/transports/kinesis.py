"""Kinesis: a service of the user's, or an emulator that lives as long as the run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from cdc_users.observe.settings import KinesisSettings
from cdc_users.pipeline.declaration import TransportDeclaration
from cdc_users.pipeline.prepared import Prepared
from infra.validate import is_url


def _tap(prepared: Prepared) -> KinesisSettings:
    stream = prepared.names.stream
    return KinesisSettings(endpoint=stream["endpoint"], stream=stream["name"])


def _create(endpoint: str, name: str, shards: int) -> Mapping[str, str]:
    from infra.stack import cloud

    cloud.create_stream(endpoint, name, shards)
    return {"endpoint": endpoint, "name": name}


def _delete(endpoint: str, name: str) -> None:
    from infra.stack.cloud import delete_stream

    delete_stream(endpoint, name)


def _emulator(logs: Path) -> AbstractContextManager[str]:
    from infra.stack.artifacts.artifact import print_progress
    from infra.stack.emulators.kinesis import kinesis_emulator

    return kinesis_emulator(logs, os.environ, print_progress)


KINESIS = TransportDeclaration(
    "kinesis",
    "Kinesis",
    tap=_tap,
    create=_create,
    delete=_delete,
    variable="AWS_ENDPOINT_URL_KINESIS",
    is_endpoint=is_url,
    form="a URL",
    emulator=_emulator,
    of_aws=True,
    package="boto3",
    extra="cloud",
)

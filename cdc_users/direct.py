"""The direct way out of Postgres, as the harness starts and watches it: the reader's command line and its stream's tap."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from cdc_users.scenario import Pipeline
from infra.stack.cloud import EMULATED_PROJECT
from infra.stack.endpoints import Endpoints


def command(
    endpoints: Endpoints,
    pipeline: Pipeline,
    *,
    slot: str,
    publication: str,
    stream: Mapping[str, str],
    run: str,
    held: bool,
) -> list[str]:
    """How the reader of one pipeline is started; `stream` is what the steward made: its endpoint and name."""
    arguments = {
        "dsn": endpoints.postgres_dsn,
        "slot": slot,
        "publication": publication,
        "transport": pipeline.transport,
        "endpoint": stream["endpoint"],
        "project": stream.get("project", EMULATED_PROJECT),
        "stream": stream["name"],
        "partitions": pipeline.partitions,
        "max-buffered-messages": pipeline.max_buffered_messages,
        "run": run,
        "held": "yes" if held else "no",
    }
    return [sys.executable, "-m", "infra.platform.wal", *(f"--{name}={value}" for name, value in arguments.items())]


def tap(pipeline: Pipeline, stream: Mapping[str, str], name: str = "stream") -> dict[str, Any]:
    """The observer's configuration for reading the stream back."""
    if pipeline.transport == "kinesis":
        return {"name": name, "kind": "kinesis", "endpoint": stream["endpoint"], "stream": stream["name"]}
    if pipeline.transport == "pubsub":
        place = {"endpoint": stream["endpoint"], "project": stream["project"], "subscription": stream["name"]}
        return {"name": name, "kind": "pubsub", **place}
    return {"name": name, "kind": "json-topic", "bootstrap": stream["endpoint"], "topic": stream["name"]}

"""A run's stream in Kinesis or Pub/Sub: in an emulator that lives as long as the run, or in a
service of the user's.

For processes without gevent. An emulator dies with the process that started it, and what was in it
too; what is made in a service of the user's own is removed by name.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from infra.stack import cloud
from infra.stack.emulators.kinesis import kinesis_emulator
from infra.stack.emulators.pubsub import pubsub_emulator
from infra.stack.error import StackConfigError

VARIABLES = {"kinesis": cloud.KINESIS_VARIABLE, "pubsub": cloud.PUBSUB_VARIABLE}


def own_endpoint(transport: str, given: str) -> str:
    """The endpoint that the user names, by option or environment; empty where an emulator is to be
    started.

    Raises StackConfigError for one with a login, which would stand in results and on command lines.
    """
    found = given or os.environ.get(VARIABLES[transport], "")
    if "@" in found:
        raise StackConfigError(
            f"{VARIABLES[transport]} holds a user or a password; none is supported there"
        )
    return found


class CloudStreams:
    """The streams of one run, and the emulators that they are in."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._emulators = ExitStack()
        self._endpoints: dict[str, str] = {}

    def endpoint(self, transport: str, given: str) -> str:
        """Where the service is; starts its emulator the first time, where none is named."""
        named = own_endpoint(transport, given)
        if named:
            return named
        if transport not in self._endpoints:
            emulator = kinesis_emulator if transport == "kinesis" else pubsub_emulator
            running = emulator(self._logs, os.environ, lambda text: print(text, file=sys.stderr))
            self._endpoints[transport] = self._emulators.enter_context(running)
        return self._endpoints[transport]

    def close(self) -> None:
        """Stop the emulators."""
        self._emulators.close()


def create(transport: str, endpoint: str, name: str, shards: int) -> Mapping[str, str]:
    """Create a stream, in Pub/Sub a topic and a subscription of the same name; returns where it
    is.
    """
    if transport == "kinesis":
        cloud.create_stream(endpoint, name, shards)
        return {"endpoint": endpoint, "name": name}
    project = cloud.project(os.environ)
    cloud.create_topic(endpoint, project, name, name)
    return {"endpoint": endpoint, "name": name, "project": project}


def delete(kind: str, place: str) -> None:
    """Delete a stream of the user's own service as the journal has it:

    `endpoint name`; one that is gone is fine.
    """
    endpoint, _, name = place.rpartition(" ")
    if kind == "kinesis":
        cloud.delete_stream(endpoint, name)
    else:
        cloud.delete_topic(endpoint, cloud.project(os.environ), name, name)

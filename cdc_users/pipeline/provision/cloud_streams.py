"""A run's stream: in an emulator that lives as long as the run, or in the user's own service. A
source's own server lives as long.

For processes without gevent. An emulator and its contents die with the process that started it; a
stream in the user's own service is removed by name.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from cdc_users.pipeline.declaration import sources, transports
from infra.stack.error import StackConfigError


def own_endpoint(transport: str, given: str) -> str:
    """The endpoint from the user's option or environment; empty if an emulator is to be started.

    Raises StackConfigError for an endpoint with a login, which results and command lines would
    show.
    """
    variable = transports().by_name[transport].variable
    found = given or os.environ.get(variable, "")
    if "@" in found:
        raise StackConfigError(
            f"{variable} holds a user or a password, which results would show; leave them out"
        )
    return found


class CloudStreams:
    """The emulators of one run."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._emulators = ExitStack()
        self._endpoints: dict[str, str] = {}

    def endpoint(self, transport: str, given: str) -> str:
        """The service's endpoint; on the first call for an unnamed service, its emulator is
        started.

        Raises StackConfigError if the service has no emulator.
        """
        named = own_endpoint(transport, given)
        if named:
            return named
        declared = transports().by_name[transport]
        if declared.emulator is None:
            if not declared.variable:
                return ""
            raise StackConfigError(
                f"--transport {transport} has no emulator; name its service in {declared.variable}"
            )
        return self._started(transport, declared.emulator)

    def server(self, source: str) -> str:
        """The URL of a source's own server, which is started on the first call."""
        start = sources().by_name[source].server
        assert start is not None
        return self._started(source, start)

    def _started(self, name: str, start: Callable[[Path], AbstractContextManager[str]]) -> str:
        if name not in self._endpoints:
            self._endpoints[name] = self._emulators.enter_context(start(self._logs))
        return self._endpoints[name]

    def close(self) -> None:
        """Stop the emulators."""
        self._emulators.close()


def delete(transport: str, place: str) -> None:
    """Delete a stream of the user's own service as the journal has it:

    `endpoint name`; one that is gone is fine.
    """
    endpoint, _, name = place.rpartition(" ")
    remove = transports().by_name[transport].delete
    if remove is not None:
        remove(endpoint, name)

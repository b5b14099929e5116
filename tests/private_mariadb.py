"""A MariaDB of a test's own, which can be killed and started again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.pipelines.mariadb import recipe
from infra.stack.emulators.emulator import EmulatorUnavailableError
from infra.stack.servers.port import free_ports
from infra.stack.servers.server import ServerProcess, start

READY_S = 30.0


@contextmanager
def private_mariadb(logs: Path) -> Iterator[PrivateMariadb]:
    """A server that lives as long as the block; skips where it cannot be had."""
    try:
        started = PrivateMariadb(logs)
    except EmulatorUnavailableError as error:
        pytest.skip(str(error))
    try:
        yield started
    finally:
        started.stop()


class PrivateMariadb:
    """A running server."""

    def __init__(self, logs: Path) -> None:
        (port,) = free_ports(1)
        self._logs = logs
        self._recipe, self.url = recipe(logs / "mariadb", port, os.environ)
        self._recipe.prepare()
        self._server = self._start()

    def _start(self) -> ServerProcess:
        server = start(self._recipe, self._logs)
        server.await_ready(time.monotonic() + READY_S)
        return server

    def start(self) -> None:
        self._server = self._start()

    def kill(self) -> None:
        self._server.identity.kill()
        self._server.process.wait()

    def stop(self) -> None:
        self._server.stop()

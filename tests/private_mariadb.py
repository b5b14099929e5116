"""A MariaDB of a test's own, which can be killed and started again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from infra.pipelines.mariadb import recipe
from infra.stack.emulators.emulator import EmulatorUnavailableError
from infra.stack.servers.port import free_ports
from infra.stack.servers.secured.certificate import StackCertificates
from infra.stack.servers.server import ServerProcess, start

READY_S = 30.0


def _secured(command: Sequence[str], certificates: StackCertificates) -> list[str]:
    """The server's command with TLS, which every client must use."""
    file = certificates.server
    settings = ("--ssl=ON", f"--ssl-cert={file}", f"--ssl-key={file}")
    return [
        *(word for word in command if word != "--ssl=OFF"),
        *settings,
        "--require-secure-transport=ON",
    ]


@contextmanager
def private_mariadb(
    logs: Path, certificates: StackCertificates | None = None
) -> Iterator[PrivateMariadb]:
    """A server that lives as long as the block; skips where it cannot be had. With certificates it
    takes encrypted connections alone.
    """
    try:
        started = PrivateMariadb(logs, certificates)
    except EmulatorUnavailableError as error:
        pytest.skip(str(error))
    try:
        yield started
    finally:
        started.stop()


class PrivateMariadb:
    """A running server."""

    def __init__(self, logs: Path, certificates: StackCertificates | None) -> None:
        (port,) = free_ports(1)
        self._logs = logs
        self._recipe, self.url = recipe(logs / "mariadb", port, os.environ)
        if certificates is not None:
            self._recipe = replace(
                self._recipe, command=_secured(self._recipe.command, certificates)
            )
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

"""A Postgres of a test's own, so that it can be restarted and starved without disturbing
anybody.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg2

from infra.stack.servers import postgres
from infra.stack.servers.password import make_passwords
from infra.stack.servers.port import free_ports
from infra.stack.servers.server import ServerProcess, start

READY_S = 30.0


class PrivatePostgres:
    """A running server that can be restarted on the same data."""

    def __init__(self, logs: Path, settings: Mapping[str, str]) -> None:
        (port,) = free_ports(1)
        owner = postgres.account()
        passwords = make_passwords(logs / f"secrets-{port}")
        passwords.write(port)
        self.dsn = postgres.dsn(port, passwords.passfile)
        self.place = postgres.home(logs, owner)
        recipe = postgres.recipe(
            postgres.Cluster(postgres.find_binaries({}), self.place, port, owner, passwords)
        )
        extra = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        # A server that was made for less than logical decoding is a case of its own.
        self._recipe = replace(
            recipe,
            command=[*recipe.command, *extra],
            probe=lambda: psycopg2.connect(self.dsn).close(),
        )
        self._logs = logs
        recipe.prepare()
        self._server = self._start()

    def _start(self) -> ServerProcess:
        server = start(self._recipe, self._logs)
        server.await_ready(time.monotonic() + READY_S)
        return server

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server = self._start()

    def kill(self) -> None:
        self._server.identity.kill()
        self._server.process.wait()


@contextmanager
def private_postgres(logs: Path, settings: Mapping[str, str]) -> Iterator[PrivatePostgres]:
    server = PrivatePostgres(logs, {"fsync": "off", **settings})
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(server.place, ignore_errors=True)

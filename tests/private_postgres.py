"""A Postgres of a test's own, so that it can be restarted and starved without disturbing
anybody.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
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

    def copy(self) -> None:
        """Keep the data directory as a volume's snapshot would have it."""
        self.stop()
        subprocess.run(["cp", "-a", self.place / "data", self.place / "copy"], check=True)
        self.start()

    def restore(self) -> None:
        """Be again what `copy` has kept."""
        self.stop()
        shutil.rmtree(self.place / "data")
        (self.place / "copy").rename(self.place / "data")
        self.start()

    def become_standby(self) -> None:
        """Start again as a standby that waits for WAL."""
        self.stop()
        signal_file = self.place / "data" / "standby.signal"
        signal_file.touch()
        found = (self.place / "data").stat()
        shutil.chown(signal_file, found.st_uid, found.st_gid)
        self.start()

    def promote(self) -> None:
        """End being a standby: on the next timeline."""
        with closing(psycopg.connect(self.dsn, autocommit=True)) as standby:
            standby.execute("SELECT pg_promote()")

    def renew(self) -> None:
        """Become another cluster, empty, at the same address."""
        self.stop()
        shutil.rmtree(self.place)
        self._recipe.prepare()
        self.start()


@contextmanager
def private_postgres(logs: Path, settings: Mapping[str, str]) -> Iterator[PrivatePostgres]:
    server = PrivatePostgres(logs, {"fsync": "off", **settings})
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(server.place, ignore_errors=True)

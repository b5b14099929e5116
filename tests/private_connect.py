"""A Kafka Connect worker of a test's own on the session's stack, so that it can be killed and
started again without disturbing anybody.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from infra.stack.artifacts.java import LOG4J, java_files
from infra.stack.endpoints import Endpoints
from infra.stack.servers.password import StackPasswords
from infra.stack.servers.port import HOST, Ports, free_ports
from infra.stack.servers.process import Site, StackRequest, connect_recipe
from infra.stack.servers.server import ServerProcess, start
from infra.stack.servers.settings import CONNECT_GROUP

READY_S = 90.0
#: What a run is told of the stack.
TOLD = (
    "postgres_dsn",
    "kafka_bootstrap",
    "schema_registry_url",
    "connect_url",
    "postgres_user_from_connect",
    "postgres_secret_from_connect",
)


class PrivateConnect:
    """A running worker, in a group of its own."""

    def __init__(self, stack: Endpoints, place: Path) -> None:
        place.mkdir()
        (port,) = free_ports(1)
        self.endpoints = replace(stack, connect_url=f"http://{HOST}:{port}")
        secret = re.fullmatch(r"\$\{file:(.*):.*\}", stack.postgres_secret_from_connect or "")
        assert secret is not None, "the session's stack has its password by a provider"
        passwords = StackPasswords(Path(secret[1]).parent, "", "")
        self._place = place
        request = StackRequest(place, Ports(0, 0, 0, 0, 0, port, 0, 0, 0, 0), "test")
        files = java_files(os.environ, lambda _: None)
        site = Site(request, files, passwords, secured=None)
        self._recipe = connect_recipe(site, self.endpoints)
        self._recipe.prepare()
        properties = place / "connect.properties"
        own = f"private-{uuid.uuid4().hex[:8]}"
        text = properties.read_text(encoding="utf-8").replace(CONNECT_GROUP, own)
        properties.write_text(text, encoding="utf-8")
        (place / "log4j2.xml").write_text(LOG4J, encoding="utf-8")
        self._server = self._start()

    def _start(self) -> ServerProcess:
        server = start(self._recipe, self._place)
        server.await_ready(time.monotonic() + READY_S)
        return server

    def kill(self) -> None:
        """SIGKILL."""
        self._server.identity.kill()
        self._server.process.wait()

    def start(self) -> None:
        """Bring it up on the same port."""
        self._server = self._start()

    def file(self) -> Path:
        """The stack with this worker, as CDC_STACK takes it."""
        told = asdict(self.endpoints)
        file = self._place / "servers.toml"
        file.write_text("".join(f"{name} = '{told[name]}'\n" for name in TOLD), encoding="utf-8")
        return file


@contextmanager
def private_connect(stack: Endpoints, place: Path) -> Iterator[PrivateConnect]:
    worker = PrivateConnect(stack, place / "connect")
    try:
        yield worker
    finally:
        worker.kill()

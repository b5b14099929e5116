"""Pub/Sub on loopback: Google's own in-memory server for tests (`pstest`), built once per user with
Go.

`PUBSUB_EMULATOR_HOST` names a Pub/Sub emulator of the user's own, which is then used instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from infra.stack import cloud
from infra.stack.artifacts.artifact import DownloadProgress
from infra.stack.emulators.emulator import (
    EmulatorUnavailableError,
    kept,
    named_or_own,
    say_nothing,
)
from infra.stack.servers.port import HOST
from infra.stack.servers.server import Recipe

SOURCE = Path(__file__).with_name("pubsub")
FILES = ("main.go", "go.mod", "go.sum")
BINARY = "pubsub-emulator"
BUILD_S = 900.0


def install(environ: Mapping[str, str], progress: DownloadProgress) -> Path:
    """The directory with the emulator, which is built if it is missing; go.sum fixes every module's
    contents.
    """
    go = shutil.which("go")

    def make(directory: Path) -> None:
        if go is None:
            raise EmulatorUnavailableError(
                "the Pub/Sub emulator is built with Go, which is not on PATH; install Go 1.26 or"
                f" newer, or name an emulator of your own in {cloud.PUBSUB_VARIABLE}"
            )
        progress("building the Pub/Sub emulator (once per user, about a minute)")
        done = subprocess.run(
            [
                go,
                "build",
                "-mod=readonly",
                "-trimpath",
                "-buildvcs=false",
                "-ldflags=-s -w",
                "-o",
                BINARY,
                ".",
            ],
            cwd=directory,
            env={**os.environ, "GOWORK": "off"},
            capture_output=True,
            text=True,
            check=False,
            timeout=BUILD_S,
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1].split(": ")[0]
            raise EmulatorUnavailableError(
                f"the Pub/Sub emulator cannot be built ({last}); `go build` in {SOURCE} says more;"
                " once it is built no network is needed"
            )

    return kept("pubsub", [SOURCE / name for name in FILES], make, environ)


def recipe(directory: Path, port: int) -> Recipe:
    """How to run the emulator; it keeps all data in memory."""
    return Recipe(
        name="pubsub",
        command=[str(directory / BINARY), f"{HOST}:{port}"],
        probe=lambda: cloud.probe_pubsub(f"{HOST}:{port}"),
        prepare=lambda: None,
    )


def pubsub_emulator(
    logs: Path, environ: Mapping[str, str], progress: DownloadProgress = say_nothing
) -> AbstractContextManager[str]:
    """HOST:PORT of a Pub/Sub: the user's own, or an emulator that lives as long as the block."""

    def made(port: int) -> Recipe:
        return recipe(install(environ, progress), port)

    return named_or_own(cloud.PUBSUB_VARIABLE, environ, logs, made)

"""What the reader writes down: objects that it is about to create, and the position that it is
about to confirm.

Both are on disk before the server hears of them, so that a reader that died leaves nothing that
the next one does not find.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from infra.platform.wal.error import SetupError


def write_durably(path: Path, text: str) -> None:
    """Replace a file's content so that a crash leaves the old or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class Position:
    """The last confirmed position, in a file where one is named, else in memory only.

    It is never behind the server's, so that a slot found beyond it is another one.
    """

    def __init__(self, path: Path | None, system: str, slot: str) -> None:
        self._path = path
        self._identity = {"system": system, "slot": slot}
        self.lsn: int | None = None
        if path is not None and path.exists():
            self.lsn = self._read(path)

    def _read(self, path: Path) -> int:
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            found = {name: str(data[name]) for name in self._identity}
            lsn = int(data["lsn"])
        except (ValueError, KeyError, TypeError) as error:
            raise SetupError(
                f"--state {path} cannot be read ({error}); name another file or remove it"
            ) from error
        if found != self._identity:
            raise SetupError(
                f"--state {path} is of slot {found['slot']!r} in cluster {found['system']}, not of"
                f" slot {self._identity['slot']!r} in {self._identity['system']}; name another file"
                " or remove it"
            )
        return lsn

    def move(self, lsn: int) -> None:
        """Note a position that is about to be confirmed."""
        if self._path is not None:
            write_durably(self._path, json.dumps({**self._identity, "lsn": lsn}) + "\n")
        self.lsn = lsn


class OwnObjects:
    """The publication and slot that one reader makes for itself, in a file that names its owner."""

    def __init__(self, directory: Path, slot: str) -> None:
        self.path = directory / f"{slot}.json"

    def note(self, dsn: str, objects: dict[str, str]) -> None:
        """Write down what is about to be created: kind to name, in the order of creation."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        process = psutil.Process()
        owner = {"pid": process.pid, "started_s": process.create_time()}
        write_durably(self.path, json.dumps({**owner, "dsn": dsn, "objects": objects}) + "\n")


def abandoned(directory: Path) -> Iterator[tuple[Path, str, dict[str, str]]]:
    """The files of readers that live no more: file, server, and objects by kind."""
    for path in sorted(directory.glob("*.json")):
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not _lives(int(data["pid"]), float(data["started_s"])):
            yield path, str(data["dsn"]), dict(data["objects"])


def _lives(pid: int, started_s: float) -> bool:
    try:
        process = psutil.Process(pid)
        return (
            abs(process.create_time() - started_s) < 1.0
            and process.status() != psutil.STATUS_ZOMBIE
        )
    except psutil.Error:
        return False

"""What the reader writes down first: objects before it creates them, and positions before it
confirms them.

Both are on disk before the server gets the request, so the next reader finds everything that a dead
reader left.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from infra.platform.wal.error import SetupError
from infra.platform.wal.replication.position import CommitMark, Place
from infra.replication.connection import ServerIdentity
from infra.system import living, started_s, sync_directory


class StateFile(msgspec.Struct, kw_only=True):
    """The file of `--state`. A field that an older version did not write is unknown."""

    system: str
    slot: str
    lsn: int
    timeline: int = 0
    publication: str = ""
    last: CommitMark | None = None


def write_durably(path: Path, text: str) -> None:
    """Replace a file's content so that a crash leaves the old or the new one, and that the new one
    survives a loss of power.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


class Position:
    """The last confirmed position, in a file if one is named, otherwise in memory only.

    It is never behind the server's position, so a slot beyond it must be another slot. The file
    also has the position's cluster and timeline, and the last published transaction.
    """

    def __init__(self, path: Path | None, slot: str, publication: str) -> None:
        self._path = path
        self._slot = slot
        self._publication = publication
        self.place: Place | None = None
        if path is not None and path.exists():
            self.place = self._read(path)

    @property
    def lsn(self) -> int | None:
        """The position; None if it is not known yet."""
        return None if self.place is None else self.place.lsn

    def _read(self, path: Path) -> Place:
        try:
            state = msgspec.json.decode(path.read_bytes(), type=StateFile)
        except msgspec.MsgspecError as error:
            raise SetupError(
                f"--state {path} cannot be read ({error}); name another file or remove it"
            ) from error
        if state.slot != self._slot:
            raise SetupError(
                f"--state {path} is of slot {state.slot!r} in cluster {state.system}, not of"
                f" slot {self._slot!r}; name another file or remove it"
            )
        # Another publication may leave out that transaction, so its absence proves nothing.
        last = state.last if state.publication == self._publication else None
        return Place(state.system, state.timeline, state.lsn, last)

    def move(self, lsn: int, last: CommitMark | None, timeline: int) -> None:
        """Note a position before it is confirmed, with its timeline and the last transaction up to
        it.
        """
        assert self.place is not None, "settle comes first"
        self._write(replace(self.place, lsn=lsn, last=last or self.place.last, timeline=timeline))

    def settle(self, server: ServerIdentity, slot_lsn: int) -> None:
        """From now on positions are the server's own; without a known place, or after a gap, the
        first one is the slot's.
        """
        if self.place is None or self.place.system != server.system:
            self._write(Place(server.system, server.timeline, slot_lsn))
        elif self.place.timeline != server.timeline:
            # Behind the fork the old timeline had no change of ours; otherwise `gap` would have
            # refused.
            self._write(Place(server.system, server.timeline, slot_lsn, self.place.last))

    def forget(self) -> None:
        """Skip a gap: earlier positions are no longer valid."""
        self.place = None

    def _write(self, place: Place) -> None:
        if self._path is not None:
            state = StateFile(
                system=place.system,
                slot=self._slot,
                lsn=place.lsn,
                timeline=place.timeline,
                publication=self._publication,
                last=place.last,
            )
            write_durably(self._path, msgspec.json.encode(state).decode() + "\n")
        self.place = place


class OwnObjects:
    """The publication and slot that a reader creates for itself, in a file that names the
    reader.
    """

    def __init__(self, directory: Path, slot: str) -> None:
        self.path = directory / f"{slot}.json"

    def note(self, dsn: str, objects: dict[str, str]) -> None:
        """Write down objects before they are created: kind to name, in the order of creation."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        owner = {"pid": os.getpid(), "started_s": started_s(os.getpid())}
        write_durably(self.path, json.dumps({**owner, "dsn": dsn, "objects": objects}) + "\n")


def abandoned(directory: Path) -> Iterator[tuple[Path, str, dict[str, str]]]:
    """The files of dead readers: file, server, and objects by kind."""
    for path in sorted(directory.glob("*.json")):
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if living(int(data["pid"]), float(data["started_s"])) is None:
            yield path, str(data["dsn"]), dict(data["objects"])

"""A run's objects, each written down before it is created, so that it can be removed whatever
happens to the run.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from infra.stack.endpoints import Endpoints
from infra.stack.supervise.state import open_locked
from infra.system import sync_directory


class Entry(msgspec.Struct, frozen=True):
    """One object of a run: what kind it is (connector, slot, topic, ...) and its name."""

    kind: str
    name: str


class JournalHead(msgspec.Struct, frozen=True):
    """The first line: the run, and the servers that its objects are on."""

    run: str
    endpoints: Endpoints


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    kind: str
    name: str
    gone: bool = False


class Journal:
    """An append-only file of one run: a head, one line for each object, and one more when the
    object is removed.

    Each line is on disk before the call returns. The owner holds a lock on the file while it lives,
    so a journal that can be locked belongs to a dead run. A pid would not do: two containers on one
    checkout count their processes separately. A run that finds such a journal removes its objects.
    The file is deleted with its last object.
    """

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self._file = file

    @classmethod
    def create(cls, path: Path, run: str, endpoints: Endpoints) -> Journal:
        """Start the file of a run and own it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        journal = cls(path, open_locked(path))
        journal._append(JournalHead(run, endpoints))
        sync_directory(path.parent)
        return journal

    @classmethod
    def take_over(cls, path: Path) -> Journal | None:
        """Own the journal of a dead run; None if its owner lives, or if the journal is gone."""
        try:
            file = path.open("r+b")
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
            return cls(path, file)
        file.close()  # the owner of the lock has removed the file meanwhile
        return None

    def add(self, kind: str, name: str) -> None:
        """Note an object before it is created."""
        self._append(_Line(kind, name))

    def gone(self, entry: Entry) -> None:
        """Note that an object was removed."""
        self._append(_Line(entry.kind, entry.name, gone=True))

    def _append(self, record: msgspec.Struct) -> None:
        line = msgspec.json.encode(record) + b"\n"
        if self._file.seek(0, os.SEEK_END) and not self._ends_whole():
            line = b"\n" + line  # behind what an owner that died had begun to write
        self._file.write(line)
        self._file.flush()
        os.fsync(self._file.fileno())

    def _ends_whole(self) -> bool:
        self._file.seek(-1, os.SEEK_END)
        return self._file.read(1) == b"\n"

    def head(self) -> JournalHead | None:
        """The first line; None if the file was cut short before anything was created."""
        try:
            return msgspec.json.decode(next(self._texts(), b""), type=JournalHead)
        except msgspec.MsgspecError:
            return None

    def entries(self) -> list[Entry]:
        """The objects that were not removed, in the order of their creation."""
        lines = list(self._lines())
        gone = Counter(Entry(line.kind, line.name) for line in lines if line.gone)
        found = []
        for line in lines:
            entry = Entry(line.kind, line.name)
            if not line.gone and gone[entry]:
                gone[entry] -= 1
            elif not line.gone:
                found.append(entry)
        return found

    def _lines(self) -> Iterator[_Line]:
        texts = self._texts()
        next(texts, None)
        for text in texts:
            try:
                yield msgspec.json.decode(text, type=_Line)
            except msgspec.MsgspecError:
                # An owner died while it wrote this line, so the line's object was never created.
                continue

    def _texts(self) -> Iterator[bytes]:
        yield from self.path.read_bytes().splitlines()

    def close(self) -> None:
        """Close the journal; the file is deleted if no object is left, and otherwise kept for the
        next run.
        """
        if not self.entries():
            self.path.unlink(missing_ok=True)
        self._file.close()


def abandoned(directory: Path) -> Iterator[Journal]:
    """The journals of dead runs in a directory; the caller owns each from then on."""
    for path in sorted(directory.glob("*.jsonl")):
        journal = Journal.take_over(path)
        if journal is not None:
            yield journal

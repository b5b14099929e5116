"""What a run has created, written down before it is created, so that it can be removed whatever
happens.
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
    """An append-only file of one run: a head, one line an object, and one more when it is gone.

    Each line is on disk before the call returns. The owner holds a lock on the file as long as it
    lives, so a journal that can be locked marks a run that has died: a pid would not do, for two
    containers on one checkout count their processes apart. Whoever finds such a journal removes
    the objects. The file goes when the last object has gone.
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
        return journal

    @classmethod
    def take_over(cls, path: Path) -> Journal | None:
        """Own the journal of a run that has died; None where its owner lives, or it is gone."""
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
        file.close()  # the one that had the lock has removed it meanwhile
        return None

    def add(self, kind: str, name: str) -> None:
        """Note an object that is about to be created."""
        self._append(_Line(kind, name))

    def gone(self, entry: Entry) -> None:
        """Note that an object has been removed."""
        self._append(_Line(entry.kind, entry.name, gone=True))

    def _append(self, record: msgspec.Struct) -> None:
        self._file.seek(0, os.SEEK_END)
        self._file.write(msgspec.json.encode(record) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def head(self) -> JournalHead | None:
        """The first line; None where the file was cut short before anything was created."""
        try:
            return msgspec.json.decode(next(self._texts(), b""), type=JournalHead)
        except msgspec.MsgspecError:
            return None

    def entries(self) -> list[Entry]:
        """The objects that are not gone, in the order of their creation."""
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
                return  # the owner died while it wrote this line, so nothing was created yet

    def _texts(self) -> Iterator[bytes]:
        yield from self.path.read_bytes().splitlines()

    def close(self) -> None:
        """Give the journal up; the file goes with the last object, and else stays for the next."""
        if not self.entries():
            self.path.unlink(missing_ok=True)
        self._file.close()


def abandoned(directory: Path) -> Iterator[Journal]:
    """The journals in a directory whose owner has died, each owned by the caller from then on."""
    for path in sorted(directory.glob("*.jsonl")):
        journal = Journal.take_over(path)
        if journal is not None:
            yield journal

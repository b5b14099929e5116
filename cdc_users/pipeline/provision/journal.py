"""What a run has created, written down before it is created, so that it can be removed whatever
happens.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a run: what kind it is (connector, slot, topic, ...) and its name."""

    kind: str
    name: str


class Journal:
    """An append-only file of one run: a head (owner and endpoints), then one line an object.

    Each line is on disk before `add` returns. A journal that is still there while its owner is gone
    marks a run that died; whoever finds it removes the objects and then the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, run: str, endpoints: Mapping[str, Any], *, owns_stack: bool) -> None:
        """Start the file: this process is the owner."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        process = psutil.Process()
        head = {
            "run": run,
            "pid": process.pid,
            "started_s": process.create_time(),
            "endpoints": endpoints,
            "owns_stack": owns_stack,
        }
        self._append(head)

    def add(self, kind: str, name: str) -> None:
        """Note an object that is about to be created."""
        self._append({"kind": kind, "name": name})

    def _append(self, record: Mapping[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def head(self) -> dict[str, Any]:
        """The first line: run, pid, started_s, endpoints, owns_stack.

        Empty where the file was cut short.
        """
        lines = self._lines()
        return lines[0] if lines else {}

    def entries(self) -> list[Entry]:
        """All objects, in the order of their creation."""
        return [Entry(line["kind"], line["name"]) for line in self._lines()[1:]]

    def _lines(self) -> list[dict[str, Any]]:
        lines = []
        for text in self.path.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:
                break  # the owner died while it wrote this line, so nothing was created yet
        return lines

    def remove(self) -> None:
        """All is gone: forget the run."""
        self.path.unlink(missing_ok=True)


def abandoned(directory: Path) -> Iterator[Journal]:
    """The journals in `directory` whose owner does not live any more (by pid and start time)."""
    for path in sorted(directory.glob("*.jsonl")):
        journal = Journal(path)
        head = journal.head()
        if not head or not _lives(int(head["pid"]), float(head["started_s"])):
            yield journal


def _lives(pid: int, started_s: float) -> bool:
    try:
        process = psutil.Process(pid)
        return (
            abs(process.create_time() - started_s) < 1.0
            and process.status() != psutil.STATUS_ZOMBIE
        )
    except psutil.Error:
        return False

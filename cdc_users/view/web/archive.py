"""The ended runs, read from their directories, so that the list survives a restart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from cdc_users.error import ResultError
from cdc_users.report.answer import answer
from cdc_users.report.html import facts_of_run
from cdc_users.report.remake import read

#: The page has no room for more, and reading more would keep the master from its work.
MOST_RUNS = 50
#: The names that `report.directory` gives.
NAME = re.compile(r"\d{8}T\d{6}Z-[\w-]+")


class ArchivedRun(TypedDict):
    """One run of the list."""

    directory: str
    scenario: str
    run: str
    verdict: str
    answer: str
    began: str


@dataclass(slots=True)
class Archive:
    """The runs below one directory, newest first; each result is read once."""

    root: Path
    _read: dict[str, ArchivedRun | None] = field(default_factory=dict)

    def runs(self) -> list[ArchivedRun]:
        """The newest runs that have ended."""
        found = [run for name in self._names() if (run := self._run(name)) is not None]
        return found[:MOST_RUNS]

    def file(self, directory: str, name: str) -> Path | None:
        """A file of a run; None if it does not exist, or if the names lead elsewhere."""
        place = self.root / directory
        if not NAME.fullmatch(directory) or not place.is_dir() or place.is_symlink():
            return None
        return next(
            (
                path
                for path in place.iterdir()
                if path.name == name and path.is_file() and not path.is_symlink()
            ),
            None,
        )

    def _names(self) -> Iterator[str]:
        """The newest run directories; more than the list shows, because some may have no readable
        result.
        """
        if not self.root.is_dir():
            return
        names = [path.name for path in self.root.iterdir() if NAME.fullmatch(path.name)]
        yield from sorted(names, reverse=True)[: 2 * MOST_RUNS]

    def _run(self, name: str) -> ArchivedRun | None:
        if self._read.get(name) is None and (self.root / name / "result.json").is_file():
            self._read[name] = _summary(self.root / name)
        return self._read.get(name)


#: Errors from files that are cut off, or have another form than this version writes.
_UNREADABLE = (ResultError, OSError, ValueError, KeyError, TypeError, AttributeError)


def _summary(place: Path) -> ArchivedRun | None:
    """One run of the list; None if its files cannot be read, because other runs must stay
    visible.
    """
    try:
        result = read(place)
        return {
            "directory": place.name,
            "scenario": result.scenario,
            "run": result.run,
            "verdict": result.verdict.value,
            "answer": answer(result),
            "began": dict(facts_of_run(place)).get("date", ""),
        }
    except _UNREADABLE:
        return None

"""Which runs use the stack of a checkout: the last one stops a stack that a run has started."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from infra.stack.supervise.state import StackState, exclusive, open_locked

USERS = "users"


class StackUse:
    """One run's use of a checkout's stack: it begins before the run looks for the stack, and ends
    at `end`.

    Each run holds a lock on a file of its own; an unlocked file belongs to a dead run.
    """

    def __init__(self, state: StackState, run: str) -> None:
        self._state = state
        self._path = state.root / USERS / run
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] | None = open_locked(self._path)

    @property
    def _mark(self) -> Path:
        return self._state.started_by_run

    def started(self) -> None:
        """Note that a run has started the stack, so that the last run stops it."""
        self._mark.touch()

    def end(self) -> bool:
        """End this use; returns whether this run, and no other, must stop the stack."""
        with exclusive(self._state):
            if self._file is not None:
                self._path.unlink(missing_ok=True)
                self._file.close()
                self._file = None
            # Looked for in any case, because this also removes the files of dead runs.
            others = self._others()
            if others or not self._mark.exists():
                return False
            self._mark.unlink()
            return True

    def _others(self) -> bool:
        found = False
        for path in self._path.parent.iterdir():
            if _is_locked(path):
                found = True
            else:
                path.unlink(missing_ok=True)
        return found


def _is_locked(path: Path) -> bool:
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False

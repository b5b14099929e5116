"""Who uses the stack of a checkout: a stack that a run has started goes with the last run that uses
it.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from infra.stack.supervise.state import StackState, exclusive, open_locked

USERS = "users"


class StackUse:
    """One run's use of a checkout's stack, from before it looks for one until it has let go.

    Each user holds a lock on a file of its own; a file that is not locked is of a user that died.
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
        """This run has brought the stack up, so runs take it down again."""
        self._mark.touch()

    def end(self) -> bool:
        """Let go; whether the stack is to be taken down, by this run and no other."""
        with exclusive(self._state):
            if self._file is not None:
                self._path.unlink(missing_ok=True)
                self._file.close()
                self._file = None
            # Looked for in any case: it also clears away what users have left that died.
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

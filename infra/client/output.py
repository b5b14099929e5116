"""Output that never stops a process: where nobody reads it any more, or the disk is full, it goes
nowhere.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, TextIO


class Unbroken:
    """A stream whose writes do not fail.

    After the first failure its file descriptor leads nowhere, so that whatever else writes there,
    as log handlers and child processes that are started later, goes on as well.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.broken = False

    def write(self, text: str) -> int:
        """Write, or not."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            self._lead_nowhere()
            return len(text)

    def flush(self) -> None:
        """Flush, or not."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._lead_nowhere()

    def _lead_nowhere(self) -> None:
        self.broken = True
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, self._stream.fileno())
            finally:
                os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def keep_output_from_failing() -> None:
    """Have this process' standard output and error never fail; doing it twice changes nothing."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Unbroken):
            setattr(sys, name, Unbroken(stream))

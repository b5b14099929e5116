"""A foreign server as a child process: its log is passed on, and a signal stops it in order."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Self

from infra.stack.supervise.identity import tied_to_parent

STOP_S = 8.0
LOOK_S = 0.05
#: The exit code of a process that was ended by its signal; a JVM returns 143.
STOPPED = (0, -signal.SIGTERM, 128 + signal.SIGTERM)


class JavaChild:
    """One running child, which logs to this process's standard error.

    SIGTERM and SIGINT to this process stop it; `ended` waits for its end.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], directory: Path
    ) -> None:
        self.stopping = False
        self._process = subprocess.Popen(
            command,
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            stderr=sys.stderr,
            preexec_fn=tied_to_parent(signal.SIGKILL),
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.stopping = True
        self._process.terminate()

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def ended(self) -> int:
        """Wait for its end: 0 if it was asked to stop, 1 if it ended by itself."""
        code = self._process.wait()
        if self.stopping:
            return 0 if code in STOPPED else 1
        print(f"the pipeline's process ended by itself with {code}", file=sys.stderr)
        return 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.runs:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def await_that(condition: Callable[[], bool], child: JavaChild) -> bool:
    """Wait for a condition; False if the child ends before."""
    while child.runs:
        if condition():
            return True
        time.sleep(LOOK_S)
    return False

"""Output that never stops a process: if nobody reads it or the disk is full, it is dropped; if a
reader pauses, it is kept for a while.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import stat
import sys
import time
from typing import Any, TextIO

#: The most bytes that are kept for a reader that pauses (`| less`, Ctrl-S); the rest is dropped,
#: and a line says so.
HELD_BYTES = 1_000_000
#: How long the process's end waits for a paused reader.
LAST_S = 3.0
POLL_S = 0.05


class NonBlockingFile:
    """A pipe or terminal that is written to without ever waiting for its reader.

    It opens the file behind a descriptor again: O_NONBLOCK belongs to an open file, and the shell
    that started this process shares the first one.
    """

    def __init__(self, descriptor: int) -> None:
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        self._descriptor = os.open(f"/proc/self/fd/{descriptor}", flags)
        self._held = bytearray()
        self._left_out = 0

    def put(self, data: bytes) -> None:
        """Write, or keep for later; raises OSError if there is no reader any more."""
        if len(self._held) + len(data) > HELD_BYTES:
            self._left_out += data.count(b"\n")
        else:
            self._held += data
        self.push()

    def push(self) -> bool:
        """Write what is kept, as far as the reader takes it; returns whether all was written."""
        while self._held:
            try:
                written = os.write(self._descriptor, self._held)
            except BlockingIOError:
                return False
            del self._held[:written]
            if not self._held and self._left_out:
                self._held += f"... {self._left_out} lines left out: nobody read them\n".encode()
                self._left_out = 0
        return True

    def close(self) -> None:
        """Give the file back."""
        os.close(self._descriptor)


def non_blocking(stream: TextIO) -> NonBlockingFile | None:
    """The file behind a stream, if its reader can pause: a pipe or a terminal."""
    with contextlib.suppress(OSError, ValueError):
        descriptor = stream.fileno()
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode) or os.isatty(descriptor):
            stream.flush()
            return NonBlockingFile(descriptor)
    return None


class Unbroken:
    """A stream whose writes neither fail nor wait.

    After the first failure its file descriptor leads to /dev/null, so other writers, such as child
    processes that are started later, go on as well.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._file = non_blocking(stream)
        self.broken = False

    def write(self, text: str) -> int:
        """Write, or drop the text."""
        try:
            if self._file is None:
                return self._stream.write(text)
            self._file.put(text.encode(self._stream.encoding, "backslashreplace"))
        except (OSError, ValueError):
            self._lead_nowhere()
        return len(text)

    def flush(self) -> None:
        """Flush, or do nothing."""
        try:
            if self._file is None:
                self._stream.flush()
            else:
                self._file.push()
        except (OSError, ValueError):
            self._lead_nowhere()

    def finish(self, deadline_s: float) -> None:
        """Give a paused reader until then (monotonic) to take what is kept."""
        with contextlib.suppress(OSError, ValueError):
            while self._file is not None and not self._file.push():
                if time.monotonic() > deadline_s:
                    return
                time.sleep(POLL_S)

    def _lead_nowhere(self) -> None:
        self.broken = True
        file, self._file = self._file, None
        with contextlib.suppress(OSError, ValueError):
            if file is not None:
                file.close()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, self._stream.fileno())
            finally:
                os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def keep_output_from_failing() -> None:
    """Make this process's standard output and error neither fail nor wait; a second call changes
    nothing.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Unbroken):
            unbroken: Any = Unbroken(stream)
            setattr(sys, name, unbroken)
            # What a full disk has not taken yet would fail once more where a handler lets go of it.
            unbroken.flush()
            _lead_logs(stream, unbroken)
    atexit.unregister(finish_output)
    atexit.register(finish_output)


def finish_output() -> None:
    """Before the process ends: write what is kept for a paused reader, or drop it."""
    deadline_s = time.monotonic() + LAST_S
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Unbroken):
            stream.finish(deadline_s)


def _lead_logs(old: TextIO, new: TextIO) -> None:
    """Replace the stream in log handlers that were created before."""
    loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
    for handler in {handler for logger in loggers for handler in logger.handlers}:
        if isinstance(handler, logging.StreamHandler) and handler.stream is old:
            handler.setStream(new)

"""A terminal of 80 x 24 for a command, and what stands on its last screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ROWS, COLUMNS = 24, 80
#: What our own output, Locust's log and make use: up, clear below, colours.
CONTROL = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\r|\n|[^\x1b\r\n]+")
READ_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Recorded:
    """A command that has ended: its exit code, and everything that its terminal was sent."""

    exit_code: int
    sent: str

    @property
    def screen(self) -> list[str]:
        """The last rows, as a terminal of this width shows them."""
        return folded(lines_of(self.sent))[-ROWS:]


def record(
    command: Sequence[str], directory: str, environment: Mapping[str, str] | None = None
) -> Recorded:
    """Run a command in a terminal of its own until it has ended."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    told = {**os.environ, "TERM": "xterm", **(environment or {})}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        told.pop(name, None)
    process = subprocess.Popen(
        command, cwd=directory, env=told, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    sent = bytearray()
    while True:
        try:
            sent += os.read(ours, READ_BYTES)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    return Recorded(process.wait(), sent.decode("utf-8", "replace"))


def lines_of(sent: str) -> list[str]:
    """The lines that stand there in the end, however often some of them were written again."""
    lines, row = [""], 0
    for found in CONTROL.finditer(sent):
        text = found.group()
        if found.group(2) == "F":
            row = max(0, row - int(found.group(1) or 1))
        elif found.group(2) == "J":
            del lines[row + 1 :]
            lines[row] = ""
        elif text == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        elif text != "\r" and not text.startswith("\x1b"):
            lines[row] += text
    return lines[:-1] if lines[-1] == "" else lines


def folded(lines: Sequence[str]) -> list[str]:
    """The rows of a terminal that breaks what is too long."""
    return [
        line[start : start + COLUMNS]
        for line in lines
        for start in range(0, max(1, len(line)), COLUMNS)
    ]

"""What the operating system alone knows: whether a name is on disk, and when a process started."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil

#: Where proc_pid_stat(5) has the start time, counted behind the program's name, which may hold
#: anything.
START_FIELD = 19
#: Start times are whole ticks of the kernel, so two readings of one process are equal.
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def sync_directory(directory: Path) -> None:
    """Have the names in a directory on disk: syncing a file says nothing about its name. Raises
    OSError.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def started_s(pid: int) -> float:
    """Seconds from the system's start to the process's, which nobody sets: with its pid it names
    one process. Raises psutil.NoSuchProcess, and psutil.AccessDenied where others' processes are
    hidden.

    psutil's `create_time` counts from the epoch, by a start of the system that moves, by whole
    seconds, with each step of the wall clock.
    """
    if sys.platform != "linux":
        return psutil.Process(pid).create_time()
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        raise psutil.NoSuchProcess(pid) from None
    except PermissionError:
        raise psutil.AccessDenied(pid) from None
    return int(text.rpartition(")")[2].split()[START_FIELD]) * TICK_S


def living(pid: int, since_s: float) -> psutil.Process | None:
    """The process of this pid that started then, if it still lives: one that has ended does not,
    although nobody may have asked for its exit code yet (a zombie).
    """
    try:
        process = psutil.Process(pid)
        same = abs(started_s(pid) - since_s) < TICK_S / 2
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None

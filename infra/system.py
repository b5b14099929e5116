"""When a process started, on a clock that nobody sets: with its pid it names one process."""

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


def started_s(pid: int) -> float:
    """Seconds from the system's start to the process's; raises psutil.NoSuchProcess, and
    psutil.AccessDenied where others' processes are hidden.

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


def still_lives(pid: int, since_s: float) -> bool:
    """Whether the process of this pid that started then still lives: one that has ended does not,
    although nobody may have asked for its exit code yet (a zombie).
    """
    try:
        return (
            abs(started_s(pid) - since_s) < TICK_S / 2
            and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        )
    except psutil.Error:
        return False

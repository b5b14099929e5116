"""Processes by pid *and* start time, so that a reused pid is never taken for ours."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass

import psutil

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
#: Loaded once, here: between fork and exec of a process with threads nothing may take a lock.
LIBC = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class Identity:
    """One process: its pid and when it started (seconds since the epoch)."""

    pid: int
    started_s: float

    def process(self) -> psutil.Process | None:
        """The process, if it still lives."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started_s) < 1.0
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None

    def kill(self, wait_s: float = 10.0) -> None:
        """Kill it and its descendants, if it still lives, and wait until they are gone.

        Never the caller: the watcher is a child of the supervisor whose remains it clears away.
        """
        process = self.process()
        if process is None:
            return
        family = [process]
        with contextlib.suppress(psutil.Error):
            family += [
                child for child in process.children(recursive=True) if child.pid != os.getpid()
            ]
        for member in family:
            with contextlib.suppress(psutil.Error):
                member.kill()
        psutil.wait_procs(family, timeout=wait_s)


def identify(pid: int) -> Identity:
    """The identity of a living process."""
    return Identity(pid, psutil.Process(pid).create_time())


def both(*steps: Callable[[], None] | None) -> Callable[[], None]:
    """One step out of several, for a child that is about to run its program."""

    def run() -> None:
        for step in steps:
            if step is not None:
                step()

    return run


def with_a_name() -> Callable[[], None] | None:
    """What a child runs before a program that looks its user up by name (initdb does); None where
    this user has a name.

    In a user namespace of its own (user_namespaces(7)) the child is one that has; its files are
    still this user's. Where the system allows none, nothing changes, and the program says so.
    """
    with contextlib.suppress(KeyError):
        pwd.getpwuid(os.geteuid())
        return None
    uid = os.geteuid()
    named = next((entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid not in (0, uid)), None)
    if named is None or sys.platform != "linux":
        return None

    mapping = f"{named} {uid} 1".encode("ascii")

    def rename() -> None:
        if LIBC.unshare(CLONE_NEWUSER) == 0:
            file = os.open("/proc/self/uid_map", os.O_WRONLY)
            os.write(file, mapping)
            os.close(file)

    return rename


def tied_to_parent(number: signal.Signals) -> Callable[[], None]:
    """What a child runs before its program, so that the kernel signals it when this process dies.

    Linux; elsewhere the watcher does it alone. Where this process has died already nobody would
    send the signal any more, so the child ends at once. The signal comes when the thread ends that
    started the child.
    """
    parent = os.getpid()
    prctl = LIBC.prctl if sys.platform == "linux" else None

    def tie() -> None:
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, int(number))
            if os.getppid() != parent:
                os._exit(1)

    return tie

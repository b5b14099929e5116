"""Processes by pid *and* start time, so that a reused pid is never taken for ours."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
#: Loaded once, here: between fork and exec of a process with threads nothing may take a lock.
LIBC = ctypes.CDLL(None)


GONE_POLL_S = 0.005


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


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
        family = self._family()
        for member in family:
            with contextlib.suppress(psutil.Error):
                member.kill()
        # One that has ended is gone, although nobody may have asked for its exit yet (a zombie):
        # psutil.wait_procs would wait for that too.
        deadline_s = time.monotonic() + wait_s
        while any(map(_lives, family)) and time.monotonic() < deadline_s:
            time.sleep(GONE_POLL_S)

    def pause(self) -> None:
        """Stop it and its descendants where they are (SIGSTOP), if it still lives: the parent
        first, so that it starts no further child meanwhile.
        """
        self._signal(self._family(), signal.SIGSTOP)

    def resume(self) -> None:
        """Let it and its descendants go on (SIGCONT); the parent last, which may ask for them."""
        self._signal(self._family()[::-1], signal.SIGCONT)

    def _signal(self, family: Sequence[psutil.Process], number: signal.Signals) -> None:
        for member in family:
            with contextlib.suppress(psutil.Error):
                member.send_signal(number)

    def _family(self) -> list[psutil.Process]:
        """The process and its descendants without the caller; nothing where it does not live."""
        process = self.process()
        if process is None:
            return []
        family = [process]
        with contextlib.suppress(psutil.Error):
            family += [
                child for child in process.children(recursive=True) if child.pid != os.getpid()
            ]
        return family


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

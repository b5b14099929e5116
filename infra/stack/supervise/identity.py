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

from infra.system import living, started_s

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
#: Loaded once, here: between fork and exec, the child of a process with threads must not take a
#: lock.
LIBC = ctypes.CDLL(None)


GONE_POLL_S = 0.005


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@dataclass(frozen=True, slots=True)
class Identity:
    """One process: its pid and when it started (seconds since the system's start)."""

    pid: int
    started_s: float

    def process(self) -> psutil.Process | None:
        """The process, if it still lives."""
        return living(self.pid, self.started_s)

    def kill(self, wait_s: float = 10.0) -> None:
        """Kill the process and its descendants, if it still lives, and wait until they are gone.

        Never kills the caller: the watcher is a child of the supervisor whose remains it clears
        away.
        """
        family = self._family()
        for member in family:
            with contextlib.suppress(psutil.Error):
                member.kill()
        # A process that has ended counts as gone, even if its parent has not yet asked for its exit
        # code (a zombie); psutil.wait_procs would wait for that too.
        deadline_s = time.monotonic() + wait_s
        while any(map(_lives, family)) and time.monotonic() < deadline_s:
            time.sleep(GONE_POLL_S)

    def pause(self) -> None:
        """Stop the process and its descendants (SIGSTOP), if it still lives: the parent first, so
        that it starts no further child in the meantime.
        """
        self._signal(self._family(), signal.SIGSTOP)

    def resume(self) -> None:
        """Continue the process and its descendants (SIGCONT), the parent last: it may need its
        children.
        """
        self._signal(self._family()[::-1], signal.SIGCONT)

    def _signal(self, family: Sequence[psutil.Process], number: signal.Signals) -> None:
        for member in family:
            with contextlib.suppress(psutil.Error):
                member.send_signal(number)

    def _family(self) -> list[psutil.Process]:
        """The process and its descendants without the caller; empty if the process is gone."""
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
    return Identity(pid, started_s(pid))


def both(*steps: Callable[[], None] | None) -> Callable[[], None]:
    """Several steps as one, for a child that is about to run its program."""

    def run() -> None:
        for step in steps:
            if step is not None:
                step()

    return run


def with_a_name() -> Callable[[], None] | None:
    """A step for a child whose program looks its user up by name, as initdb does; None if this user
    has a name.

    The step gives the child a user namespace of its own (user_namespaces(7)) in which its user has
    a name; its files still belong to this user. If the system forbids namespaces, nothing changes,
    and the program reports the missing name.
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
    """A step for a child before its program, so that the kernel signals the child when this process
    dies.

    Linux only; elsewhere the watcher does this work alone. If this process is dead already, no
    signal would come, so the child ends at once. The kernel sends the signal when the thread that
    started the child ends.
    """
    parent = os.getpid()
    prctl = LIBC.prctl if sys.platform == "linux" else None

    def tie() -> None:
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, int(number))
            if os.getppid() != parent:
                os._exit(1)

    return tie

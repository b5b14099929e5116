"""Which processes a run has started, wherever they have gone since.

A process whose parent has died belongs to the nearest ancestor that adopts orphans
(PR_SET_CHILD_SUBREAPER, prctl(2)). The soak is one, so none of its runs' descendants can hide from
it: neither behind a session of their own nor behind a dead parent.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection

import psutil

from infra.stack.supervise.identity import LIBC, Identity, identify

PR_SET_CHILD_SUBREAPER = 36
POLL_S = 0.05
#: What each process is, by what stands on its command line; the first that fits.
ROLES = (
    ("steward", "cdc_users.pipeline.provision.steward"),
    ("observer", "cdc_users.observe"),
    ("reader", "infra.platform.wal"),
    ("platform", "infra.platform"),
)


def adopt_orphans() -> None:
    """From now on this process is the parent of every descendant whose own has died."""
    assert LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1) == 0


def living(known: Collection[Identity] = ()) -> list[psutil.Process]:
    """All descendants that live, without those that are known and all that is below them."""
    # A process that ends during a look, after starting another, hides that one from it.
    return _look(known) or _look(known)


def _look(known: Collection[Identity]) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    own = {item.pid for item in known if item.process() is not None}

    def visit(parent: psutil.Process) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in parent.children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if child.pid in own:
                        continue
                    if child.status() != psutil.STATUS_ZOMBIE:
                        found.append(child)
                    visit(child)

    visit(psutil.Process())
    return found


def beside() -> list[Identity]:
    """All descendants that live now: what is there before a run, and is none of its own."""
    return [identify(process.pid) for process in living()]


def reap() -> None:
    """Take the exit codes of adopted children."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
            if child.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(child.pid, os.WNOHANG)


def described(process: psutil.Process) -> str:
    """A process for a message: its role or command, and its state."""
    with contextlib.suppress(psutil.Error):
        command = process.cmdline()
        return f"{role(command) or ' '.join(command)[:80]} ({process.status()})"
    return f"pid {process.pid}"


def role(command: Collection[str]) -> str:
    """What a process of a run is; empty where it is none of those that are attacked."""
    return next((name for name, module in ROLES if module in command), "")


def left_after(grace_s: float, known: Collection[Identity]) -> list[str]:
    """What still lives when the grace is over; it is killed then, and so is whatever it starts
    meanwhile.
    """
    deadline_s = time.monotonic() + grace_s
    while (found := living(known)) and time.monotonic() < deadline_s:
        time.sleep(POLL_S)
    told = [described(process) for process in found]
    while found:
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(POLL_S)
        found = living(known)
    reap()
    return told

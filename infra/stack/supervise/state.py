"""The files that a process stack writes in its checkout, and how the leftovers of a crash are found
and cleared.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError, StackError
from infra.stack.supervise.identity import Identity

CHECKOUT = Path(__file__).resolve().parents[3]
LOCK_S = 180.0
REMOVE_S = 20.0
RELEASE_S = 5.0


@dataclass(frozen=True, slots=True)
class StackState:
    """The files of one checkout's stack, all below `.stack`."""

    root: Path

    @property
    def endpoints(self) -> Path:
        """Where the servers are; there only while they are ready."""
        return self.root / "endpoints.json"

    @property
    def run(self) -> Path:
        """The servers' directories; gone when they are down."""
        return self.root / "run"

    @property
    def runs(self) -> Path:
        """The journals of runs, and directories that live as long as one of them."""
        return self.root / "runs"

    @property
    def logs(self) -> Path:
        """One log for each server; kept after a server's death so that a user can read it, and
        removed by `down`.
        """
        return self.root / "logs"

    @property
    def alive(self) -> Path:
        """Locked by the supervisor as long as it lives."""
        return self.root / "alive"

    @property
    def started_by_run(self) -> Path:
        """Exists while a run owns the stack that it has started; a stack that a user started has no
        such file.
        """
        return self.root / "started-by-a-run"

    @property
    def request(self) -> Path:
        """The request to act on one server (supervise.request)."""
        return self.root / "request.json"

    @property
    def answer(self) -> Path:
        """The supervisor's answer to the request."""
        return self.root / "answer.json"

    @property
    def processes(self) -> Path:
        """The supervisor's and the servers' identities, and directories outside of `run`."""
        return self.root / "processes.json"


def state_of(checkout: Path = CHECKOUT) -> StackState:
    """The state of a checkout."""
    return StackState(checkout / ".stack")


def write_json(path: Path, data: Mapping[str, object]) -> None:
    """Write atomically: a reader sees the old content or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


def read_endpoints(state: StackState) -> Endpoints | None:
    """The recorded endpoints, if any."""
    try:
        return Endpoints.from_json(json.loads(state.endpoints.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, StackConfigError) as error:
        # The user did not write this file; another version of this project may write another
        # format.
        raise StackConfigError(
            f"{state.endpoints} is damaged, or of another version ({error}); run"
            " `python -m infra.stack down`"
        ) from error


def hold(state: StackState) -> IO[bytes]:
    """Lock the state for as long as the returned file stays open."""
    state.root.mkdir(parents=True, exist_ok=True)
    return open_locked(state.alive)


def open_locked(path: Path) -> IO[bytes]:
    """Make a file and lock it. The locked file is at its path, although other processes remove the
    unlocked files that they find.
    """
    while True:
        file = path.open("a+b")
        fcntl.flock(file, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return file
        file.close()


def is_held(state: StackState) -> bool:
    """Whether a supervisor lives, even one in another pid namespace."""
    try:
        with state.alive.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def write_processes(
    state: StackState, processes: Sequence[Identity], places: Sequence[Path]
) -> None:
    """Record the living processes, the supervisor first."""
    identities = [[process.pid, process.started_s] for process in processes]
    write_json(
        state.processes, {"processes": identities, "places": [str(place) for place in places]}
    )


def recorded(state: StackState) -> tuple[list[Identity], list[Path]]:
    """The recorded processes and outside directories."""
    try:
        data = json.loads(state.processes.read_text(encoding="utf-8"))
        processes = [Identity(int(pid), float(started)) for pid, started in data["processes"]]
        return processes, list(map(Path, data["places"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return [], []


def clear(state: StackState) -> int:
    """Kill the recorded processes that still live and remove all files; returns the number of
    killed processes.

    Raises StackConfigError for a stack whose processes live where this process cannot see them.
    """
    processes, places = recorded(state)
    if not (processes and processes[0].process()) and not _is_released(state):
        raise StackConfigError(
            f"the stack of {state.root} lives, but its processes cannot be seen from here (another"
            " container or pid namespace); take it down where it was started"
        )
    alive = [process for process in processes if process.process() is not None]
    for process in alive:
        process.kill()
    state.endpoints.unlink(missing_ok=True)
    state.started_by_run.unlink(missing_ok=True)
    for place in (*places, state.run):
        _remove(place)
    for half_written in state.root.glob(".*.json.*"):
        half_written.unlink(missing_ok=True)
    for path in (state.processes, state.request, state.answer):
        path.unlink(missing_ok=True)
    if not is_held(state):
        state.alive.unlink(missing_ok=True)  # `open_locked` notices the removal
    return len(alive)


def _is_released(state: StackState) -> bool:
    """Whether no supervisor holds the lock, or the holder will release it soon.

    A killed supervisor ends before its lock is free: the kernel closes its files one by one, and a
    child between fork and exec holds copies of them.
    """
    deadline_s = time.monotonic() + RELEASE_S
    while is_held(state):
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True


def _remove(place: Path) -> None:
    """Remove a directory that a process killed a moment ago may still be writing to."""
    deadline_s = time.monotonic() + REMOVE_S
    _unmount_below(place)
    while place.exists():
        shutil.rmtree(place, ignore_errors=True)
        if time.monotonic() > deadline_s:
            raise StackError(f"{place} cannot be removed; see who uses it, and remove it by hand")
        time.sleep(0.02)


def _unmount_below(place: Path) -> None:
    """Take off the disks that a fault has put over directories of a server
    (infra.faults.small_disk).
    """
    for disk in psutil.disk_partitions(all=True):
        if Path(disk.mountpoint).is_relative_to(place.resolve()):
            subprocess.run(["umount", "--lazy", disk.mountpoint], capture_output=True, check=False)


def clear_after(state: StackState, supervisor: Identity) -> None:
    """Clear the remains of this supervisor, unless a successor has taken over in the meantime."""
    with exclusive(state):
        processes, _ = recorded(state)
        if processes and processes[0] == supervisor:
            clear(state)


def keep_private(state: StackState) -> None:
    """Make the directory of a stack's files, or restrict it, so that only its user can enter."""
    state.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if state.root.stat().st_mode & 0o077:
        state.root.chmod(0o700)


@contextmanager
def exclusive(state: StackState) -> Iterator[None]:
    """Only one `up` or `down` at a time in a checkout; the second waits."""
    keep_private(state)
    deadline_s = time.monotonic() + LOCK_S
    with (state.root / "lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline_s:
                    raise StackError(
                        f"another `up` or `down` has held {file.name} for {LOCK_S:g} s"
                    ) from None
                time.sleep(0.1)
        yield

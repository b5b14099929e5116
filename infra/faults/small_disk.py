"""A disk that is small enough to be filled: a tmpfs over a directory, if this process may mount one
(Linux, CAP_SYS_ADMIN).
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

from infra.client.environment import for_server
from infra.stack.error import StackError

SIZE_BYTES = 128 * 1024 * 1024
COMMAND_S = 10.0
#: Its bit in the mask of capabilities (capabilities(7), linux/capability.h).
CAP_SYS_ADMIN = 21
STATUS = Path("/proc/self/status")
BALLAST = "ballast"
#: What was free may be taken by others before it is ours.
FILL_ATTEMPTS = 100


def may_mount(status: Path = STATUS) -> bool:
    """Whether this process can mount a tmpfs."""
    if sys.platform != "linux" or shutil.which("mount") is None:
        return False
    try:
        lines = status.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    masks = [int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")]
    return any(mask >> CAP_SYS_ADMIN & 1 for mask in masks)


def mount_small(directory: Path, size_bytes: int = SIZE_BYTES) -> None:
    """Put a small disk over an empty directory; raises StackError."""
    options = f"size={size_bytes},mode=0700,nosuid,nodev,noexec"
    _run("mount", "-t", "tmpfs", "-o", options, "locust-cdc", str(directory))


def unmount(directory: Path) -> None:
    """Remove the disk with everything on it, even while it is in use; it may be gone already."""
    if os.path.ismount(directory):
        _run("umount", "--lazy", str(directory))


def fill(directory: Path) -> None:
    """Leave no byte free on the disk of a directory, whoever else writes to it meanwhile; raises
    StackError where that does not succeed.
    """
    with (directory / BALLAST).open("ab") as ballast:
        for _ in range(FILL_ATTEMPTS):
            free = shutil.disk_usage(directory).free
            if not free:
                return
            try:
                os.posix_fallocate(ballast.fileno(), os.fstat(ballast.fileno()).st_size, free)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    raise StackError(f"the disk of {directory} cannot be filled: others make room there")


def empty(directory: Path) -> None:
    """Free the room that `fill` has taken; it may be free already."""
    (directory / BALLAST).unlink(missing_ok=True)


def _run(*command: str) -> None:
    try:
        done = subprocess.run(
            command,
            env=for_server(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StackError(f"{' '.join(command)} cannot be done: {error}") from error
    if done.returncode:
        raise StackError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")

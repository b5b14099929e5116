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
COPY_S = 60.0
#: The unit of st_blocks (stat(2)).
BLOCK_BYTES = 512
#: Names beside a directory that is moved: what it held, half a copy, and what is being removed.
KEPT, PART, GONE = "kept", "part", "gone"
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
    """Put a small disk over an empty directory, for its owner; raises StackError."""
    try:
        owner = directory.stat()
    except OSError as error:
        raise StackError(f"a disk over {directory} cannot be done: {error.strerror}") from error
    options = (
        f"size={size_bytes},mode=0700,uid={owner.st_uid},gid={owner.st_gid},nosuid,nodev,noexec"
    )
    _run("mount", "-t", "tmpfs", "-o", options, "locust-cdc", str(directory))


def unmount(directory: Path) -> None:
    """Remove the disk with everything on it, even while it is in use; it may be gone already."""
    if os.path.ismount(directory):
        _run("umount", "--lazy", str(directory))


def _beside(directory: Path, word: str) -> Path:
    return directory.with_name(f"{directory.name}.{word}")


def is_moved(directory: Path) -> bool:
    """Whether `move_onto` has begun and `move_back` has not ended."""
    return os.path.ismount(directory) or _beside(directory, KEPT).exists()


def move_onto(directory: Path, spare_bytes: int) -> None:
    """Move a directory onto a small disk with this much room left; nobody may use it meanwhile.

    What it holds is whole at any moment in one of two places: beside it, until everything is on the
    small disk, and there from then on. Raises StackError.
    """
    kept = _beside(directory, KEPT)
    directory.rename(kept)
    _make_like(kept, directory)
    mount_small(directory, _used_bytes(kept) + spare_bytes)
    _copy(kept, directory)
    _remove(kept)


def move_back(directory: Path) -> None:
    """Move a directory off its small disk, whatever `move_onto` or this function has reached; it
    may be back already.
    """
    kept, part = _beside(directory, KEPT), _beside(directory, PART)
    _remove(part)
    if os.path.ismount(directory) and not kept.exists():
        _make_like(directory, part)
        _copy(directory, part)
        part.rename(kept)
    if kept.exists():
        unmount(directory)
        _remove(directory)
        kept.rename(directory)


def _make_like(model: Path, directory: Path) -> None:
    """Make an empty directory of the model's owner."""
    found = model.stat()
    directory.mkdir(mode=0o700)
    os.chown(directory, found.st_uid, found.st_gid)


def _used_bytes(directory: Path) -> int:
    """The room on the disk; files with holes need less than their size."""
    return sum(path.lstat().st_blocks * BLOCK_BYTES for path in directory.rglob("*"))


def _copy(source: Path, target: Path) -> None:
    """Copy all files. Holes stay holes, and zeros stay zeros: PostgreSQL fills a segment with zeros
    so that later writes to it need no room.
    """
    _run("cp", "--archive", "--sparse=auto", f"{source}/.", str(target), limit_s=COPY_S)


def _remove(directory: Path) -> None:
    """Remove a directory, at one moment for whoever looks for it; there may be none."""
    gone = _beside(directory, GONE)
    shutil.rmtree(gone, ignore_errors=True)
    if directory.exists():
        shutil.rmtree(directory.rename(gone))


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


def _run(*command: str, limit_s: float = COMMAND_S) -> None:
    try:
        done = subprocess.run(
            command,
            env=for_server(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StackError(f"{' '.join(command)} cannot be done: {error}") from error
    if done.returncode:
        raise StackError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")

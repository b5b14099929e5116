"""Limits of this process and this machine that servers run into. A limit is raised if this process
may raise it; a limit that is too low is named before any server is started.

Our servers do not use inotify's watches, which other servers need.
"""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

from infra.stack.error import StackConfigError

#: Kafka keeps several files open for each partition, Connect its jars; each connection is a file
#: too.
NEEDED_FILES = 4096
WANTED_FILES = 65_536
#: PostgreSQL keeps what its processes share in POSIX shared memory (its documentation, "Shared
#: Memory and Semaphores"), and Docker gives a container 64 MB of it.
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux has POSIX shared memory
NEEDED_SHARED_BYTES = 16_000_000
#: Three Java servers have some sixty threads each, and PostgreSQL a process for each connection.
NEEDED_THREADS = 512


def look_at_limits(shared_memory: Path = SHARED_MEMORY) -> None:
    """Raise the limits that may be raised; raises StackConfigError with every limit that is too
    low.
    """
    short = [*_files(), *_threads(), *_shared_memory(shared_memory)]
    if short:
        raise StackConfigError("; ".join(short))


def _threads() -> list[str]:
    if os.geteuid() == 0:  # root may exceed it (setrlimit(2), RLIMIT_NPROC)
        return []
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    most = NEEDED_THREADS if hard == resource.RLIM_INFINITY else hard
    if most < NEEDED_THREADS:
        return [
            f"this user may have {most} threads here, and the servers need {NEEDED_THREADS}; raise"
            f" the hard limit (ulimit -Hu {NEEDED_THREADS}; in a container --ulimit"
            f" nproc={NEEDED_THREADS})"
        ]
    if soft != resource.RLIM_INFINITY and soft < NEEDED_THREADS:
        resource.setrlimit(resource.RLIMIT_NPROC, (hard, hard))
    return []


def _shared_memory(place: Path) -> list[str]:
    if not place.is_dir():
        return []  # not Linux: PostgreSQL uses another kind of shared memory
    if not os.access(place, os.W_OK | os.X_OK):
        return [
            f"{place} cannot be written to, and PostgreSQL keeps its shared memory there; make it"
            " writable (chmod 1777)"
        ]
    free = shutil.disk_usage(place).free
    if free < NEEDED_SHARED_BYTES:
        return [
            f"{place} has {free / 1e6:.0f} MB left, and PostgreSQL needs"
            f" {NEEDED_SHARED_BYTES / 1e6:.0f} MB of shared memory; remove what lies there, or"
            " enlarge it (in a container --shm-size=64m)"
        ]
    return []


def _files() -> list[str]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, WANTED_FILES)
    if most < NEEDED_FILES:
        return [
            f"a process may open {most} files here, and the servers need {NEEDED_FILES}; raise the"
            f" hard limit (ulimit -Hn {NEEDED_FILES}; in a container --ulimit"
            f" nofile={NEEDED_FILES})"
        ]
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return []

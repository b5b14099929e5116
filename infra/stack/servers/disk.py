"""Room on the disk: checked before servers are started, and named as the cause after a disk has
filled up.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from infra.stack.error import StackError

#: Enough for a fresh cluster, Kafka's logs and some minutes of load; with less, a run would stop in
#: the middle.
NEEDED_BYTES = 500_000_000
#: If less is free, the full disk is the most likely cause of a server's death.
EXHAUSTED_BYTES = 20_000_000
FULL = (errno.ENOSPC, errno.EDQUOT)
#: Errors of a home directory that is locked or read-only, as in many containers.
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)


@contextmanager
def room_for(what: str, place: Path, remedy: str) -> Iterator[None]:
    """Turn "no space left" and "not permitted" inside the block into a StackError with the thing
    that could not be written, its place, and the remedy.
    """
    try:
        yield
    except OSError as error:
        if error.errno in CLOSED:
            raise StackError(
                f"{error.filename or place} cannot be written to ({error.strerror}), which {what}"
                f" needs; make it writable, or {remedy}"
            ) from error
        if error.errno not in FULL:
            raise
        raise StackError(
            f"the disk is full: {what} does not fit into {place}; make room there, or {remedy}"
        ) from error


def check_room(places: Sequence[Path]) -> None:
    """Raise StackError that names every place with too little room for the servers' directories."""
    short = [
        f"{place} has {free / 1e6:.0f} MB"
        for place in places
        if (free := _free_bytes(place)) < NEEDED_BYTES
    ]
    if short:
        raise StackError(
            f"the disk is too full for the servers, which need {NEEDED_BYTES / 1e6:.0f} MB:"
            f" {', '.join(short)}; make room there, or use a checkout (as root: a TMPDIR) on"
            " another disk"
        )


def exhausted(places: Sequence[Path]) -> str | None:
    """The places that are full now, as a message; None if there is room."""
    full = [str(place) for place in places if _free_bytes(place) < EXHAUSTED_BYTES]
    return (
        f"the disk is full ({', '.join(full)}); make room there, and start again" if full else None
    )


def _free_bytes(place: Path) -> int:
    """Free bytes on the disk of a path, which need not exist."""
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free

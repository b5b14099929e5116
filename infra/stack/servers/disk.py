"""Room on the disk: looked for before servers are started, and named as the cause where it has run
out.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from infra.stack.error import StackError

#: A fresh cluster, Kafka's logs and some minutes of load; less would end in the middle of a run.
NEEDED_BYTES = 500_000_000
#: Below this a server that has died most likely died of it.
EXHAUSTED_BYTES = 20_000_000
FULL = (errno.ENOSPC, errno.EDQUOT)
#: A home that is locked or read-only, as in many containers.
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)


@contextmanager
def room_for(what: str, place: Path, remedy: str) -> Iterator[None]:
    """Turn "no space left" and "not permitted" inside into a StackError that says what could not
    be written where, and the remedy.
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
    """The places that are full by now, as a message; None where there is room."""
    full = [str(place) for place in places if _free_bytes(place) < EXHAUSTED_BYTES]
    return (
        f"the disk is full ({', '.join(full)}); make room there, and start again" if full else None
    )


def _free_bytes(place: Path) -> int:
    """Bytes that are free where a path is, or would be."""
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free

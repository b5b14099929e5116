"""Paths that every server can take: Java reads paths in comma lists, URLs, class paths and property
files. Each of these has its own special characters, and none has a way to quote them.
"""

from __future__ import annotations

import re
import tempfile
import uuid
from pathlib import Path

from infra.stack.error import StackConfigError

_PLAIN = re.compile(r"[A-Za-z0-9._/+@=~-]+")


def is_plain(path: Path) -> bool:
    """Whether a path means the same in all of these places."""
    return _PLAIN.fullmatch(str(path)) is not None


def meeting_place() -> Path:
    """The name of a directory through which files are reached by plain paths; `link` makes it.

    Raises StackConfigError if the system's temporary directory is no plain path either.
    """
    base = Path(tempfile.gettempdir())
    if not is_plain(base):
        raise StackConfigError(
            f"neither the checkout's path nor the temporary directory {str(base)!r} can be given to"
            " Java (letters, digits and ._/+@=~- alone can); set TMPDIR to another directory"
        )
    return base / f"locust-cdc-paths-{uuid.uuid4().hex[:12]}"


def link(place: Path, **targets: Path) -> list[Path]:
    """Make the directory, and in it one link to each target; returns their paths."""
    place.mkdir(mode=0o700)
    links = []
    for name, target in targets.items():
        target.mkdir(parents=True, exist_ok=True)
        (place / name).symlink_to(target.absolute())
        links.append(place / name)
    return links

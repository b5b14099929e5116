"""`python -m infra.pipelines.fetch`: downloads the files of the shipped pipelines, once for each
user.

A run with such a pipeline does the same before it creates anything.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.stack.artifacts.artifact import (
    DownloadProgress,
    fetch,
    locked,
    print_progress,
    unpacked,
)
from infra.stack.error import StackError

LOCK = Path(__file__).with_name("artifacts.json")


def distribution(name: str, environ: Mapping[str, str], progress: DownloadProgress) -> Path:
    """The directory of an archive in the lock, downloaded and unpacked; raises StackError."""
    (archive,) = locked(LOCK)[name]
    place = fetch([archive], environ, progress)[archive.name]
    return unpacked(place, environ, progress)


def libraries(name: str, environ: Mapping[str, str], progress: DownloadProgress) -> Sequence[Path]:
    """The jars of a set in the lock, downloaded; raises StackError."""
    return tuple(fetch(locked(LOCK)[name], environ, progress).values())


def main() -> int:
    """Download all of them."""
    try:
        for name, files in locked(LOCK).items():
            get = libraries if files[0].name.endswith(".jar") else distribution
            get(name, os.environ, print_progress)
    except StackError as error:
        print(error, file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())

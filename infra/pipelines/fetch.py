"""`python -m infra.pipelines.fetch`: downloads the files of the shipped pipelines, once for each
user.

A run with such a pipeline does the same before it creates anything.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from infra.stack.artifacts.artifact import DownloadProgress, fetch, locked, unpacked
from infra.stack.error import StackError

LOCK = Path(__file__).with_name("artifacts.json")


def distribution(name: str, environ: Mapping[str, str], progress: DownloadProgress) -> Path:
    """The directory of an archive in the lock, downloaded and unpacked; raises StackError."""
    (archive,) = locked(LOCK)[name]
    place = fetch([archive], environ, progress)[archive.name]
    return unpacked(place, environ, progress)


def main() -> int:
    """Download all of them."""
    try:
        for name in locked(LOCK):
            distribution(name, os.environ, lambda text: print(text, file=sys.stderr))
    except StackError as error:
        print(error, file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())

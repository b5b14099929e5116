"""The parts of a platform's contract with a run (docs/platform-contract.md) that all pipelines here
share.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from infra.stack.error import StackError
from infra.stack.supervise.state import CHECKOUT, state_of

#: The options that a run gives a reader of its database's log.
OF_READER = ("dsn", "slot", "publication", "endpoint")


def platform_parser(
    description: str | None, needed: Sequence[str] = OF_READER
) -> argparse.ArgumentParser:
    """The options that a run gives its platform; unused ones are accepted and ignored."""
    first_line = (description or "").partition("\n")[0]
    found = argparse.ArgumentParser(description=first_line, allow_abbrev=False)
    for name in needed:
        found.add_argument(f"--{name}", required=True)
    return found


def kept_directory(name: str, slot: str, checkout: Path = CHECKOUT) -> Path:
    """A directory that outlives a SIGKILL of its process, whose next start then finds its files."""
    return state_of(checkout).runs / f"{slot}-{name}"


@contextmanager
def _directory(name: str, kept: Path | None) -> Iterator[Path]:
    if kept is None:
        with tempfile.TemporaryDirectory(prefix=f"{name}-") as place:
            yield Path(place)
        return
    kept.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        yield kept
    finally:
        shutil.rmtree(kept, ignore_errors=True)


def run_in_directory(
    name: str,
    run: Callable[[Path], int],
    missing: tuple[type[Exception], ...] = (StackError,),
    kept: Path | None = None,
) -> int:
    """The exit code of what runs in a temporary directory of its own, or in a `kept_directory`; 3,
    with the reason, for an error that means that a server is missing or cannot be used.
    """
    try:
        with _directory(name, kept) as place:
            return run(place)
    except missing as error:
        print(error, file=sys.stderr)
        return 3


def say_ready() -> None:
    """Print the line that the run waits for."""
    print(json.dumps({"event": "platform.ready"}), flush=True)

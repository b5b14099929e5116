"""Refuses a missing locustfile like any other mistake: with the scenarios that exist, and exit code
2 (Locust's own code is 1, which stands for a failed run).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[3] / "locustfiles"
#: Other places for Locust's options; their contents are Locust's to read.
ELSEWHERE = ("--config", "-h", "--help", "-V", "--version", "--worker")
CONFIGURED = ("locust.conf", ".locust.conf")


def is_locust(arguments: Sequence[str]) -> bool:
    """Whether these words started Locust, as a program or as a module (`-m`)."""
    if "-m" in arguments:
        return arguments[arguments.index("-m") + 1 :][:1] == ["locust"]
    return any(Path(word).name == "locust" for word in arguments[:3])


def mistakes(arguments: Sequence[str], environ: Mapping[str, str], directory: Path) -> list[str]:
    """Mistakes in the named locustfiles of a directory, or that none is named."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-f", "--locustfile", default=environ.get("LOCUST_LOCUSTFILE", ""))
    named = parser.parse_known_args(list(arguments))[0].locustfile
    scenarios = ", ".join(_shown(path, directory) for path in sorted(PACKAGE.glob("[a-z]*.py")))
    if not named:
        if _said_elsewhere(arguments, directory):
            return []
        return [f"no locustfile is named, e.g. -f locustfiles/throughput.py; there are {scenarios}"]
    return [
        f"-f {path} is no locustfile; there are {scenarios}"
        for path in map(str.strip, named.split(","))
        if not (path == "-" or "://" in path or _is_locustfile(directory / path))
    ]


def _is_locustfile(path: Path) -> bool:
    return path.is_dir() or path.with_name(f"{path.name.removesuffix('.py')}.py").is_file()


def _said_elsewhere(arguments: Sequence[str], directory: Path) -> bool:
    if any(word.partition("=")[0] in ELSEWHERE for word in arguments):
        return True
    project = directory / "pyproject.toml"
    # Path.home() fails for a user without HOME whom the user database does not know.
    home = Path(os.path.expanduser("~"))  # noqa: PTH111
    return (
        _is_locustfile(directory / "locustfile.py")
        or any((place / name).exists() for place in (directory, home) for name in CONFIGURED)
        or (project.is_file() and b"[tool.locust" in project.read_bytes())
    )


def _shown(path: Path, directory: Path) -> str:
    return str(path.relative_to(directory) if path.is_relative_to(directory) else path)

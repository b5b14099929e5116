"""Asks whether an advisory is known for anything that this project pins: `python -m
tests.advisories`.

All locks are asked for in one request (OSV, "POST /v1/querybatch"): Python's packages, the jars,
and what the emulators are made of. It is a stage of `make check` and only warns there, because the
world changes and a revision does not; with `--fail` (`make check ARGS=--advisories`) an advisory is
a failure. No network is none: it says that it has skipped, after ten seconds at most.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.pin import pins

ROOT = Path(__file__).resolve().parent.parent
#: Names another server with the same interface.
VARIABLE = "CDC_ADVISORIES_URL"
URL = "https://api.osv.dev/v1/querybatch"
#: For everything: finding the server, asking it and reading what it says.
LIMIT_S = 10.0
#: What one request may ask for (OSV's documentation).
MOST = 1000


@dataclass(frozen=True, slots=True)
class Pinned:
    """One package of a lock, as OSV names it."""

    ecosystem: str
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.ecosystem} {self.name} {self.version}"

    def query(self) -> Mapping[str, object]:
        """One query of a request."""
        package = {"ecosystem": self.ecosystem, "name": self.name}
        return {"package": package, "version": self.version}


def pinned(root: Path = ROOT) -> list[Pinned]:
    """Everything that the locks of a checkout pin, each once."""
    stack = root / "infra" / "stack"
    found = {
        *_python((root / "constraints.txt").read_text(encoding="utf-8")),
        *_jars(_read(stack / "artifacts" / "artifacts.json")),
        *_jars(_read(root / "infra" / "pipelines" / "artifacts.json")),
        *_node(_read(stack / "emulators" / "kinesis" / "lock.json")),
        *_go((stack / "emulators" / "pubsub" / "go.mod").read_text(encoding="utf-8")),
    }
    return sorted(found, key=str)


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _python(constraints: str) -> Iterator[Pinned]:
    for line in pins(constraints):
        name, _, version = line.partition(";")[0].strip().partition("==")
        yield Pinned("PyPI", name, version)


def _jars(lock: Any) -> Iterator[Pinned]:
    for entries in lock["sets"].values():
        for entry in entries:
            group, artifact, version, _ = entry["path"].rsplit("/", 3)
            yield Pinned("Maven", f"{group.replace('/', '.')}:{artifact}", version)


def _node(lock: Any) -> Iterator[Pinned]:
    for place, package in lock["packages"].items():
        if place:
            yield Pinned("npm", place.rpartition("node_modules/")[2], package["version"])


def _go(module: str) -> Iterator[Pinned]:
    for name, version in re.findall(r"^(?:require )?\s*(\S+) v(\S+)", module, re.MULTILINE):
        yield Pinned("Go", name, version)


@dataclass(slots=True)
class AdvisoryAnswer:
    """What is known: the advisories' names by package, or why nobody could be asked."""

    found: dict[Pinned, list[str]] = field(default_factory=dict)
    skipped: str = ""


def ask(packages: Sequence[Pinned], url: str, limit_s: float = LIMIT_S) -> AdvisoryAnswer:
    """Ask the server at `url` for all of them; takes `limit_s` at most."""
    answer = AdvisoryAnswer(skipped=f"no answer within {limit_s:g} s")
    told: list[AdvisoryAnswer] = []
    # Neither a name that is looked up nor an answer that trickles in has a limit of its own.
    asking = threading.Thread(target=lambda: told.append(_ask(packages, url, limit_s)), daemon=True)
    asking.start()
    asking.join(limit_s)
    return told[0] if told else answer


def _ask(packages: Sequence[Pinned], url: str, limit_s: float) -> AdvisoryAnswer:
    answer = AdvisoryAnswer()
    try:
        for first in range(0, len(packages), MOST):
            some = packages[first : first + MOST]
            body = {"queries": [package.query() for package in some]}
            response = requests.post(url, json=body, timeout=limit_s)
            response.raise_for_status()
            answer.found |= advisories(some, response.json())
    except (requests.RequestException, ValueError) as error:
        return AdvisoryAnswer(skipped=f"no advisory source reachable ({type(error).__name__})")
    return answer


def advisories(packages: Sequence[Pinned], answer: Any) -> dict[Pinned, list[str]]:
    """The advisories of a batch, whose answers come in the order of the queries; raises ValueError
    for anything else.
    """
    results = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, list) or len(results) != len(packages):
        raise ValueError("the advisory source does not answer as OSV does")
    return {
        package: sorted(advisory["id"] for advisory in result["vulns"])
        for package, result in zip(packages, results, strict=True)
        if result.get("vulns")
    }


def main(arguments: Sequence[str]) -> int:
    """Print what is known; 1 where that is a failure."""
    top = argparse.ArgumentParser(prog="python -m tests.advisories", description=__doc__)
    top.add_argument("--fail", action="store_true", help="an advisory is a failure")
    options = top.parse_args(arguments)
    packages = pinned()
    answer = ask(packages, os.environ.get(VARIABLE) or URL)
    if answer.skipped:
        print(f"skipped: {answer.skipped}")
        return 0
    for package, names in answer.found.items():
        print(f"warning: {package}: {', '.join(names)}")
    print(f"{len(packages)} pinned packages, {len(answer.found)} of them with advisories")
    return 1 if answer.found and options.fail else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

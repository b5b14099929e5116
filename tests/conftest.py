"""For all tests: properties are judged by what they find, not by how long a shared machine takes.

Locust patches the standard library when it is imported, so tests that import it never share a
process with the others. Such a file says so by the marker `gevent`; it is collected only where that
marker is asked for (`pytest -m gevent`), or where the file itself is named.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

MARKED = re.compile(r"^pytestmark = pytest\.mark\.gevent$", re.MULTILINE)
WANTED = re.compile(r"(?<!not )\bgevent\b")


def _named(path: Path, config: pytest.Config) -> bool:
    return any(Path(str(argument).partition("::")[0]).resolve() == path for argument in config.args)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Keep files that import Locust, and all other files, to processes of their own."""
    if collection_path.suffix != ".py" or "unit" not in collection_path.parts:
        return None
    if _named(collection_path, config):
        return None
    wanted = bool(WANTED.search(config.getoption("markexpr")))
    marked = bool(MARKED.search(collection_path.read_text(encoding="utf-8")))
    return True if marked != wanted else None


def pytest_configure(config: pytest.Config) -> None:
    """Import Locust before anything that it must find unpatched, where its tests are asked for."""
    named = [Path(str(argument).partition("::")[0]) for argument in config.args]
    marked = any(
        path.is_file() and MARKED.search(path.read_text(encoding="utf-8")) for path in named
    )
    if WANTED.search(config.getoption("markexpr")) or marked:
        import locust  # noqa: F401

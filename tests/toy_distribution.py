"""A distribution that is installed for one test: modules and entry points in a directory that is
put on the path, as `pip install` would leave them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

NAME = "toy-plugins"


def install(
    site: Path, modules: Mapping[str, str], entries: Mapping[str, Mapping[str, str]]
) -> None:
    """Write modules (source by name) and entry points (by group: name to MODULE:ATTRIBUTE)."""
    for name, source in modules.items():
        (site / f"{name}.py").write_text(source, encoding="utf-8")
    information = site / f"{NAME.replace('-', '_')}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n")
    lines = [
        line
        for group, points in entries.items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in points.items()))
    ]
    (information / "entry_points.txt").write_text("\n".join(lines) + "\n")

"""The last lines of the logs of what a run has started, for the page's LOGS tab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

MOST_LINES = 200
MOST_BYTES = 64 * 1024


def tails(places: Mapping[str, Path]) -> dict[str, Sequence[str]]:
    """By name (`stack: kafka`) the last lines of every log below these directories."""
    return {
        f"{title}: {path.stem}": tail(path)
        for title, place in places.items()
        if place.is_dir()
        for path in sorted(place.glob("*.log"))
    }


def tail(path: Path) -> list[str]:
    """The last lines of a file, without reading all of it."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - MOST_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    lines = text.splitlines()
    return (lines[1:] if size > MOST_BYTES else lines)[-MOST_LINES:]

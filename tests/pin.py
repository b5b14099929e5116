"""Keeps `uv run` on the pinned versions: copies them from constraints.txt into pyproject's
`[tool.uv]`.

`uv run` resolves the project by itself and reads constraints from pyproject.toml alone, so `make
lock` calls `python -m tests.pin` after it has made constraints.txt, and `python -m tests.pin
--clear` before, so that the old pins do not hold the new ones back. A test compares the two.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^constraint-dependencies = \[\n(?:    .*\n)*\]$", re.MULTILINE)


def pins(constraints: str) -> list[str]:
    """Every pinned package of a hash-checked constraints file, without hashes, with its marker."""
    lines = [
        line.removesuffix("\\").strip()
        for line in constraints.splitlines()
        if not line.startswith((" ", "#"))
    ]
    return [line for line in lines if "==" in line]


def pinned(pyproject: str, wanted: list[str]) -> str:
    """pyproject's text with these constraints for uv; raises ValueError where it has no place for
    them.
    """
    if len(BLOCK.findall(pyproject)) != 1:
        raise ValueError("pyproject.toml has no `constraint-dependencies = [` under [tool.uv]")
    lines = "".join(f'    "{pin}",\n' for pin in wanted)
    return BLOCK.sub(lambda _: f"constraint-dependencies = [\n{lines}]", pyproject)


def main(arguments: list[str]) -> int:
    """Rewrite pyproject.toml."""
    wanted = (
        []
        if arguments == ["--clear"]
        else pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    )
    pyproject = ROOT / "pyproject.toml"
    pyproject.write_text(pinned(pyproject.read_text(encoding="utf-8"), wanted), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

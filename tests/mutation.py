"""Whether the tests would notice: fixes that are taken out again one by one, each of which makes a
named test fail.

A mutation is a text of a product file that is replaced in a scratch copy of the project. `make
soak` runs all of them (tests/unit/test_mutation.py); `python -m tests.mutation [WORD]` those whose
name has the word. To add one, add an entry to the tuple of its kind in tests/mutations/.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.mutations.limit import BOUNDS, WAITS
from tests.mutations.mutation import Mutation
from tests.mutations.position import BOOKS, POSITIONS
from tests.mutations.row import SHAPES, UNTOLD

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("infra", "cdc_users", "locustfiles", "tests", "pyproject.toml")
TEST_S = 300
#: What pytest ends with where tests have failed; any other number is no proof.
FAILED = 1

MUTATIONS = (*POSITIONS, *SHAPES, *BOOKS, *BOUNDS, *WAITS, *UNTOLD)


def survives(mutation: Mutation, root: Path = ROOT) -> str:
    """Run the mutation's test on a copy without its fix; what is wrong, or nothing where it failed
    as it must.
    """
    with tempfile.TemporaryDirectory(prefix="cdc-mutation-") as directory:
        copy = Path(directory)
        for name in COPIED:
            _copied(root / name, copy / name)
        file = copy / mutation.path
        file.write_text(mutation.applied(file.read_text(encoding="utf-8")), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
        try:
            done = subprocess.run(
                [*command, mutation.test],
                cwd=copy,
                capture_output=True,
                text=True,
                check=False,
                timeout=TEST_S,
            )
        except subprocess.TimeoutExpired:
            return ""  # without the fix it hangs: that is noticed
    if done.returncode == FAILED:
        return ""
    return f"{mutation.name}: {mutation.test} ended with {done.returncode}: {done.stdout[-2000:]}"


def _copied(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def main(words: Sequence[str]) -> int:
    """Run the mutations whose name has one of the words, all without any; says what survives."""
    chosen = [each for each in MUTATIONS if not words or any(word in each.name for word in words)]
    found = 0
    for mutation in chosen:
        wrong = survives(mutation)
        print(wrong or f"noticed: {mutation.name}", flush=True)
        found += bool(wrong)
    return 1 if found or not chosen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

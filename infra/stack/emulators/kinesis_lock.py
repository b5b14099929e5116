"""Makes kinesis/lock.json: names, versions and integrity hashes, and no address (for maintainers:
`make lock`).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from infra.stack.emulators.kinesis import LOCK, NPM_ARGUMENTS, NPM_LOCK, SOURCE, node

KEPT = ("version", "integrity", "dependencies", "engines", "license", "name")


def plain(lock: dict[str, Any]) -> dict[str, Any]:
    """The part of a lock that an installation needs: without optional packages and addresses."""
    packages = {
        place: {name: value for name, value in entry.items() if name in KEPT}
        for place, entry in lock["packages"].items()
        if not entry.get("optional")
    }
    return {
        "name": lock["name"],
        "version": lock["version"],
        "lockfileVersion": 3,
        "requires": True,
        "packages": packages,
    }


def main() -> int:
    """Resolve package.json again and write the lock."""
    npm = [node() / "bin" / "node", node() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]
    with tempfile.TemporaryDirectory() as work:
        package = Path(work, "package.json")
        package.write_bytes((SOURCE / "package.json").read_bytes())
        subprocess.run(
            [*map(str, npm), "install", "--package-lock-only", *NPM_ARGUMENTS], cwd=work, check=True
        )
        lock = json.loads(Path(work, NPM_LOCK).read_text(encoding="utf-8"))
    text = json.dumps(plain(lock), indent=1) + "\n"
    (SOURCE / LOCK).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The wheel: what the packages need at run time is in it, data files too."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from tests.pin import ROOT

PACKAGES = ("locustfiles", "cdc_users", "infra")


def test_the_wheel_holds_every_file_of_the_packages(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--target",
        "wheel",
        "--directory",
        str(tmp_path),
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())

    found = {path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()}
    needed = {str(path.relative_to(ROOT)) for path in found if "__pycache__" not in path.parts}
    assert {
        "infra/stack/artifacts/artifacts.json",
        "infra/stack/docker/files/docker-compose.yml",
    } < needed
    assert needed <= held

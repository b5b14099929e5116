"""Pinned packages: one set of versions, whoever installs them, and no address of a registry
anywhere.
"""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.pin import ROOT, pinned, pins

CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8")
SLIM = (ROOT / "constraints-slim.txt").read_text(encoding="utf-8")
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_uv_is_held_to_the_versions_that_pip_installs() -> None:
    assert tomllib.loads(PYPROJECT)["tool"]["uv"]["constraint-dependencies"] == pins(CONSTRAINTS), (
        "run `make lock`"
    )
    assert pinned(PYPROJECT, pins(CONSTRAINTS)) == PYPROJECT


@pytest.mark.parametrize("text", [CONSTRAINTS, SLIM], ids=["all", "slim"])
def test_every_pin_is_checked_by_hash_and_no_address_is_named(text: str) -> None:
    blocks = re.split(r"\n(?=\S)", text.strip())

    assert len(blocks) == len(pins(text)) > 50
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text


def test_a_slim_environment_has_the_same_versions_and_leaves_the_large_ones_out() -> None:
    slim, everything = ({pin.split(" ;")[0] for pin in pins(text)} for text in (SLIM, CONSTRAINTS))

    assert slim < everything, "run `make lock`"
    left_out = {pin.partition("==")[0] for pin in everything - slim}
    assert {"pyiceberg", "pyarrow", "boto3", "grpcio", "mypy", "playwright"} <= left_out
    assert {"locust", "jgo", "pytest", "hatchling"} <= {pin.partition("==")[0] for pin in slim}


def test_a_marker_stays_with_its_pin() -> None:
    text = "a==1 ; sys_platform == 'win32' \\\n    --hash=sha256:0\nb==2 \\\n    --hash=sha256:1\n"

    assert pins(text) == ["a==1 ; sys_platform == 'win32'", "b==2"]


def test_a_file_without_a_place_for_pins_is_refused() -> None:
    with pytest.raises(ValueError, match="constraint-dependencies"):
        pinned("[tool.uv]\n", ["a==1"])

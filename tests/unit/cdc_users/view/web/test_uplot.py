"""The chart library is the one that was published, and nothing of it asks for a network."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import cdc_users.view.web

PLACE = Path(cdc_users.view.web.__file__).parent / "static" / "uplot"


def test_its_files_are_as_they_were_published() -> None:
    lines = (PLACE / "SHA256SUMS").read_text("ascii").splitlines()
    sums = {name: told for told, name in map(str.split, lines)}

    assert set(sums) == {"uPlot.iife.min.js", "uPlot.min.css", "LICENSE"}
    for name, told in sums.items():
        assert hashlib.sha256((PLACE / name).read_bytes()).hexdigest() == told, name


def test_it_can_be_put_into_a_page_and_loads_nothing() -> None:
    text = (PLACE / "uPlot.iife.min.js").read_text("utf-8")

    assert "</script" not in text
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|eval\(|new Function", text)

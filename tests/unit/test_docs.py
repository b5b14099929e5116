"""Pages name what there is."""

from __future__ import annotations

import re
from pathlib import Path

from cdc_users.observe.declaration import tap_kinds
from infra.platform.sinks.plugin import sinks

ROOT = Path(__file__).resolve().parents[2]


def test_the_observers_page_names_every_kind_of_tap_with_what_it_needs() -> None:
    text = (ROOT / "docs" / "observer.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| .+ \| ([^|]+) \|$", text, re.MULTILINE))

    assert sorted(rows) == list(tap_kinds().by_name)
    for name, tap in tap_kinds().by_name.items():
        assert [part for part in (*tap.needs, *tap.either) if f"`{part}`" not in rows[name]] == []


def test_the_benchmarks_page_names_every_comparison() -> None:
    folder = ROOT / "tests" / "benchmark"
    text = (folder / "README.md").read_text(encoding="utf-8")
    named = {*folder.glob("*_comparison.py"), *folder.glob("*_figures.py"), folder / "auditor.py"}

    assert [path.stem for path in named if f"`{path.stem}" not in text] == []


def test_the_architecture_names_every_room() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = [
        path.parent
        for room in ("cdc_users", "infra")
        for path in (ROOT / room).glob("*/__init__.py")
    ]

    assert [room.name for room in rooms if f"{room.parent.name}/{room.name}" not in text] == []


def test_every_relative_link_leads_somewhere() -> None:
    pages = [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / "tests").rglob("*.md")]
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]

    assert broken == []


def test_the_platforms_page_names_every_sink() -> None:
    text = (ROOT / "docs" / "platform.md").read_text(encoding="utf-8")

    assert [
        name for name in sinks().by_name if f"| `{name}`" not in text and f"`{name}` (" not in text
    ] == []

"""The declared series, and the places that read them."""

from __future__ import annotations

import re
from pathlib import Path

from cdc_users.measure.judgement.threshold import METRICS
from cdc_users.measure.latency import series

ROOT = Path(__file__).resolve().parents[5]
DOCUMENT = ROOT / "docs" / "metrics.md"
#: Enough of the parts in a row to be a list of them.
FIRST = ("commit", "capture", "fetch")


def documented() -> list[tuple[str, ...]]:
    """The table of series in docs/metrics.md."""
    section = DOCUMENT.read_text(encoding="utf-8").partition("## Series")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \|$", section, re.MULTILINE)


def test_the_page_explains_every_series_as_it_is_declared() -> None:
    declared = [(one.name, one.side, one.meaning) for one in series.SERIES]

    assert documented() == declared


def test_every_judged_series_can_stand_in_a_threshold() -> None:
    assert {name.partition(".")[0] for name in METRICS if name.endswith(".p99")} >= {*series.JUDGED}
    assert "loop_lag.p99" not in METRICS


def test_a_part_of_the_way_has_a_box_of_its_own() -> None:
    assert len(set(series.BOXES)) == len(series.WAY) == len(set(series.PARTS))


def test_no_other_file_keeps_a_list_of_the_parts() -> None:
    together = re.compile(".{0,60}".join(f"[\"']{part}[\"']" for part in FIRST), re.DOTALL)
    product = [
        *(ROOT / "cdc_users").rglob("*.py"),
        *(ROOT / "cdc_users").rglob("*.js"),
    ]
    lists = [path.name for path in product if together.search(path.read_text(encoding="utf-8"))]

    assert lists == []

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


def test_names_of_a_series_are_unique_and_its_label_is_one_for_people() -> None:
    assert len(series.BY_NAME) == len(series.SERIES)
    assert series.BY_NAME["sink_write"].label == "sink write"
    assert all(series.BY_NAME[name].name == name for name in series.BY_NAME)


def test_an_event_waits_in_the_topic_for_the_platform_and_in_its_queues_for_the_sink() -> None:
    assert series.AWAITED == {
        "commit": "source",
        "capture": "capture",
        "fetch": "platform",
        "queue": "sink",
        "sink_write": "sink",
    }


def test_results_have_the_judged_series_of_either_side_and_no_other() -> None:
    sink, generator = series.of_side("sink"), series.of_side("generator")

    assert sink == ("end_to_end", "durable", *series.PARTS)
    assert generator == ("response", "service", "send_delay")
    assert (*sink, *generator) == series.JUDGED


def test_a_series_from_the_intended_start_is_one_that_a_dropped_arrival_counts_in() -> None:
    begun = {one.name for one in series.SERIES if one.from_intended}

    assert begun == {"end_to_end", "durable", "commit", "own_delay", "response", "send_delay"}
    assert all(("from the intended" in one.meaning) <= one.from_intended for one in series.SERIES)


def test_charts_show_the_parts_in_their_order_and_of_the_generator_what_is_judged() -> None:
    charted = series.charted()

    assert [(name, colour) for name, _, colour in charted["parts"]] == [
        (name, place) for place, name in enumerate(series.PARTS, start=1)
    ]
    assert [name for name, *_ in charted["generator"]] == list(series.of_side("generator"))

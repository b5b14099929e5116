"""report.html in a real browser: from disk, without a network, on a telephone and on paper."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from cdc_users.measure.judgement.result import Verdict
from cdc_users.report import remake
from tests.scenarios.browser import PHONE, Theme, window
from tests.unit.made_result import STAGES_MS, recorder, result, step_result

#: An A4 sheet across, without its margins of 10 mm, in CSS pixels.
PAPER = (1047, 718)
CUT_OFF = """
() => [...document.querySelectorAll("table, canvas")]
  .filter((item) => item.getBoundingClientRect().right > innerWidth)
  .map((item) => item.closest("section").ariaLabel)
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_report_opens_from_disk_without_a_network(
    launched: Browser, theme: Theme, tmp_path: Path
) -> None:
    path = made_report(tmp_path)
    with window(launched, theme=theme, offline=True) as opened:
        opened.page.goto(path.as_uri())
        expect(opened.page.locator(".verdict h2")).to_have_text("⊘ INVALID")
        expect(opened.page.locator("#timeline .cdc-plot").first).to_have_attribute(
            "data-points", "30"
        )
        expect(opened.page.locator("#percentiles .cdc-plot").first).to_be_visible()
        expect(opened.page.locator("#split .cdc-piece").first).to_be_visible()

        assert opened.page.locator("body").get_attribute("data-theme") == theme
        assert opened.page.locator("s").count() > 10
        assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert opened.grave_violations() == []
        assert opened.problems == []


def made_report(place: Path) -> Path:
    """A report of made figures: what is tested is the page, and a run would only make it slower."""
    made = result(
        Verdict.INVALID,
        ["the generator was behind its plan"],
        steps=[step_result("a"), step_result("b")],
    )
    for step in made.steps:
        for name, histogram in recorder(end_to_end=10.0, response=3.0, **STAGES_MS).series.items():
            (place / f"{step.name}.{name}.hgrm").write_text(histogram.hgrm(), encoding="utf-8")
    head = (
        "elapsed_s,step,stage,offered_per_s,sent_per_s,delivered_per_s,"
        "p50_ms,p99_ms,max_ms,backlog,uss_mb,rss_mb"
    )
    rows = [
        f"{second}.0,{'ab'[second // 15]},x,100,99,98,5,9,20,{second},50,80" for second in range(30)
    ]
    (place / "timeline.csv").write_text("\n".join([head, *rows]), encoding="utf-8")
    (place / "result.json").write_text(json.dumps(made.to_json()), encoding="utf-8")
    return remake.write(place, made)


def test_the_report_is_no_wider_than_a_telephone(launched: Browser, tmp_path: Path) -> None:
    path = made_report(tmp_path)
    with window(launched, PHONE, "dark", offline=True) as opened:
        opened.page.goto(path.as_uri())
        expect(opened.page.locator("#timeline .cdc-plot").first).to_be_visible()

        assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert opened.grave_violations() == []
        assert opened.problems == []


def test_no_table_and_no_chart_is_cut_off_on_paper(launched: Browser, tmp_path: Path) -> None:
    path = made_report(tmp_path)
    with window(launched, theme="dark", offline=True) as opened:
        page = opened.page
        page.goto(path.as_uri())
        expect(page.locator("#timeline .cdc-plot").first).to_be_visible()
        printed = page.pdf(prefer_css_page_size=True)
        page.emulate_media(media="print")
        page.set_viewport_size({"width": PAPER[0], "height": PAPER[1]})

        assert page.evaluate(CUT_OFF) == []
        assert 3 <= printed.count(b"/Type /Page\n") <= 9
        assert page.locator(".cdc-tools:visible").count() == 0
        assert opened.problems == []

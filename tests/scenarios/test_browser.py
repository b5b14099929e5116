"""What people see, in a real browser on a real run: form, tab, themes, downloads, the report
without a network.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from infra.stack.endpoints import Endpoints
from tests.scenarios.browser import DESKTOP, PHONE, Window, window
from tests.scenarios.site import Site, open_form, opened_site

DEADLINE_MS = 90_000
SECONDS = 4
CANARY = "canary-5e1d2b"
#: What each scenario's form shows before anything is unfolded.
LEADS = {
    "throughput": {"rows", "rate", "duration", "sink"},
    "wal": {"rows", "rate", "duration", "sink"},
    "backpressure": {"sink_delay", "overload", "fill", "hold"},
    "partitions": {"partitions", "instances", "sinks", "records"},
    "latency": {"sinks", "records", "rate", "duration"},
}
#: Keeps what the system is asked to show, and lets the page be one that nobody looks at.
NOTED = """
window.told = [];
window.away = false;
window.Notification = class extends window.Notification {
  constructor(title, options) {
    super(title, options);
    window.told.push([title, options.body]);
  }
};
Object.defineProperty(document, "hidden", { get: () => window.away });
"""
VERDICT = re.compile("PASS|FAIL|INVALID|ERROR|STACK")


@pytest.fixture(scope="module")
def site(launched: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with opened_site(tmp_path_factory.mktemp("site"), {"PGPASSWORD": CANARY}) as started:
        yield started


def fill(page: Page, site: Site, **options: str) -> None:
    """Choose the throughput scenario in Locust's form and fill its options."""
    page.goto(site.url)
    choose(page, "throughput")
    for name, value in options.items():
        page.fill(f'input[name="{name}"]', value)


def choose(page: Page, scenario: str) -> None:
    page.locator(f'[data-scenario="{scenario}"]').click()


def shown(page: Page) -> set[str]:
    """The options whose fields can be seen."""
    names = page.locator(".cdc-field:visible .cdc-help").evaluate_all(
        "all => all.map(help => help.id.replace('cdc-help-', ''))"
    )
    return set(names)


def unfold(page: Page) -> None:
    for title in page.locator('.cdc-group:visible[aria-expanded="false"]').all_text_contents():
        page.locator(f'.cdc-group[data-group="{title}"]').click()


def start(page: Page) -> None:
    """Start what the form says; the page lands where the run is followed."""
    open_form(page)
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#cdc-tab")).to_be_visible(timeout=DEADLINE_MS)
    page.keyboard.press("Escape")  # on a phone Locust's menu still lies over the page


def points(page: Page, chart: str) -> int:
    return int(page.locator(f'[data-chart="{chart}"] .cdc-plot').get_attribute("data-points") or 0)


def test_a_mistake_is_explained_where_it_was_made_and_starts_nothing(
    site: Site, launched: Browser
) -> None:
    before = site.state()
    with window(launched) as opened:
        fill(opened.page, site, rows="many")
        expect(opened.page.locator("#cdc-help-rows[data-mistake]")).to_contain_text(
            "'many' is not a whole number"
        )
        opened.page.get_by_role("button", name="Start", exact=True).click()
        expect(opened.page.get_by_role("alert").filter(has_text="--rows")).to_contain_text(
            "is not a whole number"
        )

        assert site.state() == before


def test_each_scenarios_form_is_one_screen_of_what_it_reads_with_start_in_sight(
    site: Site, launched: Browser
) -> None:
    with window(launched) as opened:
        page = opened.page
        page.goto(site.url)
        expect(page.locator('[data-scenario="throughput"]')).to_have_attribute(
            "aria-checked", "true"
        )
        for scenario in LEADS:
            choose(page, scenario)
            expect(page.locator(".cdc-scenario ol li").first).to_contain_text(scenario)
            assert shown(page) == LEADS[scenario]
            assert page.evaluate("document.documentElement.scrollHeight") <= DESKTOP[1]
            assert page.evaluate("document.documentElement.scrollWidth") <= DESKTOP[0]
        unfold(page)
        assert shown(page) & {"overload", "rows", "stages", "repeat"} == set()
        assert {"sinks", "batch_size", "smoke", "threshold"} <= shown(page)
        page.mouse.wheel(0, 300)
        expect(page.get_by_role("button", name="Start", exact=True)).to_be_in_viewport()
        assert opened.grave_violations() == []
        assert opened.problems == []


def test_switches_and_boxes_say_what_a_text_would(site: Site, launched: Browser) -> None:
    with window(launched) as opened:
        page = opened.page
        page.goto(site.url)
        choose(page, "latency")
        page.get_by_role("checkbox", name="iceberg", exact=True).uncheck()
        expect(page.locator(".cdc-scenario ol li")).to_have_count(2)
        expect(page.locator(".cdc-preset")).to_have_attribute(
            "href", "?scenario=latency&sinks=postgres%2Cwebhook"
        )
        unfold(page)
        page.get_by_role("switch", name="Smoke").check()
        expect(page.locator(".cdc-preset")).to_have_attribute("href", re.compile("smoke=yes"))
        page.get_by_role("checkbox", name="iceberg", exact=True).check()
        page.get_by_role("switch", name="Smoke").uncheck()
        expect(page.locator(".cdc-preset")).to_have_attribute("href", "?scenario=latency")


def test_a_link_fills_the_form_and_what_another_scenario_does_not_read_is_emptied(
    site: Site, launched: Browser
) -> None:
    with window(launched) as opened:
        page = opened.page
        page.goto(f"{site.url}/?scenario=throughput&rows=1k&lanes=3&platform=/bin/true")
        expect(page.locator(".cdc-scenario ol li")).to_have_text(
            re.compile("1,000 arrivals at once, 3 lanes")
        )
        assert "lanes" in shown(page)
        choose(page, "backpressure")
        expect(page.locator(".cdc-preset")).to_have_attribute(
            "href", "?scenario=backpressure&lanes=3"
        )
        expect(page.locator(".cdc-mistakes")).to_have_count(0)


def test_a_mistake_marks_its_own_field_alone(site: Site, launched: Browser) -> None:
    with window(launched) as opened:
        fill(opened.page, site, rate="5")
        expect(opened.page.locator("#cdc-help-rate")).to_have_text(
            "--rate needs --duration, e.g. --duration 30s"
        )
        assert opened.page.locator("[data-mistake]").count() == 1
        assert opened.page.locator('.cdc-field [aria-invalid="true"]').count() == 1


def test_the_form_says_what_will_run_and_is_free_of_grave_violations(
    site: Site, launched: Browser
) -> None:
    with window(launched) as opened:
        fill(opened.page, site, rows="20,30")
        expect(opened.page.locator(".cdc-scenario ol li")).to_have_count(2)
        expect(opened.page.locator(".cdc-scenario")).to_contain_text(
            "throughput-20-rows: burst, 20 arrivals at once"
        )

        assert opened.grave_violations() == []
        assert opened.problems == []


def test_a_run_is_followed_from_the_form_to_its_verdict_and_its_downloads(
    stack: Endpoints, site: Site, launched: Browser
) -> None:
    with window(launched) as opened:
        page = opened.page
        page.goto(f"{site.url}/?scenario=throughput&rate=50&duration={SECONDS}s&smoke=yes")
        expect(page.locator(".cdc-scenario")).to_contain_text("50 arrivals/s for 4 s")
        start(page)
        _follow(page)
        _conclude(page, site)
        _end_state(page)
        _zoom(page)
        _check_themes(opened)
        _download(page, site)

        assert opened.problems == []
        assert_secret_nowhere(site, page)


def _follow(page: Page) -> None:
    delivered = page.locator('[data-chart="Events per second"] .cdc-last').nth(2)
    expect(page.locator(".cdc-now")).to_contain_text(re.compile(r"Preparing .+ · \d+:\d\d"))
    assert page.locator("#cdc-tab canvas").count() == 0
    expect(page.locator("[data-stage=sink]")).to_contain_text("counting", timeout=DEADLINE_MS)
    expect(delivered).to_have_text(re.compile(r"\d"), timeout=DEADLINE_MS)
    before = points(page, "Events per second")
    page.wait_for_function(
        'before => +document.querySelector(\'[data-chart="Events per second"]'
        " .cdc-plot').dataset.points > before",
        arg=before,
        timeout=DEADLINE_MS,
    )
    expect(page.locator(".cdc-words")).to_have_text(
        re.compile(r"pipeline keeps up|bottleneck is|Nothing has arrived")
    )


def _conclude(page: Page, site: Site) -> None:
    expect(page.locator(".cdc-verdict strong")).to_have_text(VERDICT, timeout=DEADLINE_MS)
    expect(page.locator("#cdc-tab table", has_text="complete")).to_be_visible()
    state = site.state()
    (timeline,) = site.results.glob("*/timeline.csv")
    seconds = len(timeline.read_text(encoding="utf-8").splitlines()) - 1
    page.wait_for_function(
        "count => +document.querySelector('.cdc-plot').dataset.points === count",
        arg=state["count"],
    )

    assert state["verdict"]["verdict"] == "PASS", state["verdict"]
    assert (
        points(page, "Events per second")
        == points(page, "End-to-end latency")
        == seconds
        == state["count"]
    )
    assert seconds >= SECONDS
    page.locator('[data-chart="Events per second"] summary').click()
    expect(page.locator('[data-chart="Events per second"] tbody tr')).to_have_count(seconds)


def _end_state(page: Page) -> None:
    """The figures of the run, its report, the command, and the list of runs that holds it."""
    expect(page.locator('[data-tile="verdict"]')).to_contain_text("PASS")
    expect(page.locator('[data-tile="delivered"]')).to_contain_text(f"{50 * SECONDS}")
    expect(page.locator(".cdc-command")).to_contain_text("locust -f locustfiles/throughput.py")
    expect(page.locator("#cdc-tab").get_by_text("bottleneck", exact=True)).to_have_count(
        page.locator(".cdc-narrow").count()
    )
    report = page.get_by_role("link", name="Open the report").get_attribute("href")
    newest = page.locator('[aria-label="Table: runs"] tbody a').first
    expect(newest).to_have_attribute("href", report or "no report")
    assert page.title().startswith("PASS: throughput")
    answer = page.request.get(f"{page.url.partition('/?')[0]}{report}")
    assert "Consolidated results" in answer.text()


def _zoom(page: Page) -> None:
    """Dragging over one chart zooms all charts over time; a double click brings them back."""
    first, other = (
        page.locator(f'[data-chart="{title}"] .u-over')
        for title in ("Events per second", "Backlog by place")
    )
    axis = "element => element.closest('.cdc-plot').dataset.shown"
    whole = other.evaluate(axis)
    first.scroll_into_view_if_needed()
    box = first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 40, steps=4)
    page.mouse.up()
    assert other.evaluate(axis) == first.evaluate(axis) != whole
    first.dblclick()
    assert other.evaluate(axis) == whole


def _check_themes(opened: Window) -> None:
    for theme in ("light", "dark"):
        expect(opened.page.locator(f'#cdc-tab[data-theme="{theme}"]')).to_be_visible()
        assert opened.grave_violations() == [], theme
        if theme == "light":
            opened.page.locator("header button").last.click()
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    opened.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    expect(opened.page.locator("[data-stage=sink]")).to_be_visible()
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    opened.page.set_viewport_size({"width": 1280, "height": 800})


def _download(page: Page, site: Site) -> None:
    page.get_by_role("tab", name="Download Data").click()
    (place,) = site.results.glob("*/result.json")
    result = json.loads(place.read_text(encoding="utf-8"))
    texts = {}
    for title in ("CDC statistics CSV", "CDC timeline CSV", "result.json"):
        with page.expect_download() as waiting:
            page.get_by_role("link", name=f"Download {title}").click()
        texts[title] = Path(waiting.value.path()).read_text(encoding="utf-8")
    (row,) = csv.DictReader(texts["CDC statistics CSV"].splitlines())
    seconds = list(csv.DictReader(texts["CDC timeline CSV"].splitlines()))

    assert json.loads(texts["result.json"]) == result
    assert int(row["delivered"]) == result["steps"][0]["ledger"]["delivered"] == 50 * SECONDS
    assert int(seconds[-1]["delivered"]) == 50 * SECONDS
    href = page.get_by_role("link", name="Download CDC report").get_attribute("href")
    assert "Consolidated results" in requests.get(f"{site.url}{href}", timeout=30).text


def test_a_run_that_fails_tells_who_looks_at_something_else_why_and_is_red(
    stack: Endpoints, site: Site, launched: Browser
) -> None:
    with window(launched, permissions=["notifications"]) as opened:
        page = opened.page
        page.add_init_script(NOTED)
        page.goto(f"{site.url}/?scenario=throughput&rows=20&smoke=yes&threshold=delivered>99")
        start(page)
        expect(page.locator(".cdc-now")).to_be_visible(timeout=DEADLINE_MS)
        page.get_by_role("tab", name="Statistics").click()
        page.evaluate("window.away = true")
        page.wait_for_function("window.told.length > 0", timeout=DEADLINE_MS)
        assert page.evaluate("window.told.map(([title]) => title)") == ["throughput: FAIL"]
        assert page.title().startswith("FAIL: throughput")
        page.evaluate("window.away = false")
        page.get_by_role("tab", name="CDC").click()
        expect(page.locator(".cdc-verdict strong")).to_have_text("FAIL", timeout=DEADLINE_MS)
        expect(page.locator(".cdc-reasons")).to_contain_text("delivered")
        expect(page.locator('[data-tile="verdict"][data-alarm]')).to_contain_text("FAIL")

        assert opened.grave_violations() == []
        assert opened.problems == []


def test_a_run_that_is_stopped_is_invalid_and_its_figures_are_struck_through(
    stack: Endpoints, site: Site, launched: Browser
) -> None:
    with window(launched, PHONE, "dark") as opened:
        page = opened.page
        page.goto(f"{site.url}/?scenario=throughput&rate=50&duration=600s&smoke=yes")
        start(page)
        expect(page.locator("[data-stage=sink]")).to_be_visible(timeout=DEADLINE_MS)
        site.stop()
        expect(page.locator(".cdc-verdict strong")).to_have_text("INVALID", timeout=DEADLINE_MS)
        struck = page.locator(".cdc-unusable .cdc-stage dd").first
        assert "line-through" in struck.evaluate("item => getComputedStyle(item).textDecoration")

        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert opened.grave_violations() == []
        assert opened.problems == []
    assert _logs_of_all(site)


def _logs_of_all(site: Site) -> bool:
    """LOGS has what the servers and the run's own processes say."""
    told = requests.get(f"{site.url}/logs", timeout=30).json()["workers"]
    return {name.partition(":")[0] for name in told} >= {"run"}


def assert_secret_nowhere(site: Site, page: Page) -> None:
    """A password of the environment is in no page, file or log."""
    assert CANARY not in page.content()
    assert CANARY not in requests.get(site.url, timeout=30).text
    for path in (site.log, *(path for path in site.results.rglob("*") if path.is_file())):
        assert CANARY.encode() not in path.read_bytes(), path

"""The pictures in docs/images: `python -m tests.scenarios.pictures` takes them on real runs.

The start form, and three runs from the web UI: one that passes, one that fails and one that is
stopped. Tab and report of each, and the charts of the first, at the size of a desktop and of a
telephone, in both themes. Bring a stack up before (`make stack-up`) and leave the machine alone
meanwhile, or the runs are INVALID for that. `pngquant` on PATH makes them a third of the size.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from cdc_users.report.remake import read
from infra.stack.supervise.state import CHECKOUT
from tests.scenarios.browser import DESKTOP, PHONE, Theme, browser, window
from tests.scenarios.site import Site, open_form, opened_site

DEADLINE_MS = 240_000
expect.set_options(timeout=DEADLINE_MS)
SIZES = {"desktop": DESKTOP, "phone": PHONE}
THEMES: tuple[Theme, ...] = ("light", "dark")
LOAD = "scenario=throughput&stages=150/s:12s,400/s:12s"
CHARTED = "PASS"
FIRST_CHART = '[data-chart="Events per second"]'


@dataclass(frozen=True, slots=True)
class PicturedRun:
    """A run to be shown: its verdict, the form's values as a link, and what is done meanwhile."""

    verdict: str
    link: str
    meanwhile: Callable[[Site, Page], None] = lambda _site, _page: None


def _stop(site: Site, page: Page) -> None:
    expect(page.locator(f"{FIRST_CHART} canvas")).to_be_visible()
    page.wait_for_timeout(8000)  # so that there is something to see
    site.stop()


RUNS = (
    PicturedRun("INVALID", LOAD, _stop),
    PicturedRun("FAIL", f"{LOAD}&threshold=delivered>1M"),
    PicturedRun("PASS", LOAD),
)


def take(launched: Browser, site: Site, run: PicturedRun, link: str, into: Path) -> list[Path]:
    """Carry a run out and picture it; raises where it ends with another verdict."""
    with window(launched) as opened:
        page = opened.page
        page.set_default_timeout(DEADLINE_MS)
        page.goto(f"{site.url}/?{link}")
        open_form(page)
        page.get_by_role("button", name="Start", exact=True).click()
        expect(page.locator("#cdc-tab")).to_be_visible()
        run.meanwhile(site, page)
        expect(page.locator(".cdc-verdict strong")).to_have_text(run.verdict)
        report = page.get_by_role("link", name="Open the report").get_attribute("href")
    place = into / run.verdict.lower()
    place.mkdir(exist_ok=True)
    taken = []
    for name, theme, page in _windows(launched, site.url):
        page.get_by_role("tab", name="CDC").click()
        _wear(page, theme)
        expect(page.locator(".cdc-verdict strong")).to_be_visible()
        page.locator("#cdc-tab").evaluate("panel => panel.scrollIntoView()")
        taken.append(_picture(page, place / f"tab-{name}"))
        if run.verdict == CHARTED:
            page.locator(FIRST_CHART).evaluate("chart => chart.scrollIntoView()")
            taken.append(_picture(page, place / f"charts-{name}"))
    return [*taken, *take_report(launched, f"{site.url}{report}", place)]


def take_report(launched: Browser, url: str, place: Path) -> list[Path]:
    """Picture the report of a run that has ended."""
    taken = []
    for name, _, page in _windows(launched, url):
        expect(page.locator("#timeline canvas").first).to_be_visible()
        taken.append(_picture(page, place / f"report-{name}"))
    return taken


def take_form(launched: Browser, site: Site, into: Path) -> list[Path]:
    """Picture the start form, filled as a link fills it."""
    taken = []
    filled = f"{site.url}/?scenario=throughput&rate=1000&duration=30s"
    for name, theme, page in _windows(launched, filled):
        open_form(page)
        _wear(page, theme)
        expect(page.locator(".cdc-scenario")).to_contain_text("1,000 arrivals/s for 30 s")
        taken.append(_picture(page, into / f"form-{name}"))
    return taken


def _windows(launched: Browser, url: str) -> Iterator[tuple[str, Theme, Page]]:
    """What a picture is called, and the page at a URL for it: each size in each theme."""
    for name, size in SIZES.items():
        for theme in THEMES:
            with window(launched, size, theme) as opened:
                opened.page.set_default_timeout(DEADLINE_MS)
                opened.page.goto(url)
                yield f"{name}-{theme}.png", theme, opened.page


def _wear(page: Page, theme: Theme) -> None:
    """Wait until what is ours looks as the browser prefers it."""
    expect(page.locator(f'.cdc[data-theme="{theme}"]').first).to_be_attached()


def _picture(page: Page, path: Path) -> Path:
    page.screenshot(path=path, type="png", animations="disabled")
    if shutil.which("pngquant") is not None:
        subprocess.run(["pngquant", "--force", "--ext", ".png", "128", path], check=True)
    return path


def main(arguments: list[str]) -> int:
    """Take all pictures; prints what they weigh."""
    parser = argparse.ArgumentParser(prog="python -m tests.scenarios.pictures")
    parser.add_argument("--into", type=Path, default=CHECKOUT / "docs" / "images")
    parser.add_argument("--keep", help="a directory for the runs' results and log, to be looked at")
    parser.add_argument(
        "--smoke", action="store_true", help="on a machine that is not quiet: no figures at the end"
    )
    parser.add_argument(
        "--only", default="form,invalid,fail,pass", help="some of %(default)s, by comma"
    )
    parser.add_argument(
        "--report", type=Path, help="only the report of a run that has ended: its directory"
    )
    given = parser.parse_args(arguments)
    wanted = given.only.split(",")
    into, more = given.into, "&smoke=yes" if given.smoke else ""
    into.mkdir(parents=True, exist_ok=True)
    if given.report is not None:
        place = into / read(given.report).verdict.value.lower()
        place.mkdir(exist_ok=True)
        with browser() as launched:
            take_report(launched, (given.report / "report.html").resolve().as_uri(), place)
        return 0
    with (
        nullcontext(given.keep) if given.keep else tempfile.TemporaryDirectory() as place,
        browser() as launched,
        opened_site(Path(place), {}) as site,
    ):
        taken = take_form(launched, site, into) if "form" in wanted else []
        for run in (one for one in RUNS if one.verdict.lower() in wanted):
            taken += take(launched, site, run, f"{run.link}{more}", into)
    print(f"{len(taken)} pictures, {sum(path.stat().st_size for path in taken) / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

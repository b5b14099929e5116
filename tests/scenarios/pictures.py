"""The pictures in docs/images: `python -m tests.scenarios.pictures` takes them on real runs.

Three runs from the web UI, one that passes, one that fails and one that is stopped; page and report
of each, at the size of a desktop and of a telephone, in both themes. Bring a stack up before
(`make stack-up`) and leave the machine alone meanwhile, or the runs are INVALID for that.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from infra.stack.supervise.state import CHECKOUT
from tests.scenarios.browser import DESKTOP, PHONE, Theme, browser, window
from tests.scenarios.site import Site, open_form, opened_site

DEADLINE_MS = 240_000
#: Small enough that all of them together stay below two megabytes.
QUALITY = 55
SIZES = {"desktop": DESKTOP, "phone": PHONE}
THEMES: tuple[Theme, ...] = ("light", "dark")
LOAD = "scenario=throughput&stages=150/s:12s,400/s:12s"


@dataclass(frozen=True, slots=True)
class PicturedRun:
    """A run to be shown: its verdict, the form's values as a link, and what is done meanwhile."""

    verdict: str
    link: str
    meanwhile: Callable[[Site, Page], None] = lambda _site, _page: None


def _stop(site: Site, page: Page) -> None:
    expect(page.locator('[data-chart="Events per second"] canvas')).to_be_visible(
        timeout=DEADLINE_MS
    )
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
        page.goto(f"{site.url}/?{link}")
        open_form(page)
        page.get_by_role("button", name="Start", exact=True).click()
        expect(page.locator("#cdc-tab")).to_be_visible(timeout=DEADLINE_MS)
        run.meanwhile(site, page)
        expect(page.locator(".cdc-verdict strong")).to_have_text(run.verdict, timeout=DEADLINE_MS)
        report = page.get_by_role("link", name="Open the report").get_attribute("href")
    return [
        path
        for name, size in SIZES.items()
        for theme in THEMES
        for path in _both(
            launched, site, f"{site.url}{report}", into, (run.verdict.lower(), name, size, theme)
        )
    ]


def _both(
    launched: Browser,
    site: Site,
    report: str,
    into: Path,
    shown: tuple[str, str, tuple[int, int], Theme],
) -> list[Path]:
    verdict, name, size, theme = shown
    ending = f"{verdict}-{name}-{theme}.jpg"
    with window(launched, size, theme) as opened:
        page = opened.page
        page.goto(site.url)
        page.get_by_role("tab", name="CDC").click(timeout=DEADLINE_MS)
        expect(page.locator(".cdc-verdict strong")).to_be_visible(timeout=DEADLINE_MS)
        if page.locator("#cdc-tab").get_attribute("data-theme") != theme:
            page.locator("header button").last.click()
            expect(page.locator(f'#cdc-tab[data-theme="{theme}"]')).to_be_visible()
        page.locator("#cdc-tab").evaluate("panel => panel.scrollIntoView()")
        taken = [_picture(page, into / f"tab-{ending}")]
        page.goto(report)
        expect(page.locator("#timeline canvas").first).to_be_visible()
        return [*taken, _picture(page, into / f"report-{ending}")]


def _picture(page: Page, path: Path) -> Path:
    page.screenshot(path=path, type="jpeg", quality=QUALITY)
    return path


def main(arguments: list[str]) -> int:
    """Take all pictures; prints what they weigh."""
    parser = argparse.ArgumentParser(prog="python -m tests.scenarios.pictures")
    parser.add_argument("--into", type=Path, default=CHECKOUT / "docs" / "images")
    parser.add_argument(
        "--smoke", action="store_true", help="on a machine that is not quiet: no figures at the end"
    )
    given = parser.parse_args(arguments)
    into, more = given.into, "&smoke=yes" if given.smoke else ""
    into.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as place,
        browser() as launched,
        opened_site(Path(place), {}) as site,
    ):
        taken = [
            path for run in RUNS for path in take(launched, site, run, f"{run.link}{more}", into)
        ]
    print(f"{len(taken)} pictures, {sum(path.stat().st_size for path in taken) / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

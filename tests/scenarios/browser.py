"""A real browser for the tests of what people see: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DESKTOP, PHONE = (1280, 800), (390, 844)
# As root there is no sandbox; the only pages that are opened are our own.
ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage")
Theme = Literal["light", "dark"]
GRAVE = ("serious", "critical")


def chromium() -> str:
    """Where Chromium is; installed if this machine is root's and has apt, else the test is skipped
    with the reason.
    """
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is not None:
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip(
            f"no browser: none of {', '.join(NAMES)} is installed, and this is not root on a system"
            " with apt"
        )
    for command in (
        ("update", "-qq"),
        ("install", "-y", "-qq", "--no-install-recommends", "chromium"),
    ):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(
            ["apt-get", *command], capture_output=True, text=True, check=False, env=environment
        )
        if done.returncode:
            pytest.skip(
                f"no browser: `apt-get {' '.join(command)}` failed: {done.stderr.strip()[-300:]}"
            )
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("no browser: apt installed chromium, but there is no such command")
    return found


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser for one module's tests."""
    path = chromium()
    with tempfile.TemporaryDirectory() as settings, sync_playwright() as playwright:
        # Whatever profile it is given, it writes to the user's settings too.
        own: dict[str, str | float | bool] = {**os.environ, "XDG_CONFIG_HOME": settings}
        launched = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS), env=own)
        try:
            yield launched
        finally:
            launched.close()


@pytest.fixture(scope="module")
def launched() -> Iterator[Browser]:
    """The browser of one module's tests."""
    with browser() as started:
        yield started


@dataclass
class Window:
    """One page and what went wrong in it."""

    page: Page
    problems: list[str] = field(default_factory=list)

    def grave_violations(self) -> list[str]:
        """What axe-core finds serious or worse in the page below Locust's header and bar of tabs
        (whose selected label has too little contrast in the dark theme), with the elements.
        """
        ours = {"include": [["main"]], "exclude": [["[role=tablist]"]]}
        found = Axe().run(self.page, context=ours).response["violations"]
        return [f"{item['id']}: {_targets(item)}" for item in found if item["impact"] in GRAVE]


def _targets(item: dict[str, Any]) -> list[Any]:
    return [node["target"] for node in item["nodes"]]


@contextmanager
def window(
    launched: Browser, size: tuple[int, int] = DESKTOP, theme: Theme = "light", **more: Any
) -> Iterator[Window]:
    """A fresh page; everything that its console calls an error is noted."""
    context = launched.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=theme,
        accept_downloads=True,
        **more,
    )
    page = context.new_page()
    opened = Window(page)
    page.on(
        "console",
        lambda message: opened.problems.append(message.text) if message.type == "error" else None,
    )
    page.on("pageerror", lambda error: opened.problems.append(str(error)))
    try:
        yield opened
    finally:
        context.close()

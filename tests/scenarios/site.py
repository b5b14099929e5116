"""Locust with its web UI and all scenarios as a process, for tests and pictures of the page."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Page

from infra.stack.servers.port import free_ports
from infra.stack.supervise.state import CHECKOUT
from tests.scenarios.locust_process import await_that, page_answers


@dataclass(frozen=True, slots=True)
class Site:
    """Where the page is, and where its runs and its log go."""

    url: str
    results: Path
    log: Path

    def state(self) -> dict[str, Any]:
        """What the CDC tab is told."""
        told: dict[str, Any] = requests.get(f"{self.url}/cdc/state", timeout=30).json()
        return told

    def stop(self) -> None:
        """Stop the run that goes on, as the page's button does."""
        requests.post(f"{self.url}/stop", timeout=30)


def open_form(page: Page) -> None:
    """Open the start form, which Locust hides behind a button once a run has ended; on a phone that
    button stands in a menu.
    """
    start = page.get_by_role("button", name="Start", exact=True)
    new = page.get_by_role("button", name="New", exact=True)
    menu = page.get_by_role("button", name="menu", exact=True)
    start.or_(new).or_(menu).filter(visible=True).first.wait_for()
    if not start.is_visible():
        if menu.is_visible():
            menu.click()
        new.filter(visible=True).click()
    start.wait_for()


@contextmanager
def opened_site(place: Path, environment: Mapping[str, str]) -> Iterator[Site]:
    """The page while it is up; it has ended with its runs afterwards."""
    results, log = place / "results", place / "locust.log"
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "locust", "-f", "locustfiles", "--class-picker"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--results", str(results), "--web-port", str(port)],
            cwd=CHECKOUT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        await_that(lambda: page_answers(url), "the page does not come up")
        yield Site(url, results, log)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)

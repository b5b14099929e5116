"""How this package ends: after everything is written, without a chance for a C extension to crash
the exit. What a test leaves out is told to `make bench`, which says so at its end.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

_EXIT: dict[str, int] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    place = os.environ.get("CDC_BENCH_LEFT_OUT")
    if place and report.skipped and isinstance(report.longrepr, tuple):
        reason = " ".join(report.longrepr[2].removeprefix("Skipped: ").split())
        with Path(place).open("a", encoding="utf-8") as file:
            file.write(f"{report.nodeid.partition('::')[2]}: {reason}\n")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(exitstatus: int) -> None:
    _EXIT["status"] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    if "status" in _EXIT and os.environ.get("CDC_BENCH_STATUS"):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_EXIT["status"])

"""README's first commands, in a terminal of 80 x 24: the verdict, or the mistake, is on the last
screen.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from infra.stack.endpoints import Endpoints
from infra.stack.supervise.state import CHECKOUT
from tests.scenarios.screen import COLUMNS, ROWS, Recorded, lines_of, record

LOCUST = (sys.executable, "-m", "locust", "-f")


def run(*arguments: str) -> Recorded:
    return record([*LOCUST, *arguments], str(CHECKOUT))


def test_a_headless_runs_verdict_is_the_last_line_below_its_table(
    stack: Endpoints, results: Path
) -> None:
    done = run(
        "locustfiles/throughput.py",
        *("--headless", "--smoke", "yes", "--rows", "20,30", "--results", str(results)),
    )
    screen = done.screen

    assert done.exit_code == 0, done.sent
    assert screen[-1] == "verdict: PASS", "\n".join(screen)
    assert any(line.startswith("report:") for line in screen), "\n".join(screen)
    assert any(line.startswith("throughput-20-rows") for line in screen), "\n".join(screen)
    assert max(map(len, screen)) <= COLUMNS
    assert len(screen) <= ROWS


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("locustfiles/throughput.py", "--headless", "--rate", "x"), "--rate"),
        (("locustfiles", "--headless"), "-f locustfiles/throughput.py"),
    ],
)
def test_a_mistake_is_the_last_thing_on_the_screen(arguments: tuple[str, ...], told: str) -> None:
    done = run(*arguments)

    assert done.exit_code == 2, done.sent
    assert told in "".join(done.screen[-6:]), "\n".join(done.screen)


def test_what_is_written_again_stands_there_once() -> None:
    assert lines_of("a\r\nold 1\r\nold 2\r\n\x1b[2F\x1b[Jnew\r\n\x1b[32mend\x1b[0m\r\n") == [
        "a",
        "new",
        "end",
    ]

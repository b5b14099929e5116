"""README's commands, in a fresh clone and a terminal of 80 x 24: the verdict, or the mistake, is on
the last screen.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.stack.endpoints import Endpoints
from infra.stack.supervise.state import CHECKOUT
from tests.real_stack import stack_command
from tests.scenarios.screen import COLUMNS, ROWS, Recorded, lines_of, record

LOCUST = (sys.executable, "-m", "locust", "-f")
BLOCK = re.compile(r"```bash\n(.*?)```", re.DOTALL)
SECONDS = re.compile(r"\b(\d+)s\b")
#: How much shorter README's loads are here.
SHORTER = 15
AT_A_TIME = 3
BENCH = ("make", "bench")


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


def readme_commands(readme: str) -> list[list[str]]:
    """What README says to run for a verdict, as words: each `locust`, and `make bench`."""
    lines = [line for block in BLOCK.findall(readme) for line in block.splitlines()]
    words = [shlex.split(line, comments=True) for line in lines]
    runs = [said for said in words if said[:1] == ["locust"] and "--pipeline" not in said]
    return [*runs, list(BENCH)]


def in_smoke_size(said: Sequence[str]) -> list[str]:
    """The same command with this interpreter, for a few seconds."""
    if said[:2] == list(BENCH):
        return [sys.executable, "-m", "cdc_users.bench", "--only", "throughput"]
    shortened = [
        SECONDS.sub(lambda found: f"{max(1, int(found.group(1)) // SHORTER)}s", word)
        for word in said
    ]
    return [sys.executable, "-m", *shortened]


def test_every_command_of_the_readme_ends_with_its_verdict_on_the_screen(
    stack: Endpoints, tmp_path: Path
) -> None:
    clone, endpoints = tmp_path / "clone", tmp_path / "endpoints.json"
    subprocess.run(["git", "clone", "-q", CHECKOUT, clone], check=True)
    endpoints.write_text(stack_command("env").stdout, encoding="utf-8")
    told = {"CDC_STACK": str(endpoints), "CDC_SMOKE": "yes"}
    commands = readme_commands((clone / "README.md").read_text(encoding="utf-8"))
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        ends = [pool.submit(record, in_smoke_size(said), str(clone), told) for said in commands]
        screens = {shlex.join(said): end.result() for said, end in zip(commands, ends, strict=True)}

    assert len(screens) > 6
    for said, done in screens.items():
        assert done.exit_code == 0, f"{said}\n{done.sent}"
        assert done.screen[-1] == "verdict: PASS", f"{said}\n" + "\n".join(done.screen)
    assert (clone / "out" / "run.html").exists()
    assert (clone / "results" / "bench.html").exists()

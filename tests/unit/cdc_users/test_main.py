"""What can be called is listed, and each command that is listed is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cdc_users.__main__ import PROGRAMS, main, overview
from infra.stack.supervise.state import CHECKOUT

pytestmark = pytest.mark.gevent


def test_every_scenario_is_listed_with_its_question() -> None:
    listed = overview()

    for file in (CHECKOUT / "locustfiles").glob("[a-z]*.py"):
        assert f"locust -f locustfiles/{file.name} --headless\n      " in listed


@pytest.mark.parametrize("command", [name for name in PROGRAMS if name.startswith("python -m")])
def test_every_program_that_is_listed_is_there(command: str) -> None:
    module = command.split()[2]

    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_every_target_of_make_that_is_listed_is_there() -> None:
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")

    targets = [name.split()[1] for name in PROGRAMS if name.startswith("make ")]
    assert targets
    assert all(f"\n{target}: " in makefile for target in targets)


def test_anything_else_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run"]) == 2
    assert "takes no 'run'" in capsys.readouterr().err

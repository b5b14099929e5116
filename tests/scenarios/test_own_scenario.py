"""A scenario is one file: written outside this tree, named with `-f`, and run; no list knows it."""

from __future__ import annotations

from pathlib import Path

from infra.stack.endpoints import Endpoints
from infra.stack.supervise.state import CHECKOUT
from tests.scenarios.locust_process import NOTHING, LocustProcess, leftovers

#: The file that CONTRIBUTING.md shows.
_START, _END = '"""Waves: ', "```"
TOY = (
    _START
    + (CHECKOUT / "CONTRIBUTING.md")
    .read_text(encoding="utf-8")
    .partition(_START)[2]
    .partition(_END)[0]
)


def test_a_scenario_outside_the_tree_runs_with_its_own_defaults_and_steps(
    stack: Endpoints, results: Path, tmp_path: Path
) -> None:
    file = tmp_path / "waves.py"
    file.write_text(TOY, encoding="utf-8")

    run = LocustProcess(str(file), results, "--waves", "2")

    assert run.wait() == 0, run.output
    result = run.result()
    assert result["scenario"] == "waves"
    assert "--waves 2" in result["command"]
    assert [(step["name"], step["ledger"]["delivered"]) for step in result["steps"]] == [
        ("waves-40-rows-wave-1", 40),
        ("waves-40-rows-wave-2", 40),
        ("waves-60-rows-wave-1", 60),
        ("waves-60-rows-wave-2", 60),
    ]
    assert [step["arrivals"]["offered"] for step in result["steps"]] == [4, 4, 6, 6]
    assert leftovers(stack) == NOTHING


def test_what_it_does_not_read_is_refused(results: Path, tmp_path: Path) -> None:
    file = tmp_path / "waves.py"
    file.write_text(TOY, encoding="utf-8")

    wrong = ("--row-bytes", "9", "--overload", "3", "--waves", "many")
    run = LocustProcess(str(file), results, *wrong)

    assert run.wait() == 2, run.output
    assert "--row-bytes does nothing in waves; its rows are small on purpose" in run.output
    assert "--overload does nothing in waves; leave it out" in run.output
    assert "--waves: 'many' is not a whole number" in run.output

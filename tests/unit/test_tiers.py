"""The runner of the tiers: what fails is told, a copy is a checkout of its own and goes again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests import tiers
from tests.tiers import ROOT, Stage, place_of, run_all, run_stage

SAY_WHERE = "import infra.validate, os; print(os.getcwd(), infra.validate.__file__, sep='\\n')"


def program(text: str, name: str = "a stage", *, copied: bool = False) -> Stage:
    return Stage(name, (sys.executable, "-c", text), copied=copied)


def test_a_stage_runs_in_the_checkout_and_a_copied_one_in_a_copy_with_its_own_modules() -> None:
    here = run_stage(program(SAY_WHERE), ())
    copy = run_stage(program(SAY_WHERE, copied=True), ())

    assert here.output.splitlines() == [str(ROOT), str(ROOT / "infra" / "validate.py")]
    place, module = map(Path, copy.output.splitlines())
    assert place != ROOT
    assert module == place / "infra" / "validate.py"
    assert not place.exists(), "the copy is still there"


def test_a_copy_has_what_tests_read_and_nothing_that_runs_have_left() -> None:
    with place_of(program("", copied=True)) as place:
        assert (place / "tests" / "tiers.py").read_bytes() == Path(tiers.__file__).read_bytes()
        assert (place / "docs" / "fidelity.md").is_file()
        assert not (place / ".stack").exists()
        assert not list(place.rglob("__pycache__"))


def test_every_stage_runs_though_one_fails_and_each_is_told_with_its_exit_code() -> None:
    stages = [program("raise SystemExit(3)", "bad"), *[program("", f"good {n}") for n in range(3)]]

    ended = {item.stage.name: item.exit_code for item in run_all(stages, ())}

    assert ended == {"bad": 3, "good 0": 0, "good 1": 0, "good 2": 0}


def test_what_needs_the_whole_machine_comes_when_the_others_have_ended() -> None:
    alone = Stage("alone", (sys.executable, "-c", ""), alone=True)

    names = [item.stage.name for item in run_all([alone, program("", "other")], ())]

    assert names == ["other", "alone"]


def test_pytests_options_go_to_pytest_alone() -> None:
    words = "import sys; print(sys.argv[1:])"

    assert run_stage(program(words), ["-x"]).output == "[]\n"
    told = run_stage(Stage("like pytest", (sys.executable, "-c", words, "pytest")), ["-x"]).output
    assert told == "['pytest', '-x']\n"


@pytest.mark.parametrize(("codes", "code"), [((0, 0), 0), ((0, 5), 1)])
def test_a_tier_fails_with_any_of_its_stages_and_names_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    codes: tuple[int, ...],
    code: int,
) -> None:
    stages = [program(f"raise SystemExit({exit_code})", f"s{exit_code}") for exit_code in codes]
    monkeypatch.setattr(tiers, "TIERS", {"check": stages})

    assert tiers.run("check", ()) == code
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("failed: s5 in" if code else "all passed in")


def test_no_two_stages_of_a_tier_with_servers_share_a_checkout() -> None:
    for stages in tiers.TIERS.values():
        rooms = ("tests/integration", "tests/scenarios")
        own = [
            stage
            for stage in stages
            if any(room in stage.command for room in rooms) and not (stage.alone or stage.copied)
        ]
        assert len(own) <= 1

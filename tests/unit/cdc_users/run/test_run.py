"""A run ends with the exit code of what it wrote, and of what it found."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from locust.env import Environment

from cdc_users.error import ObserverError, TargetError
from cdc_users.measure.judgement.result import Verdict
from cdc_users.options.options import resolve
from cdc_users.pipeline.pipeline import Rig
from cdc_users.run.run import Run
from cdc_users.scenario import Scenario
from cdc_users.shapes.volume import volume_steps
from cdc_users.step.state import Facts
from infra.stack.endpoints import Endpoints

pytestmark = pytest.mark.gevent

DEADLINE_S = 20


class Nobody:
    """Lanes that are never told anything."""

    def workers(self) -> list[str]:
        return []

    def assign(self, worker: str, assignment: Any) -> None:
        raise AssertionError((worker, assignment))

    def halt(self) -> None:
        return


class IdleRun(Run):
    """A run without servers: instead of loading something it does what it is given."""

    happening: Callable[[Facts], object] = staticmethod(lambda _: None)

    @contextmanager
    def _steward(self) -> Iterator[Any]:
        yield None

    def _carry_out(self, steward: Any, facts: Facts) -> None:  # noqa: ARG002 - the run's own
        self.happening(facts)


@pytest.fixture
def run(tmp_path: Path) -> IdleRun:
    environment = Environment()
    environment.create_local_runner()
    options = resolve({"rows": "100", "results": str(tmp_path)})
    return IdleRun(
        environment,
        Scenario("throughput", "?"),
        options,
        volume_steps("throughput", options),
        Nobody(),
    )


def concluded(run: IdleRun) -> tuple[int, Verdict, list[str]]:
    run.start()
    assert run.concluded.wait(DEADLINE_S)
    assert run.result is not None
    return run.exit_code, run.result.verdict, list(run.result.reasons)


def test_a_run_ends_with_the_code_of_the_verdict_that_it_wrote(run: IdleRun) -> None:
    code, verdict, _ = concluded(run)

    assert (code, verdict) == (4, Verdict.INVALID)
    assert (
        json.loads((run.directory / "result.json").read_text(encoding="utf-8"))["verdict"]
        == "INVALID"
    )


@pytest.mark.parametrize(
    "name", ["plan.json", "samples.csv", "timeline.csv", "report.html", "result.json"]
)
def test_a_file_that_cannot_be_written_is_an_error_of_the_harness(run: IdleRun, name: str) -> None:
    (run.directory / name).mkdir()

    code, verdict, reasons = concluded(run)

    assert (code, verdict) == (2, Verdict.ERROR)
    assert str(run.directory) in reasons[0]
    assert "Is a directory" in reasons[0]
    assert not (run.directory / "result.json").is_file()


@dataclass
class SilentRig:
    """A rig that does not answer any more."""

    observer_died: bool = False
    wiring: Any = field(
        default_factory=lambda: SimpleNamespace(endpoints=Endpoints("external", "", "", "", ""))
    )

    def dead(self) -> str | None:
        if self.observer_died:
            raise ObserverError("observer ended with -9")
        return None


@pytest.mark.parametrize(
    ("observer_died", "code", "told"),
    [(True, 2, "observer ended with -9"), (False, 3, "it does not answer")],
)
def test_who_does_not_answer_is_asked_for_its_death_first(
    run: IdleRun, monkeypatch: pytest.MonkeyPatch, observer_died: bool, code: int, told: str
) -> None:
    monkeypatch.setattr("cdc_users.run.run.DYING_S", 0.2)
    rig = cast(Rig, SilentRig(observer_died))
    run.happening = lambda facts: run._blame(rig, facts, TargetError("it does not answer"))

    ended, _, reasons = concluded(run)

    assert (ended, reasons) == (code, [told])


def test_what_crashes_after_the_conclusion_is_an_error_in_the_result_too(run: IdleRun) -> None:
    concluded(run)

    run.spoil("a listener crashed")

    told = json.loads((run.directory / "result.json").read_text(encoding="utf-8"))
    assert (run.exit_code, told["verdict"], told["reasons"][0]) == (
        2,
        "ERROR",
        "a listener crashed",
    )


def test_a_result_that_was_never_written_can_be_spoiled_no_further(run: IdleRun) -> None:
    (run.directory / "samples.csv").mkdir()
    concluded(run)

    run.spoil("a listener crashed")

    assert run.exit_code == 2

"""A run ends with the exit code of what it wrote, and of what it found."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from locust.env import Environment

from cdc_users.error import StewardSilentError
from cdc_users.measure.judgement.result import Verdict
from cdc_users.options.options import resolve
from cdc_users.run.run import Run
from cdc_users.scenario import FixedCourse, Scenario
from cdc_users.shapes.volume import volume_steps
from cdc_users.step.state import Facts
from cdc_users.users.message import Ask, Halt, Tally, WorkerReport

pytestmark = pytest.mark.gevent

DEADLINE_S = 20


class Nobody:
    """Lanes that are never told anything."""

    def workers(self) -> list[str]:
        return []

    def assign(self, worker: str, assignment: Any) -> None:
        raise AssertionError((worker, assignment))

    def ask(self, worker: str, message: Ask) -> None:
        assert worker
        assert message.token

    def halt(self, message: Halt) -> None:
        assert message.token


class IdleRun(Run):
    """A run without servers: instead of loading something it does what it is given."""

    happening: Callable[[Facts], object] = staticmethod(lambda _: None)

    @contextmanager
    def _steward(self) -> Iterator[Any]:
        yield None

    def _carry_out(self, steward: Any) -> None:  # noqa: ARG002 - the run's own
        self.happening(self.context.facts)


@pytest.fixture
def run(tmp_path: Path) -> IdleRun:
    environment = Environment()
    environment.create_local_runner()
    options = resolve({"rows": "100", "results": str(tmp_path)})
    return IdleRun(
        environment,
        Scenario("throughput", "?"),
        options,
        FixedCourse(volume_steps("throughput", options)),
        Nobody(),
    )


class Talkative(Nobody):
    """Two processes of which one says what it has sent when it is asked."""

    def __init__(self) -> None:
        self.run: IdleRun
        self.asked: list[str] = []

    def ask(self, worker: str, message: Ask) -> None:
        self.asked.append(worker)
        if worker == "a":
            self.run.on_report(
                worker,
                WorkerReport(
                    run=message.run,
                    token=message.token,
                    step=1,
                    share=0,
                    tally=Tally(offered=9, started=7),
                    series={},
                    ranges={10_000: {"acked": [[1, 7]]}},
                    cpu_s=0.0,
                    wanted_cpu_s=0.0,
                    done=False,
                ),
            )


def test_lanes_are_asked_how_far_they_are_and_not_waited_for(run: IdleRun) -> None:
    lanes = Talkative()
    lanes.run, run.context.sender = run, lanes
    state = run.context.states[0]
    run.context.watch.hear()
    assert lanes.asked == []

    run.context.current, state.workers = state, ("a", "b")
    run.context.watch.hear()

    assert sorted(lanes.asked) == ["a", "b"]
    assert (state.sent, state.total("started")) == (7, 7)


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


@pytest.mark.parametrize(("stopped", "verdict"), [(True, Verdict.INVALID), (False, Verdict.ERROR)])
def test_a_steward_that_a_stopped_run_did_not_wait_for_breaks_nothing(
    run: IdleRun, stopped: bool, verdict: Verdict
) -> None:
    def give_up(_: Facts) -> None:
        if stopped:
            run.request_stop("stopped early by SIGINT")
        raise StewardSilentError("the steward has not answered 'open' within 1 s")

    run.happening = give_up

    _, found, reasons = concluded(run)
    assert found is verdict
    expected = "stopped early by SIGINT" if stopped else "the steward has not answered 'open'"
    assert reasons[0].startswith(expected)

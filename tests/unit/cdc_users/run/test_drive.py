"""A drive takes the steps that its course decides on, and the time in which a run was asked to stop
bounds all that follows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import gevent
import pytest

from cdc_users.error import ObserverSilentError, StewardError, TargetError
from cdc_users.measure.schedule.plan import Schedule
from cdc_users.run import drive as module
from cdc_users.run.drive import Drive
from cdc_users.run.wait import CLEAN_UP_RESERVED_S, STOP_S, Stopping
from cdc_users.scenario import CourseOutcome, Pipeline, Step, StepShown
from cdc_users.step.fault import FaultState
from cdc_users.step.state import Broken, Facts, StepState

pytestmark = pytest.mark.gevent


def step(name: str, lanes: int = 1) -> Step:
    return Step(name, "paced", Schedule.volume(1), Pipeline(), lanes)


OUTCOME = CourseOutcome()


class Deciding:
    """A course that decides by how many steps it has been shown."""

    def __init__(self, decide: Callable[[Sequence[StepShown]], Step | None]) -> None:
        self.decide = decide
        self.asked: list[list[str]] = []
        self.told_so_far: list[list[str]] = []
        self.told: list[str] | None = None

    @property
    def undecided_s(self) -> float:
        return 0.0

    def next_step(self, shown: Sequence[StepShown]) -> Step | None:
        self.asked.append([item.step.name for item in shown])
        return self.decide(shown)

    def outcome(self, shown: Sequence[StepShown]) -> Any:
        self.told = [item.step.name for item in shown]
        self.told_so_far.append(self.told)
        return OUTCOME


class Walking(Drive):
    """A drive that loads nothing: it notes the steps that it takes."""

    taken: list[StepState]

    def _through_one_rig(self, first: StepState) -> StepState | None:
        self.taken.append(first)
        self._shown.append(cast(StepShown, SimpleNamespace(step=first.step)))
        return self._next_state() if not self._over else None


class Walk:
    """A drive with the run that it reads."""

    def __init__(self, course: Deciding, planned: Sequence[Step] = (), **made: Any) -> None:
        self.facts = Facts()
        self.stopping = Stopping()
        self.sender = SimpleNamespace(halt=lambda _: None, workers=list)
        self.watch = SimpleNamespace(stop=lambda: None)
        self.states = [StepState(number, item) for number, item in enumerate(planned, start=1)]
        self.lanes_wanted: int | None = 1
        self.options = self.samples = SimpleNamespace()
        self.id = self.token = "abcd1234"
        self.endpoints = SimpleNamespace(supervisor_pid=1)
        steward = made.get("steward", SimpleNamespace())
        self.drive = Walking(cast(Any, self), cast(Any, course), steward, cast(Any, self.endpoints))
        self.drive.taken = []

    def enter(self, phase: str) -> None:
        """What the page and the terminal are told."""

    def names(self) -> list[str]:
        self.drive.drive()
        return [state.step.name for state in self.drive.taken]


def test_a_course_decides_each_step_from_those_that_it_was_shown() -> None:
    first, second = step("a"), step("b")
    course = Deciding(lambda shown: [first, second, None][len(shown)])

    walk = Walk(course, [first, second])

    assert walk.names() == ["a", "b"]
    assert course.asked == [[], ["a"], ["a", "b"]]
    assert course.told == ["a", "b"]
    assert walk.facts.course is OUTCOME


def test_what_a_course_has_come_to_is_known_after_each_step() -> None:
    steps = [step("a"), step("b"), None]
    course = Deciding(lambda shown: steps[len(shown)])
    walk = Walk(course)

    walk.names()

    assert course.told_so_far[:2] == [["a"], ["a", "b"]]
    assert walk.facts.course_so_far is OUTCOME


def test_a_step_that_was_planned_keeps_its_state_and_one_that_was_not_replaces_the_plan() -> None:
    first, planned, other = step("a"), step("b"), step("c")
    course = Deciding(lambda shown: [first, other, None][len(shown)])
    walk = Walk(course, [first, planned, step("d")])
    was = walk.states[0]

    assert walk.names() == ["a", "c"]
    assert walk.drive.taken[0] is was
    assert [(state.number, state.step.name) for state in walk.states] == [(1, "a"), (2, "c")]


def test_more_lanes_than_before_are_asked_for_and_never_fewer() -> None:
    steps = [step("a", 4), step("b", 9), step("c", 2), None]
    walk = Walk(Deciding(lambda shown: steps[len(shown)]))

    walk.names()

    assert walk.lanes_wanted == 9


def test_a_stop_ends_the_course_after_the_step_at_hand_and_its_outcome_is_told() -> None:
    course = Deciding(lambda _: step("a"))
    walk = Walk(course)

    def take_and_stop(first: StepState) -> None:
        walk.drive.taken.append(first)
        walk.stopping.ask("stopped early")

    walk.drive._through_one_rig = take_and_stop  # type: ignore[method-assign]
    walk.drive.drive()

    assert len(walk.drive.taken) == 1
    assert course.told == []


def test_an_outcome_is_told_also_where_a_step_breaks() -> None:
    course = Deciding(lambda _: step("a"))
    walk = Walk(course)

    def fail(_: StepState) -> None:
        raise TargetError("gone")

    walk.drive._through_one_rig = fail  # type: ignore[assignment,method-assign]
    with pytest.raises(TargetError, match="gone"):
        walk.drive.drive()

    assert walk.facts.course is OUTCOME


class HangingSteward:
    """A steward that answers nothing within its limit."""

    def __init__(self) -> None:
        self.limits_s: list[float] = []

    def release(self, limit_s: float) -> list[str]:
        self.limits_s.append(limit_s)
        raise StewardError("the steward has not answered 'release'")

    def health(self) -> Any:
        raise TargetError("no answer")


class MadeRig:
    """A rig that notes how long its processes may take to end."""

    def __init__(self) -> None:
        self.graces_s: list[float] = []

    def stop(self, grace_s: float) -> list[str]:
        self.graces_s.append(grace_s)
        return []


def test_a_stopped_run_that_cannot_clean_up_keeps_its_verdict_and_names_what_is_left() -> None:
    steward, rig = HangingSteward(), MadeRig()
    walk = Walk(Deciding(lambda _: None), steward=steward)
    walk.stopping.ask("stopped early by SIGINT")

    walk.drive._clean_up(cast(Any, rig))

    assert walk.facts.broken == []
    assert walk.facts.notes == ["left behind: the steward has not answered 'release'"]
    assert sum([*rig.graces_s, *rig.graces_s, *steward.limits_s]) < CLEAN_UP_RESERVED_S


def test_a_run_with_all_its_time_that_cannot_clean_up_is_broken_by_it() -> None:
    walk = Walk(Deciding(lambda _: None), steward=HangingSteward())

    walk.drive._clean_up(cast(Any, MadeRig()))

    assert [item.reason for item in walk.facts.broken] == ["the steward has not answered 'release'"]


class Dying(Drive):
    """A drive whose system under test dies in a rig's only step."""

    code = 1
    following: StepState | None = None

    def _plan(self, first: StepState) -> Any:
        return first

    def _open(self, rig: Any) -> None:
        """Everything is open."""

    def _steps(self, rig: Any, first: StepState) -> StepState | None:  # noqa: ARG002 - the drive's
        self.run.facts.broken.append(Broken("the reader ended with 3", self.code))
        return self.following

    def _clean_up(self, rig: Any) -> None:
        """Nothing is left."""


@pytest.mark.parametrize(
    ("alone", "done", "code", "goes_on"),
    [
        (True, True, 1, True),
        (False, True, 1, False),
        (True, False, 1, False),
        (True, True, 3, False),
    ],
    ids=["its fault", "a fault that can be repaired", "no fault yet", "a server"],
)
def test_a_system_that_dies_of_a_fault_that_nothing_can_repair_ends_its_step_only(
    monkeypatch: pytest.MonkeyPatch, alone: bool, done: bool, code: int, goes_on: bool
) -> None:
    rig = SimpleNamespace(start=lambda **_: None)
    monkeypatch.setattr(module, "prepare", lambda *_: rig)
    walk = Walk(Deciding(lambda _: None))
    walk.options = SimpleNamespace(smoke=True)
    walk.samples = SimpleNamespace(renew=lambda: None)
    walk.watch = SimpleNamespace(start=lambda *_: None)
    drive = Dying(cast(Any, walk), cast(Any, walk), cast(Any, None), cast(Any, walk.endpoints))
    drive.code, drive.following = code, StepState(2, step("next"))
    first = StepState(1, replace(step("drop-slot"), alone=alone))
    first.fault = FaultState() if done else None

    following = drive._through_one_rig(first)

    assert (following is drive.following) is goes_on
    assert bool(walk.facts.broken) is not goes_on
    assert walk.facts.gone == [(1, "the reader ended with 3")] * goes_on


def test_a_last_look_that_hangs_does_not_hold_a_stopped_run() -> None:
    walk = Walk(Deciding(lambda _: None), steward=HangingSteward())
    walk.watch = SimpleNamespace(stop=lambda: gevent.sleep(60))
    walk.stopping.ask("stopped early")
    began_s = time.monotonic()

    walk.drive._clean_up(cast(Any, MadeRig()))

    assert time.monotonic() - began_s < 30


def test_lanes_that_hang_are_not_waited_for_when_the_time_for_them_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "HALT_S", 60.0)
    walk = Walk(Deciding(lambda _: None), [step("a")])
    walk.states[0].workers = ("local",)
    walk.sender = SimpleNamespace(halt=lambda _: None, workers=lambda: ["local"])
    walk.stopping.ask("stopped early")
    walk.stopping._deadline_s = time.monotonic() + CLEAN_UP_RESERVED_S
    began_s = time.monotonic()

    walk.drive._stop_lanes()

    assert time.monotonic() - began_s < 30


def test_the_end_of_a_stopped_run_fits_into_its_time() -> None:
    """Two processes in turn, the last look, the objects, and something for the files."""
    parts_s = module.LAST_LOOK_S + 2 * module.STOPPED_GRACE_S + module.STOPPED_RELEASE_S

    assert parts_s < CLEAN_UP_RESERVED_S < STOP_S < 30


@pytest.mark.parametrize(
    ("trouble", "code"), [("Kafka does not answer", 3), (None, 2)], ids=["a server", "itself"]
)
def test_what_does_not_come_up_is_blamed_unless_a_server_is_silent(
    monkeypatch: pytest.MonkeyPatch, trouble: str | None, code: int
) -> None:
    monkeypatch.setattr(module, "DYING_S", 0.0)
    monkeypatch.setattr(module, "stack_trouble", lambda _: trouble)
    monkeypatch.setattr(module, "supervised", lambda _: True)
    walk = Walk(Deciding(lambda _: None))

    try:
        walk.drive._blame(ObserverSilentError("the observer ended with -1"))
    except ObserverSilentError as error:
        walk.facts.broken.append(Broken(str(error), error.exit_code))

    assert [item.exit_code for item in walk.facts.broken] == [code]


@pytest.mark.parametrize(
    ("fault", "code"),
    [(None, 3), (FaultState(injected_us=1), 1), (FaultState(injected_us=1, healed_us=2), 3)],
    ids=["no fault", "a fault that holds", "a fault that is over"],
)
def test_a_platform_that_dies_of_the_runs_own_fault_has_failed(
    monkeypatch: pytest.MonkeyPatch, fault: FaultState | None, code: int
) -> None:
    monkeypatch.setattr(module, "stack_trouble", lambda _: "Kafka does not answer")
    monkeypatch.setattr(module, "supervised", lambda _: True)
    walk = Walk(Deciding(lambda _: None), [step("a")])
    walk.drive._rig = cast(Any, SimpleNamespace(dead=lambda: "platform-1 ended with 1"))
    walk.states[0].fault = fault

    death = walk.drive._death()

    assert death is not None
    assert death.exit_code == code
    assert ("the system under test died: platform-1" in death.reason) == (code == 1)


def test_what_does_not_answer_breaks_no_run_that_was_asked_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "stack_trouble", lambda _: "PostgreSQL does not answer")
    walk = Walk(Deciding(lambda _: None))
    walk.stopping.ask("stopped early by SIGINT")

    walk.drive._blame(ObserverSilentError("the source does not answer"))

    assert walk.facts.broken == []
    assert walk.facts.notes == ["the source does not answer"]

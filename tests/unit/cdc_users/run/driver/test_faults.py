"""A fault that was begun is undone, however its step goes on; its moments are those of the plan."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from cdc_users.error import TargetError
from cdc_users.measure.clock import new_anchor
from cdc_users.measure.schedule.fault_plan import PlannedFault
from cdc_users.measure.schedule.plan import Schedule
from cdc_users.run.driver.faults import FAULT, RECOVER, FaultDriver
from cdc_users.run.wait import CLEAN_UP_RESERVED_S, CutShortError, Stopping
from cdc_users.scenario import Pipeline, Step
from cdc_users.step.state import Facts, StepState
from infra.faults.fault import FaultObjects

pytestmark = pytest.mark.gevent

ANCHOR = new_anchor()


class Doer:
    """Does and undoes faults, and fails where it is told to."""

    def __init__(self, fails: str = "") -> None:
        self.done: list[str] = []
        self.system = self
        self._fails = fails

    def _note(self, what: str) -> None:
        self.done.append(what)
        if what == self._fails:
            raise TargetError(f"cannot {what}")

    def inject(self, fault: str, objects: FaultObjects, allowed: tuple[str, ...]) -> None:  # noqa: ARG002 - the steward's
        self._note("inject")

    def await_ready(self) -> None:
        self._note("await ready")

    def heal(self) -> None:
        self._note("heal")

    def do(self, fault: str, what: str) -> None:  # noqa: ARG002 - the rig's
        self._note(what)

    def act(self, action: str, name: str) -> None:
        self._note(f"{action} {name}")

    def delivered(self, step: int) -> int:  # noqa: ARG002 - the rig's
        return 0

    def fault_objects(self, tuning: str) -> FaultObjects:  # noqa: ARG002 - the rig's
        return FaultObjects()


def driver(
    doer: Doer, fault: str = "pause-kafka", *, inject_at_s: float = 0.3, hold_s: float = 0.2
) -> tuple[FaultDriver, list[str]]:
    planned = PlannedFault(fault, 1, 0.0, inject_at_s, hold_s, recover_s=0.5)
    step = Step("s", "paced", Schedule.constant(10, 5), Pipeline(), 1, fault=planned)
    state, marks = StepState(1, step, t0_us=ANCHOR.now_us()), []
    run: Any = SimpleNamespace(
        anchor=ANCHOR,
        stopping=Stopping(),
        facts=Facts(),
        options=SimpleNamespace(tuning="latency", allow_fault=()),
        watch=SimpleNamespace(elapsed_s=0.0, moments=[]),
        mark=lambda name, _: marks.append(name),
    )
    double: Any = doer
    return FaultDriver(run, double, state, double), marks


def lived(made: FaultDriver) -> None:
    made.start()
    made._greenlet.join()


@pytest.mark.parametrize("fault", ["pause-kafka", "kill-platform"])
def test_a_fault_is_injected_at_its_moment_held_and_healed(fault: str) -> None:
    doer = Doer()
    made, marks = driver(doer, fault)

    lived(made)
    made.finish()

    done = made.state.fault
    assert done is not None
    assert done.moments is not None
    assert doer.done == ["inject", "heal"]
    assert marks == [FAULT, RECOVER]
    assert done.moments.injected_s >= 0.3
    assert done.healing_us - done.injected_us >= 200_000
    assert done.looks


def test_one_that_does_not_hold_is_healed_at_once() -> None:
    doer = Doer()
    made, _ = driver(doer, "end-walsender", hold_s=60.0)

    lived(made)

    assert doer.done == ["inject", "heal"]


def test_servers_that_were_prepared_are_awaited_before_the_moment_and_not_counted() -> None:
    doer = Doer()
    made, marks = driver(doer, "kill-primary")

    lived(made)

    assert doer.done == ["await ready", "inject", "heal"]
    assert marks == [FAULT, RECOVER]


def test_servers_that_are_not_ready_let_the_fault_be() -> None:
    doer = Doer("await ready")
    made, marks = driver(doer, "kill-primary")

    lived(made)

    assert doer.done == ["await ready"]
    assert (made.state.fault, marks) == (None, [])
    with pytest.raises(TargetError, match="cannot await ready"):
        made.finish()


def test_what_a_fault_is_done_without_is_away_meanwhile() -> None:
    doer = Doer()
    made, _ = driver(doer, "short-retention")

    lived(made)
    made.finish()

    assert doer.done == ["terminate platform", "inject", "heal", "restart platform"]


@pytest.mark.parametrize("fails", ["inject", "heal"])
def test_what_a_fault_is_done_without_comes_back_whatever_becomes_of_the_fault(fails: str) -> None:
    doer = Doer(fails)
    made, _ = driver(doer, "reset-group")

    lived(made)

    assert doer.done[-1] == "restart platform"
    assert made.state.fault is not None
    assert made.state.fault.healed_us >= made.state.fault.injected_us


def test_a_step_that_ends_early_has_it_healed_at_once() -> None:
    doer = Doer()
    made, _ = driver(doer, inject_at_s=0.0, hold_s=60.0)
    made.start()
    wait_for(lambda: doer.done == ["inject"])

    made.finish()

    assert doer.done == ["inject", "heal"]


def test_a_step_that_ends_before_its_moment_has_no_fault() -> None:
    doer = Doer()
    made, _ = driver(doer, inject_at_s=60.0)
    made.start()

    made.finish()

    assert doer.done == []
    assert made.state.fault is None


def test_what_a_server_does_not_take_is_undone_and_told_and_the_run_goes_on() -> None:
    doer = Doer(fails="inject")
    made, _ = driver(doer, inject_at_s=0.0)

    lived(made)
    made.finish()

    assert doer.done == ["inject", "heal"]
    assert made.state.fault is not None
    assert made.state.fault.refused == "cannot inject"


def test_what_cannot_be_undone_ends_the_run() -> None:
    doer = Doer(fails="heal")
    made, _ = driver(doer, inject_at_s=0.0)

    lived(made)

    with pytest.raises(TargetError, match="cannot heal"):
        made.finish()


def test_a_platform_that_comes_up_again_too_slowly_does_not_keep_a_stopped_run() -> None:
    class Slow(Doer):
        def do(self, fault: str, what: str) -> None:
            super().do(fault, what)
            if what == "heal":
                gevent.sleep(600)

    doer = Slow()
    made, _ = driver(doer, "kill-platform", inject_at_s=0.0, hold_s=60.0)
    made.start()
    wait_for(lambda: doer.done == ["inject"])
    made.run.stopping.ask("stopped early by SIGINT")
    made.run.stopping._deadline_s = time.monotonic() + CLEAN_UP_RESERVED_S + 0.2

    with pytest.raises(CutShortError, match="before it could heal its fault"):
        made.finish()


def test_what_the_fault_explains_is_explained_from_then_on() -> None:
    made, _ = driver(Doer())

    lived(made)

    assert made.run.facts.unexplained(["Kafka", "PostgreSQL"]) == ["PostgreSQL"]


def wait_for(condition: Callable[[], bool]) -> None:
    import gevent

    with gevent.Timeout(30):
        while not condition():
            gevent.sleep(0.01)

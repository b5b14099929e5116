"""Takes the steps of a course through their pipelines: prepare, load, drain, audit, clean up."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import gevent

from cdc_users.error import HarnessError, TargetError
from cdc_users.measure.judgement.cost import Costs
from cdc_users.measure.judgement.result import Verdict
from cdc_users.measure.offset import ClockOffset
from cdc_users.pipeline.pipeline import GRACE_S, Rig, RigPlan, prepare
from cdc_users.pipeline.provision.client import RELEASE_S, StewardClient
from cdc_users.pipeline.telemetry import PipelineSnapshot
from cdc_users.run.assignment import Assigner
from cdc_users.run.context import RunContext
from cdc_users.run.driver.ceiling import CeilingDriver
from cdc_users.run.driver.faults import FaultDriver
from cdc_users.run.driver.load_driver import HALT_S
from cdc_users.run.driver.step_driver import StepDriver
from cdc_users.run.wait import CLEAN_UP_RESERVED_S, POLL_S, CutShortError, Waiting, no_longer_than
from cdc_users.scenario import Course, StepProgress, StepShown, rig_key
from cdc_users.step.close import Closing, close
from cdc_users.step.cost import UNKNOWN, step_cost
from cdc_users.step.shown import shown
from cdc_users.step.state import Broken, Gone, StepState
from cdc_users.step.verdict import died_of_its_fault
from cdc_users.users.message import Halt
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackError
from infra.stack.find.locate import supervised, verify

OPEN_S = 60.0
#: How long it may take until a process that has stopped answering is seen to be dead.
DYING_S = 2.0
#: How long after a step's end its last samples may arrive.
SAMPLED_S = 2.0
#: The limit for asking the servers why a process does not answer.
TROUBLE_S = 10.0
#: For a stopped run, the time for each of: last look, platform, observer, the run's objects.
LAST_LOOK_S = 1.0
STOPPED_GRACE_S = 2.0
STOPPED_RELEASE_S = 3.0


@dataclass(slots=True)
class Drive:
    """Drives one run's steps on a stack, pipeline after pipeline."""

    run: RunContext
    course: Course
    steward: StewardClient
    endpoints: Endpoints
    _rigs: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _shown: list[StepShown] = field(default_factory=list)
    _rig: Rig | None = None
    _waiting: Waiting = field(init=False)
    _assigner: Assigner | None = None
    #: The step and the number of looks that the course judged last.
    _judged: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        self._waiting = Waiting(
            self.run.facts,
            self._death,
            lambda: stack_trouble(self.endpoints),
            self.run.stopping,
            Verdict.STACK.exit_code,
        )

    def drive(self) -> None:
        """Take one step after another until the course has no more, or the run is ended."""
        if self.endpoints.supervisor_pid is None:
            self.run.facts.notes.append(UNKNOWN)
        state = self._next_state()
        try:
            while state is not None and not self._over:
                null = state.step.mode == "null"
                state = self._through_nothing(state) if null else self._through_one_rig(state)
        finally:
            self.run.facts.course = self.course.outcome(self._shown)

    @property
    def _over(self) -> bool:
        return bool(self.run.stopping or self.run.facts.broken or self.run.facts.workers_lost)

    def _next_state(self) -> StepState | None:
        """The next step's state: one that was planned, or a new one."""
        if self._shown:
            self.run.facts.course_so_far = self.course.outcome(self._shown)
        step = self.course.next_step(self._shown)
        if step is None:
            return None
        # If a later step needs more lanes than the first ones, they are started now, and stay.
        self.run.lanes_wanted = max(self.run.lanes_wanted or 0, step.lanes)
        number = len(self._shown) + 1
        planned = self.run.states[number - 1 : number]
        if planned and planned[0].step == step:
            return planned[0]
        del self.run.states[number - 1 :]
        self.run.states.append(StepState(number, step))
        return self.run.states[-1]

    def _through_one_rig(self, first: StepState) -> StepState | None:
        """Take all steps that share the first one's pipeline; returns the first that does not."""
        run, facts = self.run, self.run.facts
        run.enter("tables, topics and connector")
        rig = self._rig = prepare(self._plan(first), self.steward)
        following: StepState | None = first
        try:
            run.enter("observer and platform")
            with no_longer_than(run.stopping, CLEAN_UP_RESERVED_S, "its pipeline was up"):
                rig.start(held=first.step.mode == "drain", smoke=run.options.smoke)
            run.samples.renew()
            pipeline = first.step.pipeline
            patience_s = max(pipeline.sink_delay_s, pipeline.iceberg_commit_interval_s)
            run.watch.start(self._look, patience_s)
            run.enter("a first event on its way to the topic")
            self._open(rig)
            following = self._steps(rig, first)
        except CutShortError as error:
            facts.notes.append(str(error))
        except TargetError as error:
            self._blame(error)
        finally:
            self._clean_up(rig)
        if following is not first and died_of_its_fault(first, facts):
            facts.gone.append(Gone(first.number, facts.broken[0].reason))
            facts.broken.clear()
        return following if not facts.broken else None

    def _through_nothing(self, state: StepState) -> StepState | None:
        """Take a step in the mode `null`, for which nothing is prepared."""
        CeilingDriver(run=self.run, state=state, waiting=self._waiting, attend=self._attend).take()
        self._shown.append(shown(state, self.run.facts, ()))
        return self._next_state() if not self._over else None

    def _open(self, rig: Rig) -> None:
        """Prove that events pass; raises TargetError if none come through the user's own
        pipeline.
        """

        def wait(place: str, done: Callable[[], bool]) -> bool:
            what = f"the first event at {place}"
            return self._waiting.until(what, done, OPEN_S, reserved_s=CLEAN_UP_RESERVED_S)

        missing = rig.open(self.steward, wait)
        if missing and not self._over:
            raise TargetError(
                f"{missing} within {OPEN_S:g} s, so there was no load; check that the pipeline runs"
                " and leads there"
            )

    def _plan(self, first: StepState) -> RigPlan:
        run, number = self.run, next(self._rigs)
        return RigPlan(
            run=run.id,
            name=f"cdc_{run.id}" if number == 1 else f"cdc_{run.id}_{number}",
            endpoints=self.endpoints,
            pipeline=first.step.pipeline,
            tuning=run.options.tuning,
            anchor=run.anchor,
            logs=run.directory / "logs",
            workload=run.workload,
            custom=run.custom,
        )

    def _steps(self, rig: Rig, first: StepState) -> StepState | None:
        run = self.run
        taken: list[StepState] = []
        state: StepState | None = first
        key = rig_key(first.number, first.step)
        while state is not None and rig_key(state.number, state.step) == key and not self._over:
            StepDriver(
                run=run,
                rig=rig,
                state=state,
                waiting=self._waiting,
                attend=self._attend,
                missing=self._missing,
                give_up=self._give_up,
                fault=FaultDriver(run, rig, state, self.steward) if state.step.fault else None,
            ).take()
            taken.append(state)
            self._shown.append(self._show(rig, state))
            state = self._next_state()
        ran = [item for item in taken if item.workers]
        self.run.enter("audit: fences, ledger, final state")
        if ran and not self.run.facts.broken and not self.run.facts.workers_lost:
            self._close(rig, ran)
        return state

    def _show(self, rig: Rig, state: StepState) -> StepShown:
        """The figures of a step that has ended, as far as they are known before the audit."""
        run, look = self.run, self.run.watch.last
        if state.number in look.sink.steps:
            run.facts.sink[state.number] = look.sink.steps[state.number]
        if state.step.probe and not self._over:
            self._keep_figures(rig, [state])
        gauges = run.samples.gauges_between(state.t0_us, state.loaded_us)
        return shown(state, run.facts, run.watch.moments, gauges)

    def _give_up(self, state: StepState) -> str:
        """Why the load should be cut short; each look is judged once."""
        watch = self.run.watch
        seen = watch.last.sink.steps.get(state.number)
        looks = watch.looks.get(state.number, ())
        judged = (state.number, len(looks))
        if seen is None or not looks or judged == self._judged:
            return ""
        self._judged = judged
        return self.course.give_up(StepProgress(state.step, looks, seen.recorder))

    def _missing(self) -> Sequence[str]:
        """Parts that the run needs and that are permanently gone."""
        with contextlib.suppress(HarnessError):
            return self.steward.health().gone
        return ()

    def _attend(self, assigner: Assigner | None) -> None:
        self._assigner = assigner

    def _close(self, rig: Rig, states: list[StepState]) -> None:
        """Audit the steps; a run that was asked to stop uses the rest of its time for that."""
        run, left_s = self.run, self.run.stopping.left_s(CLEAN_UP_RESERVED_S)
        limit_s = (
            run.options.drain_timeout if left_s is None else min(left_s, run.options.drain_timeout)
        )
        try:
            with gevent.Timeout(left_s):
                close(Closing(rig, states, run.workload, run.facts, limit_s), run.watch.look)
        except gevent.Timeout:
            run.facts.fenced = False
            run.facts.notes.append("the audit was cut short, because the run was asked to stop")
        self._keep_figures(rig, states)

    def _keep_figures(self, rig: Rig, states: list[StepState]) -> None:
        """Keep the platform's figures of each step."""
        run, facts = self.run, self.run.facts
        until_us = states[-1].ended_us
        self._waiting.until(
            "the last samples",
            lambda: self._sampled(rig, until_us),
            SAMPLED_S,
            reserved_s=CLEAN_UP_RESERVED_S,
        )
        for state in states:
            # A held platform does nothing until its drain begins.
            began_us = state.drain_us or state.t0_us
            facts.samples[state.number] = run.samples.between(began_us, state.ended_us)
            if state.fault is not None:
                state.fault.gauges = run.samples.gauges_between(
                    state.fault.injected_us, state.ended_us
                )
            facts.costs[state.number] = self._cost(state)
            high_water = run.samples.high_water(began_us, state.ended_us)
            if high_water is None:  # a platform without samples knows one maximum over all steps
                high_water = run.watch.last.platform.high_water
            if high_water is not None:
                facts.high_water[state.number] = high_water

    def _cost(self, state: StepState) -> Costs:
        """The cost of a step while its load lasted; for a load that was there before, while it was
        drained.
        """
        until_us = state.ended_us if state.drain_us else state.loaded_us
        gauges = self.run.samples.gauges_between(state.drain_us or state.t0_us, until_us)
        return step_cost(gauges, servers_known=self.endpoints.supervisor_pid is not None)

    def _sampled(self, rig: Rig, until_us: int) -> bool:
        self.run.watch.look()
        return rig.sampled(self.run.samples, until_us)

    def _look(self) -> PipelineSnapshot:
        """Look at the pipeline, and add the samples since the last look."""
        assert self._rig is not None
        self._rig.collect(self.run.samples)
        return self._rig.look()

    def _blame(self, silence: TargetError) -> None:
        """Find the cause of a silence: if a process is seen to be dead a moment later, its death
        broke the run.

        A run that was asked to stop ends because of that, and its silence is only a note.
        """
        facts = self.run.facts
        if self.run.stopping:
            facts.notes.append(str(silence))
            return
        self._waiting.until(
            "a reason for the silence", lambda: bool(facts.broken), DYING_S, reserved_s=0.0
        )
        if facts.broken:
            return
        # A process that cannot reach its servers does not start, so the servers are asked first.
        if (cause := stack_trouble(self.endpoints)) is None:
            raise silence
        facts.broken.append(Broken(cause, Verdict.STACK.exit_code))

    def _clean_up(self, rig: Rig) -> None:
        """Stop the load first, then its surroundings; each part has a limit."""
        run, facts = self.run, self.run.facts
        run.enter("clean up: lanes, platform, created objects")
        stopped = run.stopping.left_s() is not None
        self._stop_lanes()
        with gevent.Timeout(LAST_LOOK_S if stopped else None, False):
            run.watch.stop()
        self._ask_for_health()
        facts.notes += rig.stop(STOPPED_GRACE_S if stopped else GRACE_S)
        try:
            problems = self.steward.release(STOPPED_RELEASE_S if stopped else RELEASE_S)
        except HarnessError as error:
            problems = [str(error)] if stopped else []
            if (
                not facts.broken and not stopped
            ):  # if time is short, the steward goes on without the run
                facts.broken.append(Broken(str(error), error.exit_code))
        facts.leave_behind(problems)
        self._rig = None

    def _stop_lanes(self) -> None:
        """Stop all writes before tables and topics are removed."""
        run = self.run
        begun = [state for state in run.states if state.workers]
        if not begun or begun[-1].loaded:
            return
        run.sender.halt(Halt(run=run.id, token=run.token))
        there = set(run.sender.workers())
        left_s = run.stopping.left_s(CLEAN_UP_RESERVED_S)
        deadline_s = time.monotonic() + (HALT_S if left_s is None else min(HALT_S, left_s))
        while time.monotonic() < deadline_s and any(
            worker in there and not begun[-1].is_done(worker) for worker in begun[-1].workers
        ):
            gevent.sleep(POLL_S)

    def _ask_for_health(self) -> None:
        """Ask for events at the servers that would explain or spoil the figures."""
        facts = self.run.facts
        if facts.broken or self.run.stopping.left_s() is not None:
            return
        with contextlib.suppress(TargetError):  # other checks report servers that do not answer
            health = self.steward.health()
            facts.restarts += facts.unexplained(health.restarted)
            facts.disturbed += facts.unexplained(health.disturbed)
            known = {gone.what for gone in facts.gone}
            number = max(1, len(self._shown))
            facts.gone += [Gone(number, what) for what in health.gone if what not in known]
            facts.retention_lost += health.deleted_records
            facts.source_clock = ClockOffset(health.source_ahead_us, health.source_bound_us)

    @property
    def _fault_holds(self) -> bool:
        """Whether a fault of the run has been done and not yet undone."""
        return any(
            state.fault is not None and not state.fault.healed_us for state in self.run.states
        )

    def _death(self) -> Broken | None:
        rig, facts = self._rig, self.run.facts
        if not supervised(self.endpoints):
            return Broken(
                "a server of the stack died, and the stack with it; `make stack-status` says which",
                Verdict.STACK.exit_code,
            )
        if rig is not None and (message := rig.dead()) is not None:
            # A platform that lost its broker dies of that: look for the cause before blaming the
            # platform, unless the run itself has taken the broker away.
            cause = None if self._fault_holds else stack_trouble(self.endpoints)
            if cause:
                return Broken(cause, Verdict.STACK.exit_code)
            return Broken(f"the system under test died: {message}", Verdict.FAIL.exit_code)
        if self._assigner is not None and (lost := self._assigner.lost()):
            facts.workers_lost, facts.workers = len(lost), len(self._assigner.state.workers)
        return None


def stack_trouble(endpoints: Endpoints) -> str | None:
    """The problem of the stack's servers, if one of them does not answer."""
    asked = gevent.get_hub().threadpool.spawn(_verified, endpoints)
    try:
        trouble: str | None = asked.get(timeout=TROUBLE_S)
    except gevent.Timeout:
        return f"a server of the stack does not answer within {TROUBLE_S:g} s"
    return trouble


def _verified(endpoints: Endpoints) -> str | None:
    try:
        verify(endpoints)
    except StackError as error:
        return str(error)
    return None

"""Does the fault of a step: injects it at its planned moment, heals it, and watches until the
pipeline has recovered.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import gevent
import structlog

from cdc_users.error import HarnessError, TargetError
from cdc_users.measure.judgement.backlog import ProgressSample
from cdc_users.measure.judgement.recovery import FaultMoments, LatencySpan, recovery
from cdc_users.measure.schedule.fault_plan import PlannedFault
from cdc_users.pipeline.pipeline import Rig
from cdc_users.pipeline.provision.client import StewardClient
from cdc_users.run.context import RunContext
from cdc_users.run.wait import CLEAN_UP_RESERVED_S, CutShortError, no_longer_than
from cdc_users.step.fault import FaultState, fault_of
from cdc_users.step.state import StepState
from cdc_users.view.run_view import due
from infra.faults.fault import Fault

logger = structlog.get_logger()

POLL_S = 0.2
#: The recovery is computed from all looks, which is costly, so only this often.
JUDGE_S = 1.0
#: The stages of a step with a fault, as charts and timelines show them.
FAULT, RECOVER = "fault", "recover"


@dataclass(slots=True)
class FaultDriver:
    """The fault of one step, in a greenlet of its own beside the load."""

    run: RunContext
    rig: Rig
    state: StepState
    steward: StewardClient
    #: The fault is over and its recovery was seen, so the load may end.
    over: bool = False
    #: The error that prevented the injection or the healing.
    failure: HarnessError | None = None
    _looks: list[ProgressSample] = field(default_factory=list)
    _greenlet: Any = None

    @property
    def _planned(self) -> PlannedFault:
        assert self.state.step.fault is not None
        return self.state.step.fault

    @property
    def _fault(self) -> Fault:
        return fault_of(self._planned)

    @property
    def at_work(self) -> bool:
        """Whether the fault may explain what is seen now."""
        return self.state.fault is not None and not self.over

    def start(self) -> None:
        """Begin to wait for the fault's moment."""
        self._greenlet = gevent.spawn(self._life)

    def finish(self) -> None:
        """Return when the fault is healed; a fault that is in effect is healed at once."""
        self.over = True
        if self._greenlet is not None:
            self._greenlet.join()
        if self.failure is not None:
            raise self.failure

    def _life(self) -> None:
        planned = self._planned
        try:
            while not self.state.t0_us and not self._interrupted:
                gevent.sleep(POLL_S)  # the step has not been announced
            if self._fault.prepare is not None and not self._interrupted:
                self._aside(self.steward.await_ready)
            self._look_until(planned.inject_at_s)
            if self.over or self.run.stopping:
                return
            if not self._do(planned).refused:
                self._look_on(planned)
        except HarnessError as error:
            self.failure = error
        finally:
            self._conclude()
            self.over = True

    def _do(self, planned: PlannedFault) -> FaultState:
        """Inject, hold, heal; a fault whose injection has begun is always healed."""
        run, state = self.run, self.state
        state.fault = done = FaultState(injected_us=run.anchor.now_us())
        run.facts.explained += self._fault.explains
        run.mark(FAULT, state)
        logger.info("benchmark.fault.inject", fault=planned.name, step=state.step.name)
        try:
            self._inject(done)
            if self._fault.holds and not done.refused:
                self._look_until(self._now_s() + planned.hold_s)
        finally:
            done.healing_us = run.anchor.now_us()
            try:
                self._act("heal")
            finally:
                done.healed_us = run.anchor.now_us()
        run.mark(RECOVER, state)
        logger.info("benchmark.fault.heal", fault=planned.name, step=state.step.name)
        return done

    def _inject(self, done: FaultState) -> None:
        """Inject. A fault that a server does not take is undone, and its step invalid; the next
        step's fault may be taken.
        """
        try:
            self._act("inject")
        except CutShortError:
            raise
        except TargetError as error:
            if error.exit_code != TargetError.exit_code:
                raise
            done.refused = str(error)
            logger.warning(
                "benchmark.fault.refused",
                fault=self._planned.name,
                step=self.state.step.name,
                problem=done.refused,
            )

    def _act(self, what: str) -> None:
        """Act here if the fault is done to a process of the run; otherwise the steward acts."""
        away = self._fault.without
        if self._fault.of_the_run:
            self._here(what, lambda: self.rig.do(self._planned.name, what))
        elif what == "inject":
            if away:
                self._here(what, lambda: self.rig.system.act("terminate", away))
            objects = self.rig.fault_objects(self.run.options.tuning)
            allowed = self.run.options.allow_fault
            self._aside(lambda: self.steward.inject(self._planned.name, objects, allowed))
        else:
            try:
                self._aside(self.steward.heal)
            finally:
                if away:
                    self._here(what, lambda: self.rig.system.act("restart", away))

    def _here(self, what: str, action: Callable[[], None]) -> None:
        with no_longer_than(self.run.stopping, CLEAN_UP_RESERVED_S, f"it could {what} its fault"):
            action()

    def _aside(self, action: Any) -> None:
        """Wait for the steward, and keep looking meanwhile: a server may take seconds to start."""
        asked = gevent.spawn(_caught, action)
        while not asked.ready():
            self._look()
            asked.join(POLL_S)
        if asked.value is not None:
            raise asked.value

    def _look_on(self, planned: PlannedFault) -> None:
        """Watch until the pipeline has recovered, or the time for that is over."""
        until_s = self._now_s() + planned.recover_s
        while not self._interrupted and self._now_s() < until_s:
            self._look_until(self._now_s() + JUDGE_S)
            if self._recovered:
                return

    @property
    def _recovered(self) -> bool:
        moments = self._moments
        if moments is None:
            return False
        return recovery(self._looks, moments, self._spans()).recovered_s is not None

    @property
    def _moments(self) -> FaultMoments | None:
        done = self.state.fault
        if done is None:
            return None
        t0_us = self.state.t0_us
        return FaultMoments(
            self._planned.steady_from_s,
            (done.injected_us - t0_us) / 1e6,
            (done.healed_us - t0_us) / 1e6,
        )

    def _spans(self) -> Sequence[LatencySpan]:
        """The watch's percentiles of this step, on the step's own time."""
        watch, state = self.run.watch, self.state
        ahead_s = watch.elapsed_s - self._now_s()
        return [
            LatencySpan(row.elapsed_s - ahead_s, row.p99_ms, row.window_s or 1.0)
            for row in watch.moments
            if row.step == state.step.name
        ]

    def _conclude(self) -> None:
        done = self.state.fault
        if done is not None:
            done.looks = self._looks
            done.spans = self._spans()
            done.moments = self._moments

    @property
    def _interrupted(self) -> bool:
        return self.over or bool(self.run.stopping) or bool(self.run.facts.broken)

    def _now_s(self) -> float:
        return (self.run.anchor.now_us() - self.state.t0_us) / 1e6

    def _look_until(self, at_s: float) -> None:
        while not self._interrupted and (left_s := at_s - self._now_s()) > 0:
            gevent.sleep(min(left_s, POLL_S))
            self._look()

    def _look(self) -> None:
        """Note how many events have arrived; nothing if a part does not answer now."""
        state = self.state
        with contextlib.suppress(TargetError):
            delivered = self.rig.delivered(state.number)
            now_us = self.run.anchor.now_us()
            failed = state.total("failed") + state.total("dropped")
            arrivals = max(0, due(state, now_us) - failed)
            self._looks.append(
                ProgressSample(
                    (now_us - state.t0_us) / 1e6,
                    state.sent,
                    delivered,
                    arrivals * state.step.rows_per_arrival,
                )
            )


def _caught(action: Any) -> HarnessError | None:
    """An action's error as a value, because Locust takes a greenlet that fails for a crash."""
    try:
        action()
    except HarnessError as error:
        return error
    return None

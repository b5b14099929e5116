"""Runs one step's load: starts lanes, tells every process, and waits until the load ends or is cut
short.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import gevent
import structlog

from cdc_users.error import HarnessError
from cdc_users.measure.schedule.fault_plan import ACT_S
from cdc_users.run.assignment import Assigner
from cdc_users.run.context import RunContext
from cdc_users.run.wait import STUCK_S, Progress, Waiting
from cdc_users.step.state import StepState
from cdc_users.users.message import Assignment, Halt
from cdc_users.users.target import LaneTarget, NullTarget
from cdc_users.view.run_view import due

logger = structlog.get_logger()

LANES_UP_S = 30.0
#: The time in which lanes that were asked to stop must finish what they have begun.
HALT_S = 5.0
#: Of a stop's time, what comes after the load.
DRAIN_RESERVED_S = 18.0
#: A row takes a part of a second at most; a transaction of many takes as many of them.
ROWS_PER_S = 1000.0


@dataclass(slots=True, kw_only=True)
class LoadDriver:
    """One step's load; `attend` is told of the step's assigner while it lasts, so that a worker
    that is lost is noticed.
    """

    run: RunContext
    state: StepState
    waiting: Waiting
    attend: Callable[[Assigner | None], None]
    #: Why a load that goes on is not worth carrying to its end.
    give_up: Callable[[StepState], str] = lambda _: ""
    _assigner: Assigner = field(init=False)

    def __post_init__(self) -> None:
        self._assigner = Assigner(
            self.state, self._template(), self.run.sender, self.run.anchor.now_us
        )

    def _target(self) -> LaneTarget | NullTarget:
        """Where lanes write."""
        raise NotImplementedError

    def _carry_load(self) -> None:
        """Announce the step and wait until its load has ended."""
        self._announce()
        try:
            self._load()
        finally:
            self.attend(None)
        self.state.loaded_us = self.run.anchor.now_us()

    def _lanes_come_up(self) -> bool:
        run, facts = self.run, self.run.facts
        wanted = run.lanes_wanted or 0
        run.enter(f"{wanted} lanes")
        up = self.waiting.until(
            f"{wanted} lanes", lambda: self._lanes() >= wanted or bool(run.stopping), LANES_UP_S
        )
        if not up and not facts.broken and not run.stopping:
            raise HarnessError(
                f"only {self._lanes()} of {wanted} lanes came up in {LANES_UP_S:g} s"
            )
        return up and not run.stopping

    def _lanes(self) -> int:
        runner = self.run.environment.runner
        return runner.user_count if runner is not None else 0

    def _announce(self) -> None:
        run, state = self.run, self.state
        first = not any(
            other.workers and other.step.mode != "null"
            for other in run.states
            if other is not state
        )
        self._assigner.announce()
        run.current = state
        run.enter("load")
        run.mark(state.step.name, state)
        if first:
            # Locust's rates should be those of the load alone, without the preparation.
            lead_s = max(0.0, (state.t0_us - run.anchor.now_us()) / 1e6)
            gevent.spawn_later(lead_s, run.environment.stats.reset_all)
        self.attend(self._assigner)
        logger.info(
            "benchmark.step",
            step=state.step.name,
            mode=state.step.mode,
            arrivals=state.step.schedule.count,
        )

    def _load(self) -> None:
        """Wait for the end of the load: by itself, by a stop, by a death, by a lost worker, or
        because nothing moves any more.
        """
        run, state = self.run, self.state
        stuck_s = STUCK_S + state.step.rows_per_arrival / ROWS_PER_S
        if state.step.fault is not None:  # what the fault holds back comes loose after its healing
            stuck_s += state.step.fault.hold_s + ACT_S
        self.waiting.until(
            f"the load of {state.step.name}",
            self._loaded,
            None,
            progress=Progress(self._moved, stuck_s),
            reserved_s=DRAIN_RESERVED_S,
        )
        if not state.loaded:
            run.sender.halt(Halt(run=run.id, token=run.token))
        if state.cut:
            self.waiting.until("what had begun", lambda: state.loaded, HALT_S)

    def _loaded(self) -> bool:
        """Whether the step's load has ended; also gives new workers their shares, and marks stages
        that have begun.
        """
        self._assigner.follow()
        state = self.state
        offset_s = (self.run.anchor.now_us() - state.t0_us) / 1e6
        begun = [mark for mark in state.step.marks if mark.offset_s <= offset_s]
        for mark in begun[state.marked :]:
            self.run.mark(mark.name, state)
            logger.info("benchmark.stage", stage=mark.name, step=state.step.name)
        state.marked = len(begun)
        if state.loaded or self.run.facts.workers_lost:
            return True
        if self.run.watch.silence is not None and not self._excused():
            # A part that stays silent would not answer in the drain either.
            raise self.run.watch.silence
        state.cut = self.give_up(state)
        return bool(state.cut)

    def _excused(self) -> bool:
        """Whether a part that does not answer now is excused."""
        return False

    def _moved(self) -> object:
        """A value that changes while arrivals are carried out; None while none is due."""
        state = self.state
        done = sum(state.total(name) for name in ("completed", "failed", "dropped"))
        return None if due(state, self.run.anchor.now_us()) <= done else done

    def _template(self) -> Assignment:
        run, state = self.run, self.state
        return Assignment(
            run=run.id,
            token=run.token,
            step=state.number,
            t0_us=0,
            schedule=state.step.schedule,
            rows_per_arrival=state.step.rows_per_arrival,
            anchor=run.anchor,
            target=self._target(),
            workload=run.workload,
            drop_after_s=run.options.late,
        )

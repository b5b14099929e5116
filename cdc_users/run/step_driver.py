"""Takes one step through a prepared pipeline: lanes up, load, drain."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import gevent
import structlog
from msgspec.structs import replace

from cdc_users.error import HarnessError, TargetError
from cdc_users.pipeline.pipeline import Rig
from cdc_users.pipeline.telemetry import advance
from cdc_users.run.assignment import Assigner
from cdc_users.run.context import RunContext
from cdc_users.run.silence import Silence
from cdc_users.run.wait import STUCK_S, Waiting
from cdc_users.step.state import StepState
from cdc_users.users.message import Assignment, Halt
from cdc_users.users.target import LaneTarget, TopicTarget
from cdc_users.view.run_view import due

logger = structlog.get_logger()

LANES_UP_S = 30.0
SHARED_OUT_S = 30.0
STOPPED_DRAIN_S = 10.0
#: Lanes that are told to stop finish what they have begun within this.
HALT_S = 5.0
#: Of a stop's time, what comes after the load, and what comes after the drain.
DRAIN_RESERVED_S = 18.0
AUDIT_RESERVED_S = 15.0
#: A row takes a part of a second at most; a transaction of many takes as many of them.
ROWS_PER_S = 1000.0


@dataclass(slots=True)
class StepDriver:
    """One step of a run on its rig; `attend` is told of the step's assigner while the load lasts,
    so that a worker that is lost is noticed.
    """

    run: RunContext
    rig: Rig
    state: StepState
    waiting: Waiting
    attend: Callable[[Assigner | None], None]
    #: What the run needs and is gone for good; asked when nothing comes.
    missing: Callable[[], Sequence[str]]
    _assigner: Assigner = field(init=False)

    def __post_init__(self) -> None:
        self._assigner = Assigner(
            self.state, self._template(), self.run.sender, self.run.anchor.now_us
        )

    def take(self) -> None:
        """Load, drain, and note what there is then."""
        run, state, facts = self.run, self.state, self.run.facts
        if not self._lanes_come_up():
            return
        before = self._positions()
        self._announce()
        try:
            self._load()
        finally:
            self.attend(None)
        state.loaded_us = run.anchor.now_us()
        state.looks = list(run.watch.looks.get(state.number, ()))
        if facts.broken or facts.workers_lost:
            return
        if state.step.mode == "drain":
            self._begin_drain()
        if state.step.marks:
            run.mark("drain", state)
        self._drain()
        if facts.broken:
            return  # what is silent would only be waited for once more
        facts.partition_events[state.number] = advance(before, self._positions())

    def _lanes_come_up(self) -> bool:
        run, facts = self.run, self.run.facts
        wanted = run.lanes_wanted or 0
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
        first = not any(other.workers for other in run.states)
        self._assigner.announce()
        run.current = state
        run.mark(state.step.name, state)
        if first:
            # Locust's rates are those of the load, and not of what had to be set up for it.
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
        """The load ends by itself or when it is told to; a death, or a worker that is lost, cuts it
        short, and so does a system in which nothing moves any more.
        """
        run, state = self.run, self.state
        stuck_s = STUCK_S + state.step.rows_per_arrival / ROWS_PER_S
        self.waiting.until(
            f"the load of {state.step.name}",
            self._loaded,
            None,
            progress=self._moved,
            stuck_s=stuck_s,
            reserved_s=DRAIN_RESERVED_S,
        )
        if not state.loaded:
            run.sender.halt(Halt(run=run.id, token=run.token))

    def _loaded(self) -> bool:
        """Whether the step's load has ended; meanwhile sees to new workers, and marks the stages
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
        if self.run.watch.silence is not None:
            raise self.run.watch.silence  # what stays silent will not be there for the drain either
        return False

    def _moved(self) -> object:
        """What changes as long as arrivals are carried out; None while none is due."""
        state = self.state
        done = sum(state.total(name) for name in ("completed", "failed", "dropped"))
        return None if due(state, self.run.anchor.now_us()) <= done else done

    def _begin_drain(self) -> None:
        """The load is there: let all instances start to read at one moment, from which the drain
        is timed.
        """
        run, rig, state, facts = self.run, self.rig, self.state, self.run.facts
        # The topic's tap has done its own reading by then, and does not compete for the processor.
        self.waiting.until(
            "the topic's tap",
            lambda: rig.progress()["topic"].delivered.get(state.number, 0) >= state.sent,
            run.options.drain_timeout,
            reserved_s=DRAIN_RESERVED_S,
        )
        shared_out = not facts.broken and self.waiting.until(
            "an instance for every partition",
            rig.shared_out,
            SHARED_OUT_S,
            reserved_s=DRAIN_RESERVED_S,
        )
        if not shared_out and not facts.broken and not run.stopping:
            raise HarnessError(f"not every partition has its instance after {SHARED_OUT_S:g} s")
        run.mark("drain", state)
        state.drain_us = run.anchor.now_us()
        rig.begin()

    def _drain(self) -> None:
        run, rig, state = self.run, self.rig, self.state
        with contextlib.suppress(TargetError):  # what died meanwhile is seen below
            state.backlog_at_end = state.sent - rig.delivered(state.number)
        limit_s = STOPPED_DRAIN_S if run.stopping else run.options.drain_timeout
        sent = state.sent
        silence, delivered = Silence(self.missing), -1

        def over() -> bool:
            nonlocal delivered
            delivered = rig.delivered(state.number)
            return delivered >= sent or silence.hopeless(delivered)

        self.waiting.until(
            f"{sent} events of {state.step.name} at the sink",
            over,
            limit_s,
            reserved_s=AUDIT_RESERVED_S,
        )
        state.drained, state.quiet_s = delivered >= sent, silence.quiet_s
        run.facts.gone += silence.causes
        state.ended_us = run.anchor.now_us()
        run.watch.note()
        logger.info(
            "benchmark.produce.progress", step=state.step.name, sent=sent, drained=state.drained
        )

    def _positions(self) -> Mapping[str, int] | None:
        """How far each partition is in the platform; None where it does not say."""
        with contextlib.suppress(TargetError):
            return self.run.watch.look().platform.positions
        return None

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

    def _target(self) -> LaneTarget:
        """Where lanes write, with what the options say of production straight to the topic."""
        target, options = self.rig.wiring.target, self.run.options
        if not isinstance(target, TopicTarget):
            return target
        return replace(
            target,
            headers=options.debezium_headers,
            evolve_at=options.evolve_at,
            linger_ms=1.0 if options.tuning == "latency" else 5.0,
        )

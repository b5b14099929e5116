"""Takes one step through a prepared pipeline: lanes up, load, drain."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import gevent
import structlog
from msgspec.structs import replace

from cdc_users.error import HarnessError, TargetError
from cdc_users.measure.judgement.processor import ProcessorReading, between
from cdc_users.pipeline.pipeline import Rig
from cdc_users.pipeline.telemetry import advance
from cdc_users.run.driver.faults import FaultDriver
from cdc_users.run.driver.load_driver import DRAIN_RESERVED_S, LoadDriver
from cdc_users.run.driver.silence import Silence
from cdc_users.step.processors import read_run
from cdc_users.step.state import Gone
from cdc_users.users.target import LaneTarget, TopicTarget

logger = structlog.get_logger()

SHARED_OUT_S = 30.0
STOPPED_DRAIN_S = 10.0
#: The part of a stop's time that is reserved for what follows the drain.
AUDIT_RESERVED_S = 15.0
#: Why the load of a step with a fault ends before its last arrival.
ALL_SEEN = "all is seen of its fault"


@dataclass(slots=True, kw_only=True)
class StepDriver(LoadDriver):
    """One step of a run on its rig."""

    rig: Rig
    #: Returns what is permanently gone of the run's needs; called when no events come.
    missing: Callable[[], Sequence[str]]
    #: The step's fault, if it has one.
    fault: FaultDriver | None = None

    def take(self) -> None:
        """Load and drain, and note the pipeline's final figures."""
        run, state, facts = self.run, self.state, self.run.facts
        if not self._lanes_come_up():
            return
        before, spent = self._positions(), self._processors()
        self._carry_load()
        state.looks = list(run.watch.looks.get(state.number, ()))
        if facts.broken or facts.workers_lost:
            return
        if state.step.mode == "drain":
            self._begin_drain()
        if state.step.marks:
            run.mark("drain", state)
        self._drain()
        if facts.broken:
            return  # a silent part would only be waited for once more
        facts.partition_events[state.number] = advance(before, self._positions())
        facts.processors[state.number] = between(spent, self._processors())

    def _processors(self) -> ProcessorReading:
        sender, parsed = self.run.sender, self.run.environment.parsed_options
        own_lanes = sender.workers() == ["local"] or bool(getattr(parsed, "processes", None))
        return read_run(self.rig, own_lanes=own_lanes)

    def _carry_load(self) -> None:
        """Run the load; with a fault it ends once the fault's recovery was seen."""
        fault = self.fault
        if fault is None:
            LoadDriver._carry_load(self)
            return
        self.give_up = lambda _: ALL_SEEN if fault.over else ""
        fault.start()
        try:
            LoadDriver._carry_load(self)
        finally:
            fault.finish()

    def _excused(self) -> bool:
        return self.fault is not None and self.fault.at_work

    def _begin_drain(self) -> None:
        """The load is in the topic: let all instances begin to read at one moment, which starts the
        drain's time.
        """
        run, rig, state, facts = self.run, self.rig, self.state, self.run.facts
        # The topic's tap has finished its own reading by then, and does not compete for processors.
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
        with contextlib.suppress(TargetError):  # a part that died meanwhile is seen below
            state.backlog_at_end = max(0, state.sent - rig.delivered(state.number))
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
        run.facts.gone += [Gone(state.number, cause) for cause in silence.causes]
        state.ended_us = run.anchor.now_us()
        with gevent.Timeout(run.stopping.left_s(AUDIT_RESERVED_S), False):
            run.watch.note()
        logger.info(
            "benchmark.produce.progress", step=state.step.name, sent=sent, drained=state.drained
        )

    def _positions(self) -> Mapping[str, int] | None:
        """How far the platform is in each partition; None if it does not report that."""
        with contextlib.suppress(TargetError):
            return self.run.watch.look().platform.positions
        return None

    def _target(self) -> LaneTarget:
        """Where lanes write, with the options for records straight to the topic."""
        target, options = self.rig.wiring.target, self.run.options
        if not isinstance(target, TopicTarget):
            return target
        return replace(
            target,
            headers=options.debezium_headers,
            evolve_at=options.evolve_at,
            linger_ms=1.0 if options.tuning == "latency" else 5.0,
        )

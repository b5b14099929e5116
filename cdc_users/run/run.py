"""The life of one run: prepare, load, drain, fence, audit, conclude, clean up.

Runs on the process that is not a worker, in a greenlet of its own that Locust does not know, so
that stopping the users never stops the conclusion. Everything ends in one result directory, one
verdict and one exit code.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

import gevent
import structlog
from gevent.event import Event
from locust.env import Environment

from cdc_users.error import HarnessError, ResultError, TargetError
from cdc_users.measure.clock import new_anchor
from cdc_users.measure.judgement.result import Result, Verdict
from cdc_users.measure.judgement.threshold import Threshold, parse_threshold, with_defaults
from cdc_users.measure.schedule.plan import PlanError
from cdc_users.options.options import Options, command_line, workload_of
from cdc_users.pipeline.pipeline import Rig, prepare
from cdc_users.pipeline.provision.client import StewardClient
from cdc_users.pipeline.samples import SampleLog
from cdc_users.pipeline.telemetry import PipelineSnapshot, advance
from cdc_users.report import directory, remake, table
from cdc_users.run.assignment import Ownership, Sharing
from cdc_users.run.silence import Silence
from cdc_users.run.watch import Load, Watch
from cdc_users.scenario import Scenario, Step, rig_of
from cdc_users.step import result as conclude
from cdc_users.step.close import close
from cdc_users.step.state import Facts, StepState
from cdc_users.step.timeline_row import TimelineRow
from cdc_users.users.lane import Assignment
from cdc_users.view.run_view import due, remaining_s
from cdc_users.view.terminal import TERMINAL
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackError
from infra.stack.find.locate import supervised, verify

logger = structlog.get_logger()

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
LANES_UP_S = 30.0
OPEN_S = 60.0
# Lanes connect between the announcement of a step and its first arrival.
LEAD_S = 0.5
LEAD_DISTRIBUTED_S = 1.5
TELL_AGAIN_S = 1.0
POLL_S = 0.1
SHARED_OUT_S = 30.0
STOPPED_DRAIN_S = 10.0
#: How long a process that has stopped to answer may need until it is seen to be gone.
DYING_S = 2.0
#: How long after a step's end its last samples may come in.
SAMPLED_S = 2.0
TALLY = ("offered", "started", "completed", "failed", "dropped")
STACK_EXIT = Verdict.STACK.exit_code


class LaneMessenger(Protocol):
    """How a run reaches the processes with lanes (events.Messenger)."""

    def workers(self) -> list[str]:
        """The ids of the processes that run lanes."""

    def assign(self, worker: str, assignment: Assignment) -> None:
        """Give a process its share of a step."""

    def halt(self) -> None:
        """Ask every process to take no further arrivals."""


class Run:
    """One run of a scenario, from `start` until `concluded` is set; then `exit_code` says how it
    ended.
    """

    def __init__(
        self,
        environment: Environment,
        scenario: Scenario,
        options: Options,
        steps: Sequence[Step],
        sender: LaneMessenger,
    ) -> None:
        self.id = "".join(secrets.choice(ALPHABET) for _ in range(8))
        self.environment = environment
        self.scenario = scenario
        self.options = options
        self.states = [StepState(number, step) for number, step in enumerate(steps, start=1)]
        #: What was asked for and is left out, each with its reason (ScenarioShape.skipped).
        self.skipped: Sequence[str] = ()
        self.lanes_wanted: int | None = max(step.lanes for step in steps)
        self.concluded = Event()
        self.exit_code = Verdict.ERROR.exit_code
        self.directory = directory.directory(
            options.results, scenario.name, self.id, datetime.now(UTC)
        )
        self._sender = sender
        self._current: StepState | None = None
        self._told_s = 0.0
        self._sharing = Sharing(self.states[0].step.schedule, self.states[0].step.lanes)
        self._stop_reason = ""
        self._anchor = new_anchor()
        self._steward_client: StewardClient | None = None
        self._versions: Mapping[str, str] = {}
        self._watch = Watch(environment, self._load)
        self._samples = SampleLog()
        self._workload = workload_of(options)
        self.result: Result | None = None
        #: Steps and stages as they began, for charts: elapsed_s, name and step.
        self.marks: list[dict[str, Any]] = []

    @property
    def moments(self) -> Sequence[TimelineRow]:
        """What was seen so far, one a second."""
        return self._watch.moments

    @property
    def look(self) -> PipelineSnapshot:
        """The pipeline as it was last seen."""
        return self._watch.last

    @property
    def over(self) -> bool:
        """Whether it has ended, if only because the harness crashed."""
        return bool(self.concluded.is_set())

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return self._watch.elapsed_s

    @property
    def remaining_s(self) -> float | None:
        """Seconds until the current step's last arrival is due;

        None in a burst or between steps.
        """
        return remaining_s(self, self._anchor.now_us())

    def start(self) -> None:
        """Begin, in a greenlet of our own."""
        gevent.spawn(self._life)

    def request_stop(self, reason: str) -> None:
        """End early: no further arrivals, then audit and conclude what there is, as INVALID."""
        if not self._stop_reason and not self.concluded.is_set():
            self._stop_reason = reason
            logger.warning("benchmark.stop", reason=reason)
            self._sender.halt()

    def on_report(self, worker: str, told: Mapping[str, Any]) -> None:
        """A process reports on its share; reports are cumulative, the last one counts."""
        for state in self.states:
            if state.number == told["step"]:
                state.reports[worker] = told

    def spoil(self, reason: str) -> None:
        """The harness itself failed after the conclusion: exit 2, and the result says why."""
        self.exit_code = Verdict.ERROR.exit_code
        try:
            told = remake.read(self.directory)
            spoiled = replace(told, verdict=Verdict.ERROR, reasons=[reason, *told.reasons])
            directory.write_result(self.directory, spoiled)
            remake.write(self.directory, spoiled)
        except ResultError as error:
            logger.error("benchmark.result.unwritten", problem=str(error))  # noqa: TRY400 - the message says all there is

    def _life(self) -> None:
        facts = Facts(
            smoke=self.options.smoke, notes=list(self.skipped), thresholds=self._thresholds()
        )
        try:
            with self._steward() as steward:
                self._carry_out(steward, facts)
        except HarnessError as error:
            facts.broken.append((str(error), error.exit_code))
        except Exception as error:
            logger.exception("benchmark.crash")
            facts.broken.append((f"the harness crashed: {type(error).__name__}: {error}", 2))
        try:
            self._conclude(facts)
        finally:
            self.lanes_wanted = None
            self.concluded.set()

    def _thresholds(self) -> tuple[Threshold, ...]:
        scenario = [parse_threshold(text) for text in self.scenario.thresholds]
        own = {threshold.metric for threshold in self.options.threshold}
        return with_defaults(
            [*(item for item in scenario if item.metric not in own), *self.options.threshold]
        )

    @contextmanager
    def _steward(self) -> Iterator[StewardClient]:
        steward = StewardClient()
        try:
            yield steward
        finally:
            for problem in steward.close():
                logger.error("benchmark.left_behind", problem=problem)

    def _carry_out(self, steward: StewardClient, facts: Facts) -> None:
        self._steward_client = steward
        profile = "test" if self.options.smoke else "bench"
        endpoints, owned = steward.open(self.id, profile, self.options.allow_target)
        self._versions = endpoints.versions
        facts.profile = endpoints.profile
        logger.info(
            "benchmark.start",
            run=self.id,
            scenario=self.scenario.name,
            stack="started" if owned else "found",
        )
        groups = itertools.groupby(self.states, key=lambda state: rig_of(state.number, state.step))
        for number, ((pipeline, _), states) in enumerate(groups, start=1):
            if self._stop_reason or facts.broken:
                break
            rig = prepare(
                self.id,
                number,
                steward,
                endpoints,
                pipeline,
                self.options.tuning,
                self._anchor,
                self.directory / "logs",
                self._workload,
            )
            try:
                self._through(steward, rig, list(states), facts)
            except TargetError as error:
                self._blame(rig, facts, error)
            finally:
                self._watch.stop()
                self._ask_for_health(steward, facts)
                facts.notes += rig.stop()
                facts.notes += [f"left behind: {problem}" for problem in steward.release()]

    def _blame(self, rig: Rig, facts: Facts, silence: TargetError) -> None:
        """Who did not answer may be seen to have died a moment later; then that is what broke the
        run.
        """
        self._await(rig, facts, lambda: bool(facts.broken), DYING_S)
        if not facts.broken:
            raise silence

    def _ask_for_health(self, steward: StewardClient, facts: Facts) -> None:
        """What happened to the servers meanwhile that would explain, or spoil, what was seen."""
        if facts.broken:
            return
        with contextlib.suppress(HarnessError):  # servers that do not answer are told by others
            health = steward.health()
            facts.restarts += health["restarted"]
            facts.disturbed += health["disturbed"]
            facts.gone += [what for what in health["gone"] if what not in facts.gone]
            facts.retention_lost += int(health["deleted_records"])

    def _through(
        self, steward: StewardClient, rig: Rig, states: Sequence[StepState], facts: Facts
    ) -> None:
        """Take some steps through one pipeline, then audit them."""
        rig.start(held=states[0].step.mode == "drain", smoke=self.options.smoke)
        self._samples.renew()
        self._watch.start(lambda: self._look(rig))
        rig.open(steward, lambda done: self._await(rig, facts, done, OPEN_S))
        for state in states:
            self._step(rig, state, facts)
            if self._stop_reason or facts.broken:
                break
        ran = [state for state in states if state.workers]
        if ran and not facts.broken:
            close(rig, ran, self._workload, facts, self.options.drain_timeout, self._watch.look)
            self._keep_figures(rig, ran, facts)

    def _look(self, rig: Rig) -> PipelineSnapshot:
        """Look at the pipeline, and take in what was sampled since the last time."""
        rig.collect(self._samples)
        return rig.look()

    def _keep_figures(self, rig: Rig, states: Sequence[StepState], facts: Facts) -> None:
        """What the platform went through in each step."""
        self._await(rig, facts, lambda: self._sampled(rig, states[-1].ended_us), SAMPLED_S)
        for state in states:
            # A held platform rests until its drain begins.
            began_us = state.drain_us or state.t0_us
            facts.samples[state.number] = self._samples.between(began_us, state.ended_us)
            high_water = self._samples.high_water(began_us, state.ended_us)
            if high_water is None:  # a platform without samples knows its own of all steps
                high_water = self._watch.last.platform.high_water
            if high_water is not None:
                facts.high_water[state.number] = high_water

    def _sampled(self, rig: Rig, until_us: int) -> bool:
        self._watch.look()
        return rig.sampled(self._samples, until_us)

    def _positions(self) -> Mapping[str, int] | None:
        """How far each partition is in the platform; None where it does not say."""
        with contextlib.suppress(TargetError):
            return self._watch.look().platform.positions
        return None

    def _step(self, rig: Rig, state: StepState, facts: Facts) -> None:
        if not self._await(rig, facts, self._lanes_up, LANES_UP_S):
            if not facts.broken and not self._stop_reason:
                raise HarnessError(
                    f"only {self._lanes()} of {self.lanes_wanted} lanes came up in {LANES_UP_S:g} s"
                )
            return
        if self._stop_reason:
            return
        before = self._positions()
        self._announce(rig, state)
        logger.info(
            "benchmark.step",
            step=state.step.name,
            mode=state.step.mode,
            arrivals=state.step.schedule.count,
        )
        # The load ends by itself or when it is told to; only a death cuts it short.
        self._await(rig, facts, lambda: self._loaded(rig, state), None)
        state.loaded_us = self._anchor.now_us()
        state.looks = list(self._watch.looks.get(state.number, ()))
        if state.step.mode == "drain":
            self._begin_drain(rig, state, facts)
        if state.step.marks:
            self._mark("drain", state)
        with contextlib.suppress(TargetError):  # who died meanwhile is seen below
            state.backlog_at_end = state.sent - rig.delivered(state.number)
        limit_s = STOPPED_DRAIN_S if self._stop_reason else self.options.drain_timeout
        sent = state.sent

        state.drained = self._drained(rig, state, facts, sent, limit_s)
        state.ended_us = self._anchor.now_us()
        self._watch.note()
        facts.partition_events[state.number] = advance(before, self._positions())
        logger.info(
            "benchmark.produce.progress", step=state.step.name, sent=sent, drained=state.drained
        )

    def _drained(self, rig: Rig, state: StepState, facts: Facts, sent: int, limit_s: float) -> bool:
        """Wait until everything has come; not where it is known that it cannot."""
        silence = Silence(self._missing)
        delivered = -1

        def over() -> bool:
            nonlocal delivered
            delivered = rig.delivered(state.number)
            return delivered >= sent or silence.hopeless(delivered)

        self._await(rig, facts, over, limit_s)
        state.quiet_s = silence.quiet_s
        facts.gone += silence.causes
        return delivered >= sent

    def _missing(self) -> Sequence[str]:
        """What the run needs and is gone for good."""
        with contextlib.suppress(HarnessError):
            return (
                list(self._steward_client.health()["gone"])
                if self._steward_client is not None
                else []
            )
        return []

    def _begin_drain(self, rig: Rig, state: StepState, facts: Facts) -> None:
        """The load is there: let all instances start to read at one moment, from which the drain
        is timed.
        """
        # The topic's tap has done its own reading by then, and does not compete for the processor.
        self._await(
            rig, facts, lambda: _in_topic(rig, state) >= state.sent, self.options.drain_timeout
        )
        if (
            not facts.broken
            and not self._await(rig, facts, rig.shared_out, SHARED_OUT_S)
            and not facts.broken
        ):
            raise HarnessError(f"not every partition has its instance after {SHARED_OUT_S:g} s")
        self._mark("drain", state)
        state.drain_us = self._anchor.now_us()
        rig.begin()

    def _announce(self, rig: Rig, state: StepState) -> None:
        workers = tuple(self._sender.workers())
        lead_s = LEAD_S if workers == ("local",) else LEAD_DISTRIBUTED_S
        state.t0_us = self._anchor.now_us() + round(lead_s * 1e6)
        state.workers = workers
        self._current = state
        self._mark(state.step.name, state)
        self._sharing = Sharing(state.step.schedule, state.step.lanes)
        try:
            self._tell(rig, state, self._sharing.begin(workers))
        except PlanError as error:
            raise HarnessError(f"{state.step.name}: {error}") from error

    def _share_anew(self, rig: Rig, state: StepState) -> None:
        """Workers that have come since own their part of what is not due yet; who is done takes no
        more.

        A worker says that it is ready before it listens to us (WorkerRunner.__init__), so what it
        was told may be lost; it is told again until it reports. To hear the same twice changes
        nothing.
        """
        if (now_s := time.monotonic()) - self._told_s > TELL_AGAIN_S:
            silent = {
                worker: self._sharing.owners[worker]
                for worker in state.workers
                if worker not in state.reports
            }
            self._told_s = now_s
            self._tell(rig, state, silent)
        workers = self._sender.workers()
        takers = [worker for worker in workers if not state.reports.get(worker, {}).get("done")][
            : state.step.lanes
        ]
        if state.step.mode != "paced" or not set(takers) - set(state.workers):
            return
        offset_ns = (self._anchor.now_us() - state.t0_us) * 1000 + round(LEAD_DISTRIBUTED_S * 1e9)
        logger.info("benchmark.shares", step=state.step.name, workers=len(takers))
        state.workers = tuple(dict.fromkeys((*state.workers, *takers)))
        self._tell(rig, state, self._sharing.change(takers, offset_ns))

    def _tell(self, rig: Rig, state: StepState, owners: Mapping[str, Ownership]) -> None:
        self._told_s = time.monotonic()
        for share, (worker, owned) in enumerate(owners.items()):
            self._sender.assign(
                worker, self._assignment(rig, state, share, len(state.workers), owned)
            )

    def _assignment(
        self, rig: Rig, state: StepState, share: int, shares: int, owned: Ownership
    ) -> Assignment:
        return Assignment(
            run=self.id,
            step=state.number,
            t0_us=state.t0_us,
            schedule=state.step.schedule.to_json(),
            share=share,
            shares=shares,
            first_lane=owned.first_lane,
            parts=owned.to_json(),
            rows_per_arrival=state.step.rows_per_arrival,
            anchor=self._anchor.to_json(),
            target={**rig.wiring.target, **self._producing()},
            workload=self._workload.to_json(),
            drop_after_s=self.options.late,
        )

    def _producing(self) -> dict[str, Any]:
        """What the options say of production straight to the topic."""
        options = self.options
        linger_ms = 1 if options.tuning == "latency" else 5
        return {
            "headers": options.debezium_headers,
            "evolve_at": options.evolve_at,
            "linger_ms": linger_ms,
        }

    def _loaded(self, rig: Rig, state: StepState) -> bool:
        """Whether the step's load has ended; meanwhile sees to new workers, and marks the stages
        that have begun.
        """
        self._share_anew(rig, state)
        offset_s = (self._anchor.now_us() - state.t0_us) / 1e6
        begun = [mark for mark in state.step.marks if mark.offset_s <= offset_s]
        for mark in begun[state.marked :]:
            self._mark(mark.name, state)
        state.marked = len(begun)
        return state.loaded

    def _mark(self, name: str, state: StepState) -> None:
        self.marks.append(
            {"elapsed_s": self._watch.elapsed_s, "name": name, "step": state.step.name}
        )
        logger.info("benchmark.stage", stage=name, step=state.step.name)

    def _lanes(self) -> int:
        runner = self.environment.runner
        return runner.user_count if runner is not None else 0

    def _lanes_up(self) -> bool:
        return self._lanes() >= (self.lanes_wanted or 0) or bool(self._stop_reason)

    def _load(self) -> Load | None:
        state = self._current
        if state is None:
            return None
        tally = {name: state.total(name) for name in TALLY}
        tally["offered"] = min(tally["offered"], due(state, self._anchor.now_us()))
        return Load(
            state.step.name,
            state.number,
            self.marks[-1]["name"],
            sent=state.sent,
            drain=state.step.mode == "drain",
            sink=state.step.pipeline.sink,
            rows_per_arrival=state.step.rows_per_arrival,
            **tally,
        )

    def _await(
        self, rig: Rig, facts: Facts, done: Callable[[], bool], limit_s: float | None
    ) -> bool:
        """Wait for a condition;

        False when the time is over, or something died: the platform, a worker, a server.
        """
        deadline_s = time.monotonic() + limit_s if limit_s is not None else None
        while True:
            if (death := self._death(rig)) is not None:
                facts.broken.append(death)
                return False
            try:
                if done():
                    return True
            except TargetError:
                # Why it does not answer shows when its process is seen to be gone; until then it
                # may be busy.
                logger.warning("benchmark.telemetry.silent")
            if deadline_s is not None and time.monotonic() > deadline_s:
                return False
            gevent.sleep(POLL_S)

    def _death(self, rig: Rig) -> tuple[str, int] | None:
        message = rig.dead()
        if not supervised(rig.wiring.endpoints):
            return (
                "a server of the stack died, and the stack with it; `make stack-status` says which",
                STACK_EXIT,
            )
        if message is not None:
            # A platform that lost its broker dies of it: look for the cause before blaming it.
            cause = _stack_trouble(rig.wiring.endpoints)
            return (
                (cause, STACK_EXIT)
                if cause
                else (f"the system under test died: {message}", Verdict.FAIL.exit_code)
            )
        state = self._current
        lost = (
            set(state.workers) - set(self._sender.workers())
            if state is not None and not state.loaded
            else set()
        )
        if lost:
            return (
                f"{len(lost)} of {len(state.workers if state else ())} workers was lost",
                Verdict.INVALID.exit_code,
            )
        return None

    def _conclude(self, facts: Facts) -> None:
        facts.stop_reason = self._stop_reason
        facts.clock_step_ms = self._watch.clock_step_ms()
        options = directory.plain(self.options)
        command = command_line(
            self.scenario.name, sys.argv[1:], vars(self.environment.parsed_options or Namespace())
        )
        result = conclude.conclude(self.scenario, self.id, self.states, facts, command, options)
        try:
            self._write(result, facts, options)
        except ResultError as error:
            # A result that nobody can read is none, whatever it was.
            result = replace(result, verdict=Verdict.ERROR, reasons=[str(error), *result.reasons])
        for step in result.steps:
            logger.info("benchmark.result", **table.line(step))
        self.result = result
        TERMINAL.say(table.render(result, self.directory))
        self.exit_code = result.verdict.exit_code

    def _write(self, result: Result, facts: Facts, options: Mapping[str, Any]) -> None:
        """Write all files, result.json last; raises ResultError for the first that cannot be
        written.
        """
        place = self.directory
        directory.write_gathered(place, self.states, facts)
        directory.write_samples(place / "samples.csv", self._samples.rows())
        directory.write_timeline(place / "timeline.csv", self._watch.moments)
        directory.write_json(
            place / "environment.json", directory.environment(self._versions, options)
        )
        parsed = self.environment.parsed_options
        directory.write_beside(
            parsed.csv_prefix if parsed is not None else None, result, self.moments
        )
        remake.write(place, result)
        directory.write_result(place, result)


def _in_topic(rig: Rig, state: StepState) -> int:
    return rig.progress()["topic"].delivered.get(state.number, 0)


def _stack_trouble(endpoints: Endpoints) -> str | None:
    """What a server of the stack says instead of an answer, if one does not answer."""
    try:
        verify(endpoints)
    except StackError as error:
        return str(error)
    return None

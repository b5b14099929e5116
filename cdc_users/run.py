"""The life of one run: prepare, load, drain, fence, audit, conclude, clean up.

Runs on the process that is not a worker, in a greenlet of its own that Locust does not know, so that stopping
the users never stops the conclusion. Everything ends in one result directory, one verdict and one exit code.
"""

from __future__ import annotations

import itertools
import json
import secrets
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import gevent
import structlog
from gevent.event import Event
from locust.env import Environment

from cdc_users import artifact, conclude
from cdc_users.error import HarnessError, TargetError
from cdc_users.fence import settle_unknown, write_fences
from cdc_users.measure.clock import Anchor, new_anchor
from cdc_users.measure.recorder import Recorder
from cdc_users.observe.client import Snapshot
from cdc_users.options import Options
from cdc_users.rig import Rig, prepare
from cdc_users.scenario import Scenario, Step
from cdc_users.steward_client import StewardClient
from cdc_users.users.lane import Assignment
from cdc_users.watch import Watch

logger = structlog.get_logger()

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
LANES_UP_S = 30.0
# Lanes connect between the announcement of a step and its first arrival.
LEAD_S = 0.5
LEAD_DISTRIBUTED_S = 1.5
POLL_S = 0.1
FENCE_S = 30.0
STOPPED_DRAIN_S = 10.0


class Sender(Protocol):
    """How a run reaches the processes with lanes (events.Messenger)."""

    def workers(self) -> list[str]:
        """The ids of the processes that run lanes."""

    def assign(self, worker: str, assignment: Assignment) -> None:
        """Give a process its share of a step."""

    def halt(self) -> None:
        """Ask every process to take no further arrivals."""


@dataclass(slots=True)
class StepState:
    """One step while it runs: what the processes reported, and when things happened (wall us)."""

    number: int
    step: Step
    workers: tuple[str, ...] = ()
    t0_us: int = 0
    loaded_us: int = 0
    drained_us: int = 0
    drained: bool = False
    reports: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def loaded(self) -> bool:
        """Whether every process has worked through its share."""
        return bool(self.workers) and all(self.reports.get(worker, {}).get("done") for worker in self.workers)

    def total(self, name: str) -> float:
        """The sum of one tally over all processes."""
        return sum(float(report["tally"][name]) for report in self.reports.values())

    @property
    def sent(self) -> int:
        """Events that must arrive: the acknowledged sequences of all writers."""
        return sum(
            last - first + 1
            for report in self.reports.values()
            for runs in report["ranges"].values()
            for first, last in runs.get("acked", [])
        )

    def recorder(self) -> Recorder:
        """The series of all processes, merged without loss."""
        merged = Recorder()
        for report in self.reports.values():
            merged.merge(Recorder.from_json(report["recorder"]))
        return merged


class Run:
    """One run of a scenario, from `start` until `concluded` is set; then `exit_code` says how it ended."""

    def __init__(
        self, environment: Environment, scenario: Scenario, options: Options, steps: Sequence[Step], sender: Sender
    ) -> None:
        self.id = "".join(secrets.choice(ALPHABET) for _ in range(8))
        self.environment = environment
        self.scenario = scenario
        self.options = options
        self.states = [StepState(number, step) for number, step in enumerate(steps, start=1)]
        self.lanes_wanted: int | None = max(step.lanes for step in steps)
        self.concluded = Event()
        self.exit_code = 2
        self.current: StepState | None = None
        self.watch = Watch(environment)
        self.directory = artifact.directory(options.results, scenario.name, self.id)
        self.audits: dict[int, Mapping[str, Any]] = {}
        self._sender = sender
        self._stop_reason = ""
        self._anchor = new_anchor()

    def start(self) -> None:
        """Begin in a greenlet of our own."""
        gevent.spawn(self._life)

    def request_stop(self, reason: str) -> None:
        """End early: no further arrivals, then audit and conclude what there is, as INVALID."""
        if not self._stop_reason and not self.concluded.is_set():
            self._stop_reason = reason
            logger.warning("benchmark.stop", reason=reason)
            self._sender.halt()

    def on_report(self, worker: str, report: Mapping[str, Any]) -> None:
        """A process reports on its share; reports are cumulative, the last one counts."""
        for state in self.states:
            if state.number == report["step"]:
                state.reports[worker] = report

    def spoil(self, reason: str) -> None:
        """The harness itself failed after the conclusion: exit 2, and the result says why."""
        self.exit_code = 2
        artifact.spoil(self.directory, reason)

    def _life(self) -> None:
        facts = conclude.Facts()
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

    @contextmanager
    def _steward(self) -> Iterator[StewardClient]:
        steward = StewardClient(Path.cwd())
        try:
            yield steward
        finally:
            for problem in steward.close():
                logger.error("benchmark.left_behind", problem=problem)

    def _carry_out(self, steward: StewardClient, facts: conclude.Facts) -> None:
        endpoints, owned = steward.open(self.id, "test" if self.options.smoke else "bench")
        facts.endpoints = endpoints
        logger.info("benchmark.start", run=self.id, scenario=self.scenario.name, stack="started" if owned else "found")
        groups = itertools.groupby(self.states, key=lambda state: state.step.pipeline)
        for number, (pipeline, states) in enumerate(groups, start=1):
            rig = prepare(
                self.id,
                number,
                steward,
                endpoints,
                pipeline,
                self.scenario.capture,
                self.options,
                self._anchor,
                self.directory / "logs",
            )
            try:
                self._through(rig, list(states), facts)
            finally:
                self.watch.stop()
                facts.problems += rig.stop()
                facts.problems += steward.release()
            if self._stop_reason:
                break

    def _through(self, rig: Rig, states: Sequence[StepState], facts: conclude.Facts) -> None:
        self.watch.start(rig.observer, lambda: self.current)
        try:
            for state in states:
                self._step(rig, state, facts)
                if self._stop_reason or facts.broken:
                    break
            if not facts.broken:
                self._audit(rig, [state for state in states if state.workers], facts)
        finally:
            facts.snapshots.append(self.watch.last())

    def _step(self, rig: Rig, state: StepState, facts: conclude.Facts) -> None:
        self._await(rig, facts, self._lanes_up, LANES_UP_S)
        self._announce(rig, state)
        logger.info("benchmark.step", step=state.step.name, mode=state.step.mode, arrivals=state.step.schedule.count)
        # The load ends by itself or when it is told to; only a death cuts it short.
        self._await(rig, facts, lambda: state.loaded, None)
        state.loaded_us = self._anchor.now_us()
        if state.step.pipeline.preload and not facts.broken:
            rig.start_platforms()
        limit_s = min(self.options.drain_timeout, STOPPED_DRAIN_S) if self._stop_reason else self.options.drain_timeout
        state.drained = self._await(rig, facts, lambda: self._delivered(state) >= state.sent, limit_s)
        state.drained_us = self._anchor.now_us()
        logger.info("benchmark.produce.progress", step=state.step.name, sent=state.sent, delivered=self._delivered(state))

    def _announce(self, rig: Rig, state: StepState) -> None:
        workers = tuple(self._sender.workers())
        lead_s = LEAD_S if workers == ("local",) else LEAD_DISTRIBUTED_S
        state.workers = workers
        state.t0_us = self._anchor.now_us() + round(lead_s * 1e6)
        self.current = state
        lanes = -(-state.step.lanes // len(workers))
        for share, worker in enumerate(workers):
            self._sender.assign(worker, self._assignment(rig, state, share, len(workers), share * lanes * 2))

    def _assignment(self, rig: Rig, state: StepState, share: int, shares: int, first_lane: int) -> Assignment:
        options = self.options
        target = {
            "dsn": rig.endpoints.postgres_dsn,
            "schema": rig.names["schema"],
            "tables": list(rig.tables),
            "method": options.insert_method,
            "mix": {"insert": options.mix.insert, "update": options.mix.update, "delete": options.mix.delete},
            "skew": options.key_skew.exponent,
            "seed": options.seed,
            "row_bytes": options.row_bytes,
            "bootstrap": rig.endpoints.kafka_bootstrap,
            "registry": rig.endpoints.schema_registry_url,
            "topics": list(rig.names["topics"]),
            "partitions": rig.pipeline.partitions,
        }
        return Assignment(
            run=self.id,
            step=state.number,
            t0_us=state.t0_us,
            schedule=state.step.schedule.to_json(),
            share=share,
            shares=shares,
            first_lane=first_lane,
            late=options.late,
            rows_per_arrival=state.step.rows_per_arrival,
            anchor=self._anchor.to_json(),
            target=target,
        )

    def _lanes_up(self) -> bool:
        runner = self.environment.runner
        return runner is not None and runner.user_count >= (self.lanes_wanted or 0)

    def _delivered(self, state: StepState) -> int:
        snapshot = self.watch.last()
        return snapshot.delivered(state.number) if snapshot is not None else 0

    def _await(self, rig: Rig, facts: conclude.Facts, done: Callable[[], bool], limit_s: float | None) -> bool:
        """Wait for a condition; False when the time is over, something died, or (loading) the run was stopped."""
        deadline_s = time.monotonic() + limit_s if limit_s is not None else None
        while not done():
            if (death := rig.dead()) is not None:
                facts.broken.append(death)
                return False
            if deadline_s is not None and time.monotonic() > deadline_s:
                return False
            gevent.sleep(POLL_S)
        return True

    def _audit(self, rig: Rig, states: Sequence[StepState], facts: conclude.Facts) -> None:
        expected = conclude.expected(self.id, states)
        if self.scenario.capture == "debezium":
            expected = settle_unknown(rig, expected, states)
        facts.fences = write_fences(rig, FENCE_S, lambda: rig.dead() is None)
        answer = rig.observer.audit(expected)
        facts.audits.append(answer)
        (self.directory / "audit.json").write_text(json.dumps(answer, indent=2), encoding="utf-8")

    def _conclude(self, facts: conclude.Facts) -> None:
        facts.stop_reason = self._stop_reason
        facts.command = shlex.join(["locust", *sys.argv[1:]])
        result = conclude.conclude(self, facts)
        self.exit_code = result.exit_code
        artifact.write(self, facts, result)


__all__ = ["Run", "Sender", "Snapshot", "StepState", "TargetError"]

"""The life of one run, from its first lane to its conclusion.

Runs on the process that is not a worker, in a greenlet that Locust does not know, so stopping the
users never stops the conclusion. Every run ends with one result directory, one verdict and one exit
code.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import gevent
import structlog
from gevent.event import Event
from locust.env import Environment

from cdc_users.error import HarnessError, StewardSilentError
from cdc_users.measure.judgement.result import Result, Verdict
from cdc_users.measure.judgement.threshold import Threshold, parse_threshold, with_defaults
from cdc_users.measure.latency.heat_map import HeatMap
from cdc_users.measure.latency.histogram import LatencyHistogram
from cdc_users.options.options import Options, workload_of
from cdc_users.pipeline.provision.client import CLOSE_S, StewardClient
from cdc_users.pipeline.telemetry import PipelineSnapshot
from cdc_users.report import directory, table
from cdc_users.run import conclusion
from cdc_users.run.assignment import LaneMessenger
from cdc_users.run.context import RunContext
from cdc_users.run.drive import Drive
from cdc_users.run.wait import CLEAN_UP_RESERVED_S
from cdc_users.run.watch import Load, Watch
from cdc_users.scenario import Course, CourseOutcome, Scenario
from cdc_users.step.state import Broken, Facts, ReportedShare, StepState
from cdc_users.step.timeline_row import TimelineRow
from cdc_users.users.carried import carried
from cdc_users.users.message import Ask, Halt, WorkerReport
from cdc_users.view.run_view import Activity, ChartMark, due, remaining_s
from cdc_users.view.terminal import Terminal

logger = structlog.get_logger()

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
TALLY = ("offered", "started", "completed", "failed", "dropped")
#: The steward's part of a stop's time; if that is too short, the steward goes on without the run.
STOPPED_CLOSE_S = 3.0
#: The limit for the processes' reports; after it their last reports count.
HEAR_S = 0.25


class Run:
    """One run of a scenario, from `start` until `concluded` is set; `exit_code` is valid from then
    on.
    """

    def __init__(
        self,
        environment: Environment,
        scenario: Scenario,
        options: Options,
        course: Course,
        sender: LaneMessenger,
    ) -> None:
        identity = "".join(secrets.choice(ALPHABET) for _ in range(8))
        place = directory.directory(options.results, scenario.name, identity, datetime.now(UTC))
        self.context = RunContext(
            id=identity,
            token=secrets.token_hex(8),
            scenario=scenario,
            options=options,
            workload=workload_of(options),
            directory=place,
            environment=environment,
            sender=sender,
            watch=Watch(environment, self._load, self._hear),
            facts=Facts(smoke=options.smoke, thresholds=_thresholds(scenario, options)),
            states=[StepState(number, step) for number, step in enumerate(course.planned, start=1)],
            lanes_wanted=course.planned[0].lanes,
        )
        self.concluded = Event()
        self.exit_code = Verdict.ERROR.exit_code
        self.result: Result | None = None
        #: How many processes of other runs were refused so far.
        self.strangers: Callable[[], int] = lambda: 0
        self._course = course
        #: Processes with lanes that were asked for a report and have not answered.
        self._asked: set[str] = set()
        self._heard = Event()
        self._took_s: float | None = None
        self._versions: Mapping[str, str] = {}

    @property
    def id(self) -> str:
        """The run's eight characters."""
        return self.context.id

    @property
    def scenario(self) -> Scenario:
        """The run's question."""
        return self.context.scenario

    @property
    def options(self) -> Options:
        """Its settings."""
        return self.context.options

    @property
    def directory(self) -> Path:
        """The directory of its results."""
        return self.context.directory

    @property
    def states(self) -> Sequence[StepState]:
        """The steps with what their writers reported."""
        return self.context.states

    @property
    def marks(self) -> Sequence[ChartMark]:
        """The begins of steps and stages."""
        return self.context.marks

    @property
    def moments(self) -> Sequence[TimelineRow]:
        """One row for each second so far."""
        return self.context.watch.moments

    @property
    def course_so_far(self) -> CourseOutcome:
        """The outcome of the steps that have ended; only its figures are final."""
        return self.context.facts.course_so_far

    @property
    def look(self) -> PipelineSnapshot:
        """The pipeline at the last look."""
        return self.context.watch.last

    @property
    def activities(self) -> Sequence[Activity]:
        """The harness's activities; the last one is still going on."""
        return self.context.activities

    @property
    def lately(self) -> LatencyHistogram:
        """End-to-end latencies of the events of the last ten seconds."""
        return self.context.watch.lately

    @property
    def heat(self) -> HeatMap:
        """The distribution of latencies over the time of the load."""
        return self.context.watch.heat

    @property
    def over(self) -> bool:
        """Whether the run has ended, also by a crash of the harness."""
        return bool(self.concluded.is_set())

    @property
    def lanes_wanted(self) -> int | None:
        """How many lanes should be up; None when the run has ended."""
        return self.context.lanes_wanted

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return self.context.watch.total_s if self._took_s is None else self._took_s

    @property
    def remaining_s(self) -> float | None:
        """Seconds until the current step's last arrival is due; None in a burst or between
        steps.
        """
        return remaining_s(self, self.context.anchor.now_us())

    def start(self, skipped: Sequence[str] = ()) -> None:
        """Begin in a greenlet of our own; `skipped` lists parts that the run leaves out, each with
        the reason.
        """
        self.context.facts.notes += skipped
        gevent.spawn(self._life)

    def request_stop(self, reason: str) -> None:
        """End early: no further arrivals; then audit and conclude as INVALID.

        A second request leaves the audit out.
        """
        context = self.context
        if self.concluded.is_set():
            return
        if context.stopping:
            context.stopping.hurry()
            return
        context.stopping.ask(reason)
        logger.warning("benchmark.stop", reason=reason)
        context.sender.halt(Halt(run=context.id, token=context.token))

    def on_report(self, worker: str, report: WorkerReport) -> None:
        """A process reports on its share; reports are cumulative, so the last one counts.

        Reports of other runs are ignored.
        """
        context = self.context
        if (report.run, report.token) != (context.id, context.token):
            return
        for state in context.states:
            if state.number == report.step:
                state.reports[worker] = ReportedShare.of(report)
        self._asked.discard(worker)
        if not self._asked:
            self._heard.set()

    def spoil(self, reason: str) -> None:
        """The harness failed after the conclusion: exit code 2, and the result gives the reason."""
        self.exit_code = Verdict.ERROR.exit_code
        conclusion.spoiled(self.context, reason)

    def _life(self) -> None:
        facts = self.context.facts
        try:
            with self._steward() as steward:
                self._carry_out(steward)
        except HarnessError as error:
            # A run that was asked to stop has not waited long enough to blame the steward.
            if self.context.stopping and isinstance(error, StewardSilentError):
                facts.notes.append(str(error))
            else:
                facts.broken.append(Broken(str(error), error.exit_code))
        except Exception as error:
            logger.exception("benchmark.crash")
            reason = f"the harness crashed: {type(error).__name__}: {error}"
            facts.broken.append(Broken(reason, Verdict.ERROR.exit_code))
        try:
            self.context.enter("conclusion: figures, verdict, files")
            facts.strangers = self.strangers()
            self.result = conclusion.concluded(self.context, self._versions)
            self.exit_code = self.result.verdict.exit_code
            self._print(self.result)
        finally:
            self.context.lanes_wanted = None
            self._took_s = self.context.watch.total_s
            self.concluded.set()

    def _print(self, result: Result) -> None:
        """Print the verdict last: if Locust ends with the run, after everything that Locust
        prints.
        """
        terminal = carried(self.context.environment, Terminal)
        text = table.render(result, self.context.directory, terminal.width)
        if self.context.environment.web_ui is None:
            terminal.keep_for_the_end(text)
        else:
            terminal.say(text)

    @contextmanager
    def _steward(self) -> Iterator[StewardClient]:
        stopping = self.context.stopping
        steward = StewardClient(left_s=lambda: stopping.left_s(CLEAN_UP_RESERVED_S))
        try:
            yield steward
        finally:
            left_s = stopping.left_s()
            problems = steward.close(CLOSE_S if left_s is None else STOPPED_CLOSE_S)
            self.context.facts.leave_behind(problems)
            for problem in problems:
                logger.error("benchmark.left_behind", problem=problem)

    def _carry_out(self, steward: StewardClient) -> None:
        context, options = self.context, self.options
        profile = "test" if options.smoke else "bench"
        context.enter("servers: found, or fetched and started")
        endpoints, owned = steward.open(context.id, profile, options.allow_target)
        # Observer and platform inherit these variables with the logins for the servers.
        endpoints.adopt(os.environ)
        self._versions = endpoints.versions
        context.facts.profile = endpoints.profile
        logger.info(
            "benchmark.start",
            run=context.id,
            scenario=context.scenario.name,
            stack="started" if owned else "found",
        )
        Drive(context, self._course, steward, endpoints).drive()

    def _hear(self) -> None:
        """Have all lanes report now: sent events are compared with arrived ones, so their count
        must not be older.
        """
        context, state = self.context, self.context.current
        if state is None:
            return
        self._asked = {worker for worker in state.workers if not state.is_done(worker)}
        if not self._asked:
            return
        self._heard.clear()
        for worker in tuple(self._asked):
            context.sender.ask(worker, Ask(run=context.id, token=context.token))
        self._heard.wait(HEAR_S)

    def _load(self) -> Load | None:
        context = self.context
        state = context.current
        if state is None:
            return None
        tally = {name: state.total(name) for name in TALLY}
        tally["offered"] = min(tally["offered"], due(state, context.anchor.now_us()))
        return Load(
            state.step.name,
            state.number,
            context.marks[-1].name,
            sent=state.sent,
            drain=state.step.mode == "drain",
            held=state.step.mode == "drain" and not state.drain_us,
            sink=state.step.pipeline.sink,
            rows_per_arrival=state.step.rows_per_arrival,
            **tally,
        )


def _thresholds(scenario: Scenario, options: Options) -> tuple[Threshold, ...]:
    declared = [parse_threshold(text) for text in scenario.thresholds]
    own = {threshold.metric for threshold in options.threshold}
    return with_defaults(
        [*(item for item in declared if item.metric not in own), *options.threshold]
    )

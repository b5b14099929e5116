"""The one place where the harness and Locust meet: options, listeners, signals.

`declare` is called when a locustfile declares a scenario. From then on Locust's life cycle drives
the run. `init` reads the options and registers messages; `test_start` starts a run on the process
that is not a worker; `test_stopping` and signals end it early; `quitting` waits until it has
concluded. Locust's events carry this process's one Harness.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gevent
import structlog
from gevent.event import Event
from gevent.lock import BoundedSemaphore
from locust import User, events, log
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import MasterRunner, Runner, WorkerRunner

from cdc_users.error import HarnessError, OptionsError
from cdc_users.options.options import read_alone
from cdc_users.options.proposal import Proposal, ShapeDeclaration
from cdc_users.report import directory
from cdc_users.run.locust import stats
from cdc_users.run.locust.command_line import CommandLine
from cdc_users.run.locust.messages import Gate, Messenger, listen_as_lanes, listen_as_master
from cdc_users.run.locust.refusal import explain, refuse
from cdc_users.run.locust.signals import handle_signals, handle_worker_signals
from cdc_users.run.locust.worker_options import derive_once, know_locusts_options
from cdc_users.run.run import Run
from cdc_users.scenario import Scenario
from cdc_users.users.carried import carried
from cdc_users.users.lane import LanePool
from cdc_users.users.message import WorkerReport
from cdc_users.users.workload.table.row import CustomRow
from cdc_users.view.terminal import Terminal
from cdc_users.view.web import extension, metrics_server
from infra.client.output import keep_output_from_failing
from infra.stack.supervise.identity import tied_to_parent

logger = structlog.get_logger()

PROGRESS_S = 1.0


class Harness:
    """This process's state between Locust's events."""

    def __init__(self) -> None:
        self.command_line = CommandLine()
        self.run: Run | None = None
        self._preparing = BoundedSemaphore()
        self.forked = False
        self._gate: Gate | None = None
        self._tie: Callable[[], None] | None = tied_to_parent(signal.SIGKILL)

    def on_fork(self) -> None:
        """In a worker that was just forked: make it end with the process that read the locustfile.

        A master that gives up at once has no connection yet to tell its workers, which would then
        wait for a minute.
        """
        tie, self._tie = self._tie, None
        if tie is not None:
            self.forked = True
            tie()

    def register(self) -> None:
        """Listen to all of Locust's events that a run needs."""
        os.register_at_fork(after_in_child=self.on_fork)  # `--processes`
        events.init_command_line_parser.add_listener(self.command_line.extend)
        events.init.add_listener(self._on_init)
        events.test_start.add_listener(self._on_test_start)
        events.test_stopping.add_listener(self._on_test_stopping)
        events.quitting.add_listener(self._on_quitting)
        events.quit.add_listener(self._on_quit)

    def _on_init(self, environment: Environment, runner: Runner, **_: Any) -> None:
        # Locust forks before `init`; processes started later, such as the steward, may outlive this
        # one.
        self._tie = None
        keep_output_from_failing()
        if not isinstance(runner, MasterRunner):
            listen_as_lanes(runner)
        if isinstance(runner, WorkerRunner):
            handle_worker_signals(environment, forked=self.forked)
            return
        if isinstance(runner, MasterRunner):
            self._gate = Gate(runner)
            self._limit_the_wait(runner, _parsed(environment))
        listen_as_master(runner, self._on_report)
        handle_signals(environment, lambda: self.run)
        self._open_to_see(environment)

    def _prepare(self, shape: ShapeDeclaration, source: Mapping[str, object]) -> Proposal:
        """Read a form's run in a thread: drawing random arrivals takes seconds, and the page must
        go on.
        """
        with self._preparing:
            pool = gevent.get_hub().threadpool
            made: Proposal = pool.apply(self.command_line.prepare, (shape, source))
        return made

    def _limit_the_wait(self, runner: MasterRunner, parsed: Namespace) -> None:
        """If workers do not come, end the process with 2, where Locust would end it with 1."""
        limit_s = getattr(parsed, "expect_workers_max_wait", 0)
        if limit_s and (parsed.headless or parsed.autostart):
            parsed.expect_workers_max_wait = 0
            gevent.spawn_later(limit_s, self._give_up_on_workers, runner, parsed, limit_s)

    def _give_up_on_workers(self, runner: MasterRunner, parsed: Namespace, limit_s: int) -> None:
        came, expected = len(runner.clients.ready), parsed.expect_workers
        if self.run is None and came < expected:
            print(
                f"{came} of {expected} expected workers came within {limit_s} s; start the others,"
                " or raise --expect-workers-max-wait",
                file=sys.stderr,
            )
            runner.quit()
            sys.exit(HarnessError.exit_code)

    def _on_report(self, worker: str, report: WorkerReport) -> None:
        if self.run is not None:
            self.run.on_report(worker, report)

    def _open_to_see(self, environment: Environment) -> None:
        """Open the terminal, our part of the page, and the metrics of a headless run; exit 2 if one
        cannot listen.
        """
        parsed = environment.parsed_options
        if parsed is None:
            return
        terminal = carried(environment, Terminal)
        # If stdout is for JSON, the terminal goes to stderr.
        stream = sys.stderr if parsed.json else sys.stdout
        try:
            terminal.open(stream, os.environ, read_alone("quiet", parsed.quiet))
            # Locust's own table every two seconds would break up the terminal's block and fill a
            # log; the last one is still printed, before the verdict.
            parsed.only_summary = True
            # If Locust is ended in a hurry, its `quit` event does not come.
            atexit.register(terminal.finish)
            if environment.web_ui is not None:
                extension.install(environment, lambda: self.run, self._prepare)
            elif parsed.metrics_port:
                port = metrics_server.serve(parsed.metrics_port, lambda: self.run)
                logger.info("benchmark.metrics", url=f"http://127.0.0.1:{port}/metrics")
        except OptionsError as error:
            refuse(error)

    def _on_test_start(self, environment: Environment, **_: Any) -> None:
        runner = environment.runner
        carried(environment, LanePool).reset()
        if runner is None or isinstance(runner, WorkerRunner):
            return
        if self.run is not None:
            self.run.concluded.wait()
            self.run = None
        try:
            made = self.command_line.take(_shape(environment), _parsed(environment))
            run = Run(environment, made.scenario, made.options, made.course, Messenger(runner))
            run.context.custom = own_row(made.user, environment)
        except HarnessError as error:
            print(error, file=sys.stderr)
            _give_up(environment, runner, error.exit_code)
            return
        except Exception:
            # Locust would only log the error, and then wait for a run that does not exist.
            logger.exception("benchmark.crash")
            _give_up(environment, runner, HarnessError.exit_code)
            return
        if self._gate is not None:
            run.strangers = self._gate.refused.__len__
        self.run = run
        run.start(made.skipped)
        gevent.spawn(_show, run, carried(environment, Terminal))

    def _on_test_stopping(self, **_: Any) -> None:
        if self.run is not None and not self.run.concluded.is_set():
            self.run.request_stop("stopped early")

    def _on_quitting(self, environment: Environment, **_: Any) -> None:
        """Have the run conclude first. Locust answers SIGTERM with a shutdown of its own, beside
        that of its main greenlet, which our answer to the signal leads to: one of them is enough,
        or tables are printed twice and a page of `--html` may be missing.
        """
        if gevent.getcurrent().parent is not None:
            Event().wait()
        run = self.run
        if run is None:
            return
        if not run.concluded.is_set():
            run.request_stop("stopped early")
            run.concluded.wait()
        if log.unhandled_greenlet_exception:
            run.spoil(
                "a listener or greenlet of the harness crashed; its traceback is in the log above"
            )
        environment.process_exit_code = run.exit_code

    def _on_quit(self, **_: Any) -> None:
        """Write Locust's own files: its tables are closed after this, so they are complete at the
        exit.
        """
        run = self.run
        parsed = run.context.environment.parsed_options if run is not None else None
        if run is not None:
            carried(run.context.environment, Terminal).finish()
        if run is not None and parsed is not None:
            if parsed.html_file:
                directory.link_report(parsed.html_file, run.directory)
            atexit.register(
                directory.copy_locust_files, run.directory, parsed.csv_prefix, parsed.html_file
            )


def declare(shape: Any) -> None:
    """A locustfile declares a shape with a scenario: the first one registers options and
    listeners.
    """
    harness = carried(events, Harness)
    harness.command_line.shapes.append(shape)
    if len(harness.command_line.shapes) == 1:
        stats.install()
        know_locusts_options()
        derive_once()
        harness.register()


def extend(parser: LocustArgumentParser) -> None:
    """Add the options of the scenarios that were declared."""
    carried(events, Harness).command_line.extend(parser)


def own_row(user: type, environment: Environment) -> CustomRow | None:
    """How a user class of the locustfile makes rows of its table; None if it does not.

    The fences of a run are such rows too, and no lane writes them.
    """
    return user(environment).row if getattr(user, "row", None) is not None else None


def begin(environment: Environment) -> None:
    """A test with a shape begins: if a run has concluded, it was an earlier test's; forget it."""
    harness = carried(environment.events, Harness)
    if harness.run is not None and harness.run.concluded.is_set():
        harness.run = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """The lanes that a run wants to have up."""

    lanes: int
    user: type[User]


def lanes_wanted(environment: Environment) -> Wanted | None:
    """How many lanes there should be now; None if the run has concluded, or its options are
    impossible.

    Locust asks first before the run exists: it starts a test with a shape's first answer.
    """
    harness = carried(environment.events, Harness)
    run = harness.run
    if run is not None:
        lanes = run.lanes_wanted
        return None if lanes is None else Wanted(lanes, _shape(environment).user(run.options))
    try:
        proposal = harness.command_line.proposal(_shape(environment), _parsed(environment))
    except OptionsError as error:
        explain(error)
        return None
    return Wanted(max(step.lanes for step in proposal.steps), proposal.user)


def _parsed(environment: Environment) -> Namespace:
    return environment.parsed_options or Namespace()


def _shape(environment: Environment) -> Any:
    """The picked shape, which declares a scenario and turns options into steps
    (shapes.base.ScenarioShape).
    """
    shape = environment.shape_class
    if not isinstance(getattr(shape, "scenario", None), Scenario):
        raise OptionsError(
            ["the locustfile has no shape with a scenario; see locustfiles/throughput.py for one"]
        )
    return shape


def _give_up(environment: Environment, runner: Runner, exit_code: int) -> None:
    """End a test that has no run."""
    environment.process_exit_code = exit_code
    gevent.spawn(runner.quit if environment.web_ui is None else runner.stop)


def _show(run: Run, terminal: Terminal) -> None:
    """Keep the terminal up to date until the run has concluded."""
    while not run.concluded.wait(PROGRESS_S):
        if run.result is None:
            terminal.tell(run, run.elapsed_s, run.remaining_s)
        sys.stdout.flush()  # output that a slow reader has not taken yet
        sys.stderr.flush()

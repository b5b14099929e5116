"""The one place where the harness and Locust meet: options, listeners, messages between workers
and master.

`declare` is called when a locustfile declares a scenario. From then on Locust's own life cycle
drives the run: `init` reads the options and registers messages, `test_start` starts a run on the
process that is not a worker, `test_stopping` and signals end it early, `quitting` waits until it
has concluded.
"""

from __future__ import annotations

import dataclasses
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
from cdc_users.measure.clock import Anchor
from cdc_users.options.options import read_alone
from cdc_users.options.proposal import Proposal, ShapeDeclaration
from cdc_users.report import directory
from cdc_users.run import locust_stats
from cdc_users.run.command_line import CommandLine, explain, refuse
from cdc_users.run.run import Run
from cdc_users.scenario import Scenario
from cdc_users.users.lane import POOL, Assignment, Share
from cdc_users.view.terminal import TERMINAL
from cdc_users.view.web import extension, metrics_server
from infra.stack.supervise.identity import tied_to_parent

logger = structlog.get_logger()

REPORT_INTERVAL_S = 0.5
PROGRESS_S = 1.0
ASSIGN, REPORT, HALT = "cdc_assign", "cdc_report", "cdc_halt"


class Harness:
    """What this process knows between Locust's events."""

    def __init__(self) -> None:
        self.command_line = CommandLine()
        self.preparing = BoundedSemaphore()
        self.run: Run | None = None
        self._tie: Callable[[], None] | None = tied_to_parent(signal.SIGKILL)

    def tie(self) -> None:
        """In a worker that was just forked: have it end with the one that read the locustfile.

        A master that gives up at once has no connection yet by which to tell its workers, which
        would wait a minute.
        """
        tie, self._tie = self._tie, None
        if tie is not None:
            tie()

    def no_more_workers(self) -> None:
        """Locust forks before `init`; who is started later, as the steward, must outlive this
        process.
        """
        self._tie = None


_HARNESS = Harness()


def declare(shape: Any) -> None:
    """A locustfile declares a shape with a scenario: the first one registers options and
    listeners.
    """
    _HARNESS.command_line.shapes.append(shape)
    if len(_HARNESS.command_line.shapes) > 1:
        return
    locust_stats.install()
    os.register_at_fork(after_in_child=_HARNESS.tie)  # `--processes`
    events.init_command_line_parser.add_listener(extend)
    events.init.add_listener(_on_init)
    events.test_start.add_listener(_on_test_start)
    events.test_stopping.add_listener(_on_test_stopping)
    events.quitting.add_listener(_on_quitting)
    events.quit.add_listener(_on_quit)


def extend(parser: LocustArgumentParser) -> None:
    """Add the options of the scenarios that were declared."""
    _HARNESS.command_line.extend(parser)


def begin() -> None:
    """A test with a shape begins: a run that has concluded is not this one."""
    if _HARNESS.run is not None and _HARNESS.run.concluded.is_set():
        _HARNESS.run = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """The lanes that a run wants to have up."""

    lanes: int
    user: type[User]


def lanes_wanted(environment: Environment) -> Wanted | None:
    """How many lanes there should be now;

    None when the run has concluded, or cannot be for its options.

    The first question comes before the run exists: Locust starts a test with a shape's first
    answer.
    """
    run = _HARNESS.run
    if run is not None:
        lanes = run.lanes_wanted
        return None if lanes is None else Wanted(lanes, _shape(environment).user(run.options))
    try:
        proposal = _HARNESS.command_line.proposal(_shape(environment), _parsed(environment))
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


def _on_init(environment: Environment, runner: Runner, **_: Any) -> None:
    _HARNESS.no_more_workers()
    if not isinstance(runner, MasterRunner):
        runner.register_message(ASSIGN, _on_assign)
        runner.register_message(HALT, _on_halt)
    if isinstance(runner, WorkerRunner):
        return
    runner.register_message(REPORT, _on_report)
    _handle_signals()
    _open_to_see(environment)
    if isinstance(runner, MasterRunner) and environment.parsed_options is not None:
        _limit_the_wait(runner, environment.parsed_options)


def _prepare(shape: ShapeDeclaration, source: Mapping[str, Any]) -> Proposal:
    """Read a form's run in a thread: drawing arrivals by chance takes seconds, and the page goes
    on.
    """
    with _HARNESS.preparing:
        pool = gevent.get_hub().threadpool
        made: Proposal = pool.apply(_HARNESS.command_line.prepare, (shape, source))
    return made


def _limit_the_wait(runner: MasterRunner, parsed: Namespace) -> None:
    """Have workers that do not come end the process with 2, where Locust would with 1."""
    limit_s, parsed.expect_workers_max_wait = parsed.expect_workers_max_wait, 0
    if limit_s and (parsed.headless or parsed.autostart):
        gevent.spawn_later(limit_s, _give_up_on_workers, runner, parsed.expect_workers, limit_s)


def _give_up_on_workers(runner: MasterRunner, expected: int, limit_s: int) -> None:
    came = len(runner.clients.ready)
    if _HARNESS.run is None and came < expected:
        print(
            f"{came} of {expected} expected workers came within {limit_s} s; start the others, or"
            " raise --expect-workers-max-wait",
            file=sys.stderr,
        )
        runner.quit()
        sys.exit(HarnessError.exit_code)


def _open_to_see(environment: Environment) -> None:
    """The terminal, our part of the page, and the metrics of a headless run; exit 2 where one may
    not listen.
    """
    parsed = environment.parsed_options
    if parsed is None:
        return
    try:
        TERMINAL.open(sys.stdout, os.environ, read_alone("quiet", parsed.quiet))
        # Locust's own table every two seconds would tear the block apart; the last one still comes.
        parsed.only_summary = parsed.only_summary or TERMINAL.mode != "lines"
        if environment.web_ui is not None:
            extension.install(environment, lambda: _HARNESS.run, _prepare)
        elif parsed.metrics_port:
            port = metrics_server.serve(parsed.metrics_port, lambda: _HARNESS.run)
            logger.info("benchmark.metrics", url=f"http://127.0.0.1:{port}/metrics")
    except OptionsError as error:
        refuse(error)


def _handle_signals() -> None:
    """End early but in order. Locust itself would kill a headless shape at once on SIGTERM."""
    asked = Event()

    def on_signal(name: str) -> None:
        run = _HARNESS.run
        if asked.is_set() or run is None or run.concluded.is_set():
            # A second Ctrl-C, or nothing to conclude: leave now; the steward still cleans up.
            os._exit(run.exit_code if run is not None and run.concluded.is_set() else 130)
        asked.set()
        run.request_stop(f"stopped early by {name}")

    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, on_signal, signal.Signals(number).name)


def _on_test_start(environment: Environment, **_: Any) -> None:
    runner = environment.runner
    POOL.reset()
    if runner is None or isinstance(runner, WorkerRunner):
        return
    if _HARNESS.run is not None:
        _HARNESS.run.concluded.wait()
        _HARNESS.run = None
    try:
        made = _HARNESS.command_line.take(_shape(environment), _parsed(environment))
        run = Run(environment, made.scenario, made.options, made.steps, Messenger(runner))
        run.skipped = made.skipped
    except HarnessError as error:
        print(error, file=sys.stderr)
        _give_up(environment, runner, error.exit_code)
        return
    except Exception:
        # Locust would only log it, and then wait for a run that does not exist.
        logger.exception("benchmark.crash")
        _give_up(environment, runner, HarnessError.exit_code)
        return
    _HARNESS.run = run
    run.start()
    gevent.spawn(_show, run)


def _give_up(environment: Environment, runner: Runner, exit_code: int) -> None:
    """End a test that has no run."""
    environment.process_exit_code = exit_code
    gevent.spawn(runner.quit if environment.web_ui is None else runner.stop)


def _show(run: Run) -> None:
    """Keep the terminal up to date until the run has concluded."""
    while not run.concluded.wait(PROGRESS_S):
        if run.result is None:
            TERMINAL.tell(run, run.elapsed_s, run.remaining_s)


def _on_test_stopping(**_: Any) -> None:
    run = _HARNESS.run
    if run is not None and not run.concluded.is_set():
        run.request_stop("stopped early")


def _on_quitting(environment: Environment, **_: Any) -> None:
    run = _HARNESS.run
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


def _on_quit(**_: Any) -> None:
    """Locust's own files are complete now, or as complete as they will be."""
    run = _HARNESS.run
    parsed = run.environment.parsed_options if run is not None else None
    if run is not None and parsed is not None:
        if parsed.html_file:
            directory.link_report(parsed.html_file, run.directory)
        directory.copy_locust_files(run.directory, parsed.csv_prefix, parsed.html_file)


class Messenger:
    """What a run says to the processes with lanes, and who they are."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def workers(self) -> list[str]:
        """The ids of the processes that run lanes."""
        if isinstance(self._runner, MasterRunner):
            clients = self._runner.clients
            return [client.id for client in clients.ready + clients.spawning + clients.running]
        return ["local"]

    def assign(self, worker: str, assignment: Assignment) -> None:
        """Give a process its share of a step."""
        self._send(ASSIGN, dataclasses.asdict(assignment), worker)

    def halt(self) -> None:
        """Ask every process to take no further arrivals."""
        for worker in self.workers():
            self._send(HALT, {}, worker)

    def _send(self, kind: str, data: dict[str, Any], worker: str) -> None:
        self._runner.send_message(
            kind, data, worker if isinstance(self._runner, MasterRunner) else None
        )


def _on_assign(environment: Environment, msg: Any, **_: Any) -> None:
    assignment = Assignment(**msg.data)
    # On the master's host its anchor is ours too; another host has a clock, and an anchor, of its
    # own.
    share = POOL.publish(assignment, Anchor.from_json(dict(assignment.anchor)).for_this_host())
    if share is None:
        return  # another share of the step at hand, which is watched already
    gevent.spawn(share.watch_loop)
    gevent.spawn(_report_until_done, environment, share)


def _on_halt(**_: Any) -> None:
    if POOL.share is not None:
        POOL.share.stop()


def _report_until_done(environment: Environment, share: Share) -> None:
    runner = environment.runner
    assert runner is not None
    while not share.done.wait(REPORT_INTERVAL_S):
        runner.send_message(REPORT, share.report())
    runner.send_message(REPORT, share.report())


def _on_report(msg: Any, **_: Any) -> None:
    if _HARNESS.run is not None:
        _HARNESS.run.on_report(msg.node_id, msg.data)

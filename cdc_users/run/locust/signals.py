"""Every way to stop a run has the same end: audit, conclusion, files, and informed workers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

import gevent
from gevent.event import Event
from locust.env import Environment

from cdc_users.run.locust.messages import REPORT_INTERVAL_S
from cdc_users.users.carried import carried
from cdc_users.users.lane import LanePool
from cdc_users.view.terminal import Terminal
from infra.client.output import finish_output

#: SIGHUP: the terminal is gone, but the run's result is still wanted.
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
#: After this many signals the process ends at once; the steward still cleans up.
PATIENCE = 3
INTERRUPTED = 130
#: How long a worker that was asked to stop waits for its master to end the run.
WORKER_S = 30.0


class StoppableRun(Protocol):
    """A run as the signal handler sees it (run.Run)."""

    exit_code: int
    concluded: Event

    def request_stop(self, reason: str) -> None:
        """End early."""


def handle_signals(environment: Environment, current: Callable[[], StoppableRun | None]) -> None:
    """On the process that concludes: end the run, or an idle web UI, in order.

    On SIGTERM Locust itself would kill a headless shape at once.
    """
    received: list[str] = []

    def on_signal(name: str) -> None:
        received.append(name)
        run = current()
        going_on = run is not None and not run.concluded.is_set()
        if len(received) >= PATIENCE:
            carried(environment, Terminal).finish()
            _end_at_once(run.exit_code if run is not None and not going_on else INTERRUPTED)
        if run is not None and going_on:
            run.request_stop(f"stopped early by {name}")
            _leave_after(environment, run)
        elif environment.web_ui is not None:
            _leave(environment, 0 if run is None else run.exit_code)
        elif run is None:
            _leave(environment, INTERRUPTED)

    for number in STOPPING:
        gevent.signal_handler(number, on_signal, signal.Signals(number).name)


def _leave_after(environment: Environment, run: StoppableRun) -> None:
    """A web UI outlives a run; if a signal has asked it to end, it ends after the run's
    conclusion.
    """
    if environment.web_ui is None:
        return

    def leave() -> None:
        run.concluded.wait()
        _leave(environment, run.exit_code)

    gevent.spawn(leave)


def _leave(environment: Environment, exit_code: int) -> None:
    """Let Locust end itself: files, workers, exit code."""
    if environment.process_exit_code is None:
        environment.process_exit_code = exit_code
    if environment.web_ui is not None:
        web_ui: Any = environment.web_ui
        web_ui.stop()  # Locust's main greenlet waits for its end
        return
    if environment.runner is not None:
        environment.runner.quit()
    _end_at_once(exit_code)


def _end_at_once(exit_code: int) -> NoReturn:
    finish_output()
    os._exit(exit_code)


def handle_worker_signals(environment: Environment, *, forked: bool) -> None:
    """On a worker: a forked one ends only with its master. Another one takes no more arrivals, and
    leaves when the master ends the run, or after a while.
    """
    signalled = Event()

    def on_signal() -> None:
        if forked:
            return
        if signalled.is_set():
            _end_at_once(INTERRUPTED)
        signalled.set()
        gevent.spawn(_leave_as_worker, environment)

    for number in STOPPING:
        gevent.signal_handler(number, on_signal)


def _leave_as_worker(environment: Environment) -> None:
    share, runner = carried(environment, LanePool).share, environment.runner
    if runner is None:
        return
    if share is not None and not share.done.is_set():
        share.stop()
        share.done.wait(WORKER_S)
        gevent.sleep(2 * REPORT_INTERVAL_S)
    runner.quit()

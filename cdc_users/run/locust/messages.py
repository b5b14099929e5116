"""The messages of master and workers over Locust's connection, and the refusal of strangers.

A run's messages carry its id and a token that its master made. A process that this master never
greeted, such as an orphan of an earlier master on the same port, is told to quit; none of its
messages counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import structlog
from locust.env import Environment
from locust.rpc import Message as LocustMessage
from locust.runners import MasterRunner, Runner, WorkerRunner

from cdc_users.measure.garbage import set_aside
from cdc_users.measure.wire import WireError, WireMessage, decode, encode
from cdc_users.run.clock_sync import ClockTalk, answer_questions, listen_for_answers, synchronised
from cdc_users.users.carried import carried
from cdc_users.users.lane import LanePool
from cdc_users.users.message import Ask, Assignment, Halt, RunMessage, WorkerReport
from cdc_users.users.share import Share

logger = structlog.get_logger()

REPORT_INTERVAL_S = 0.5
ASSIGN, ASK, REPORT, HALT = "cdc_assign", "cdc_ask", "cdc_report", "cdc_halt"
#: The messages of a worker that is not ready yet; others from a stranger are refused.
GREETINGS = ("client_ready", "locustfile")


class Messenger:
    """The master's side, over Locust's runner."""

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
        self._send(ASSIGN, assignment, worker)

    def ask(self, worker: str, message: Ask) -> None:
        """Have a process report on its share now."""
        self._send(ASK, message, worker)

    def halt(self, message: Halt) -> None:
        """Ask every process to take no further arrivals."""
        for worker in self.workers():
            self._send(HALT, message, worker)

    def _send(self, kind: str, message: RunMessage, worker: str) -> None:
        self._runner.send_message(
            kind,
            {"message": encode(message)},
            worker if isinstance(self._runner, MasterRunner) else None,
        )


class Gate:
    """Stands before a master's listener: it admits only processes that the master has greeted."""

    def __init__(self, runner: MasterRunner) -> None:
        self._runner = runner
        self._handle = runner.handle_message
        self._greeted: set[str] = set()
        self.refused: set[str] = set()
        runner.handle_message = self.handle  # type: ignore[method-assign]

    def handle(self, client_id: str, msg: LocustMessage) -> None:
        """Pass a message on, or refuse it and tell its sender to quit."""
        if msg.type in GREETINGS:
            self._greeted.add(client_id)
        if client_id in self._greeted:
            self._handle(client_id, msg)
            return
        if client_id not in self.refused:
            self.refused.add(client_id)
            logger.warning("benchmark.stranger", worker=client_id, told="quit")
        quit_message: Any = LocustMessage
        self._runner.server.send_to_client(quit_message("quit", None, client_id))


def read(message: Any, kind: type[WireMessage], sender: str) -> WireMessage:
    """Our message inside one of Locust's; raises WireError."""
    return decode(message.data["message"], kind, sender)


def listen_as_lanes(runner: Runner) -> None:
    """Take assignments, questions and halts, in a process that runs lanes."""
    runner.register_message(ASSIGN, _on_assign)
    runner.register_message(ASK, _on_ask)
    runner.register_message(HALT, _on_halt)
    if isinstance(runner, WorkerRunner):
        listen_for_answers(runner)


def listen_as_master(runner: Runner, on_report: Callable[[str, WorkerReport], None]) -> None:
    """Receive reports; one that cannot be read is logged once as an error, and not counted."""
    unread: set[str] = set()

    def receive(msg: Any, **_: Any) -> None:
        try:
            report = read(msg, WorkerReport, f"worker {msg.node_id}")
        except WireError as error:
            if msg.node_id not in unread:
                unread.add(msg.node_id)
                logger.error("benchmark.worker.refused", problem=str(error))  # noqa: TRY400 - the text says all there is
            return
        on_report(msg.node_id, report)

    runner.register_message(REPORT, receive)
    if isinstance(runner, MasterRunner):
        answer_questions(runner)


def _on_assign(environment: Environment, msg: Any, **_: Any) -> None:
    assignment = read(msg, Assignment, "the master")
    if isinstance(environment.runner, WorkerRunner):
        # The master's time is asked for over this same connection, which must be read meanwhile.
        gevent.spawn(_take, environment, assignment)
    else:
        _take(environment, assignment)


def _take(environment: Environment, assignment: Assignment) -> None:
    pool = carried(environment, LanePool)
    with carried(environment, ClockTalk).turn:
        anchor, bound_us = (
            (assignment.anchor, None)
            if pool.has(assignment)
            else synchronised(environment, assignment)
        )
        share = pool.publish(assignment, anchor)
    if share is None:
        return  # another share of the current step, which is reported already
    set_aside()  # its first arrival is due in half a second
    share.clock_bound_us = bound_us
    gevent.spawn(share.watch_loop)
    gevent.spawn(_report_until_done, environment, share)


def _on_ask(environment: Environment, msg: Any, **_: Any) -> None:
    share = _share_of(environment, read(msg, Ask, "the master"))
    if share is not None:
        _report(environment, share)


def _on_halt(environment: Environment, msg: Any, **_: Any) -> None:
    share = _share_of(environment, read(msg, Halt, "the master"))
    if share is not None:
        share.stop()


def _share_of(environment: Environment, message: RunMessage) -> Share | None:
    """This process's share of the run in a message; None if it has no share of that run."""
    share = carried(environment, LanePool).share
    if share is None:
        return None
    own = (share.assignment.run, share.assignment.token)
    return share if own == (message.run, message.token) else None


def _report_until_done(environment: Environment, share: Share) -> None:
    while not share.done.wait(REPORT_INTERVAL_S):
        _report(environment, share)
    _report(environment, share)


def _report(environment: Environment, share: Share) -> None:
    assert environment.runner is not None
    environment.runner.send_message(REPORT, {"message": encode(share.report())})

"""A worker's clock against its master's, over Locust's connection.

A worker on the master's host reads the same clock, so intended times need no conversion. A worker
on another host, or in a time namespace of its own, has another clock. It asks the master for the
time several times, corrects its anchor by the result, and reports the uncertainty.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from gevent.event import Event
from gevent.lock import Semaphore
from locust.env import Environment
from locust.runners import MasterRunner, Runner, WorkerRunner

from cdc_users.measure.clock import Anchor
from cdc_users.measure.offset import RoundTrip, offset_of
from cdc_users.measure.wire import decode, encode
from cdc_users.users.carried import carried
from cdc_users.users.message import Assignment, ClockReading

CLOCK = "cdc_clock"
QUESTIONS = 20
ANSWER_S = 0.25


@dataclass(slots=True)
class ClockTalk:
    """A worker's questions and the master's answers."""

    answer: ClockReading | None = None
    answered: Event = field(default_factory=Event)
    #: Handles one assignment at a time, in the order of their arrival.
    turn: Any = field(default_factory=Semaphore)


def listen_for_answers(runner: Runner) -> None:
    """Take the master's answers, in a process that runs lanes."""
    if isinstance(runner, WorkerRunner):  # a process that is its own master needs no answers
        runner.register_message(CLOCK, _on_answer)


def answer_questions(runner: Runner) -> None:
    """Answer with the time, on the master."""

    def answer(msg: Any, **_: Any) -> None:
        asked = decode(msg.data["message"], ClockReading, f"worker {msg.node_id}")
        reading = replace_time(asked, asked.anchor.now_us())
        runner.send_message(CLOCK, {"message": encode(reading)}, msg.node_id)

    if isinstance(runner, MasterRunner):
        runner.register_message(CLOCK, answer)


def replace_time(reading: ClockReading, now_us: int) -> ClockReading:
    """The question with its answer."""
    return ClockReading(
        run=reading.run,
        token=reading.token,
        number=reading.number,
        anchor=reading.anchor,
        master_us=now_us,
    )


def _on_answer(environment: Environment, msg: Any, **_: Any) -> None:
    talk = carried(environment, ClockTalk)
    talk.answer = decode(msg.data["message"], ClockReading, "the master")
    talk.answered.set()


def synchronised(environment: Environment, assignment: Assignment) -> tuple[Anchor, int | None]:
    """This process's anchor on the master's clock, and its uncertainty in microseconds: None if
    both have one clock, -1 if the master did not answer.
    """
    own = assignment.anchor.for_this_host()
    runner = environment.runner
    if not isinstance(runner, WorkerRunner):
        return own, None
    found = offset_of(_ask(environment, runner, assignment, own))
    if found is None:
        return own, None if own == assignment.anchor else -1
    if own == assignment.anchor and found.same:
        return own, None
    return replace(own, wall_us=own.wall_us + found.offset_us), found.bound_us


def _ask(
    environment: Environment, runner: WorkerRunner, assignment: Assignment, own: Anchor
) -> list[RoundTrip]:
    talk = carried(environment, ClockTalk)
    trips = []
    for number in range(QUESTIONS):
        talk.answered.clear()
        asked_us = own.now_us()
        question = ClockReading(
            run=assignment.run, token=assignment.token, number=number, anchor=assignment.anchor
        )
        runner.send_message(CLOCK, {"message": encode(question)})
        if not talk.answered.wait(ANSWER_S):
            continue
        answered_us = own.now_us()
        if talk.answer is not None and talk.answer.number == number:
            trips.append(RoundTrip(asked_us, talk.answer.master_us, answered_us))
    return trips

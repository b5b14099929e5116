"""A worker's clock is its master's where both read the same one, and corrected where not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from locust.env import Environment
from locust.runners import WorkerRunner

from cdc_users.measure.clock import Anchor, new_anchor
from cdc_users.measure.schedule.plan import Schedule
from cdc_users.measure.wire import decode
from cdc_users.run import clock_sync
from cdc_users.run.clock_sync import QUESTIONS, ClockTalk, replace_time, synchronised
from cdc_users.users.carried import carried
from cdc_users.users.message import Assignment, ClockReading

pytestmark = pytest.mark.gevent
ELSEWHERE = "another-boot"


class Worker(WorkerRunner):
    """A worker whose master answers each question as it is told to."""

    def __init__(
        self, environment: Environment, master: Callable[[ClockReading], ClockReading | None]
    ) -> None:
        self.environment = environment
        self.greenlet: Any = None  # what Locust looks at when a runner is gone
        self.master = master
        self.asked: list[ClockReading] = []

    def send_message(
        self, _: str, data: dict[str, Any] | None = None, __: str | None = None
    ) -> None:
        assert data is not None
        question = decode(data["message"], ClockReading, "the worker")
        self.asked.append(question)
        answer = self.master(question)
        if answer is not None:
            talk = carried(self.environment, ClockTalk)
            talk.answer = answer
            talk.answered.set()


def assignment(anchor: Anchor) -> Assignment:
    return Assignment(
        run="r", token="t", step=1, t0_us=0, schedule=Schedule.volume(1), anchor=anchor
    )


def talk_with(
    anchor: Anchor, master: Callable[[ClockReading], ClockReading | None]
) -> tuple[Anchor, int | None, Worker]:
    environment = Environment()
    worker = Worker(environment, master)
    environment.runner = worker
    found, bound_us = synchronised(environment, assignment(anchor))
    return found, bound_us, worker


def test_a_process_that_is_its_own_master_asks_nobody() -> None:
    anchor = new_anchor()

    assert synchronised(Environment(), assignment(anchor)) == (anchor, None)


def test_a_worker_on_the_masters_host_keeps_the_masters_anchor() -> None:
    anchor = new_anchor()

    found, bound_us, worker = talk_with(
        anchor, lambda asked: replace_time(asked, asked.anchor.now_us())
    )

    assert (found, bound_us) == (anchor, None)
    assert [(q.run, q.token, q.number) for q in worker.asked] == [
        ("r", "t", number) for number in range(QUESTIONS)
    ]


@pytest.mark.parametrize("ahead_us", [-3_000_000, 3_000_000])
def test_a_worker_on_another_host_is_corrected_by_how_far_its_clock_is_off(ahead_us: int) -> None:
    anchor = replace(new_anchor(), boot_id=ELSEWHERE)
    own = new_anchor()

    found, bound_us, _ = talk_with(
        anchor, lambda asked: replace_time(asked, own.now_us() + ahead_us)
    )

    assert bound_us is not None
    assert 0 <= bound_us < 1_000_000
    assert abs(found.now_us() - (own.now_us() + ahead_us)) <= bound_us + 1000


def test_a_worker_in_a_time_namespace_of_its_own_is_corrected_as_well() -> None:
    anchor = new_anchor()

    found, bound_us, _ = talk_with(
        anchor, lambda asked: replace_time(asked, asked.anchor.now_us() + 5_000_000)
    )

    assert bound_us is not None
    assert abs(found.wall_us - anchor.wall_us - 5_000_000) <= bound_us + 1000


@pytest.mark.parametrize(("boot_id", "bound_us"), [(ELSEWHERE, -1), ("", None)])
def test_a_master_that_does_not_answer_leaves_another_hosts_clock_unknown(
    monkeypatch: pytest.MonkeyPatch, boot_id: str, bound_us: int | None
) -> None:
    monkeypatch.setattr(clock_sync, "ANSWER_S", 0.001)
    own = new_anchor()
    anchor = replace(own, boot_id=boot_id or own.boot_id)

    _, found_us, worker = talk_with(anchor, lambda _: None)

    assert found_us == bound_us
    assert len(worker.asked) == QUESTIONS


def test_an_answer_to_an_earlier_question_is_none_of_this_one() -> None:
    anchor = replace(new_anchor(), boot_id=ELSEWHERE)

    def late(asked: ClockReading) -> ClockReading:
        number = max(0, asked.number - 1)
        answer = replace_time(asked, new_anchor().now_us() + 10**12 * bool(asked.number))
        return ClockReading(
            run=answer.run,
            token=answer.token,
            number=number,
            anchor=answer.anchor,
            master_us=answer.master_us,
        )

    found, bound_us, _ = talk_with(anchor, late)

    assert bound_us is not None
    assert bound_us < 10**9
    assert abs(found.now_us() - new_anchor().now_us()) < 10**9

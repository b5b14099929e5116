"""Trying again: what is waited for, what ends it, and what is shown of it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from infra.platform.process.error import ConfigError, EventError, RefusedError, RetryableError
from infra.platform.process.retry import Backoff, Retries, Troubles, hurry

END_S = 60.0
QUICK = Backoff(first_s=0.001, longest_s=0.001, limit_s=600.0)
#: Pauses that no test waits for.
SLOW = Backoff(first_s=3600.0, longest_s=3600.0, limit_s=7200.0)


class Failing:
    """Fails with each of these errors, then answers; what happens in between is noted."""

    def __init__(self, *errors: Exception) -> None:
        self.calls = 0
        self.errors = list(errors)
        self.before: Callable[[], None] = lambda: None

    async def __call__(self) -> str:
        self.calls += 1
        self.before()
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(END_S):
        while not condition():
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("attempt", "whole_s"), [(1, 0.1), (2, 0.2), (3, 0.4), (6, 3.2), (7, 5.0), (10**9, 5.0)]
)
@pytest.mark.parametrize(("chance", "part"), [(0.0, 0.5), (1.0, 1.0)])
def test_pauses_double_up_to_the_longest_and_chance_takes_half_of_them_at_most(
    attempt: int, whole_s: float, chance: float, part: float
) -> None:
    backoff = Backoff(first_s=0.1, longest_s=5.0)

    assert backoff.pause_s(attempt, chance) == pytest.approx(whole_s * part)


async def test_an_answer_is_given_as_it_came_and_nothing_is_counted() -> None:
    retries, action = Retries("it", QUICK), Failing()

    assert await retries.again("ask", action) == "answer"
    assert (action.calls, retries.count, retries.troubles.texts()) == (1, 0, [])


async def test_a_first_failure_is_no_trouble_yet_and_a_second_is_until_it_is_over() -> None:
    action = Failing(RetryableError("one"), RetryableError("two"), RetryableError("three"))
    retries = Retries("sink x", QUICK)
    shown: list[list[str]] = []
    action.before = lambda: shown.append(retries.troubles.texts())

    await retries.again("write", action)

    assert shown[:2] == [[], []]
    assert shown[2] == ["sink x fails, attempt 2 of write: RetryableError: two"]
    assert shown[3] == ["sink x fails, attempt 3 of write: RetryableError: three"]
    assert retries.troubles.texts() == []
    assert retries.count == 3


@pytest.mark.parametrize("error", [ConfigError("no"), RefusedError("no"), EventError("no")])
async def test_what_would_fail_again_is_raised_at_once_and_leaves_no_trouble(
    error: Exception,
) -> None:
    action = Failing(RetryableError("one"), RetryableError("two"), error)
    retries = Retries("it", QUICK)

    with pytest.raises(type(error)):
        await retries.again("ask", action)
    assert action.calls == 3
    assert retries.troubles.texts() == []


async def test_two_that_fail_at_a_time_are_shown_each_and_one_that_succeeds_takes_none_away() -> (
    None
):
    troubles = Troubles()
    stuck = Failing(*[RetryableError("stuck")] * 1_000_000)
    waiting = asyncio.create_task(Retries("a", QUICK, troubles=troubles).again("write", stuck))
    await until(lambda: bool(troubles.texts()))

    other = Failing(RetryableError("one"), RetryableError("two"))
    await Retries("b", QUICK, troubles=troubles).again("write", other)

    assert len(troubles.texts()) == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert troubles.texts() == []


async def test_giving_up_ends_a_pause_with_one_last_attempt() -> None:
    retries, action = Retries("it", SLOW), Failing(RetryableError("one"), RetryableError("two"))
    waiting = asyncio.create_task(retries.again("ask", action))
    await until(lambda: retries.count == 1)

    retries.give_up()

    with pytest.raises(RetryableError, match="two"):
        await asyncio.wait_for(waiting, END_S)
    assert action.calls == 2


async def test_what_succeeds_at_the_last_attempt_is_an_answer() -> None:
    retries, action = Retries("it", SLOW), Failing(RetryableError("one"))
    waiting = asyncio.create_task(retries.again("ask", action))
    await until(lambda: retries.count == 1)

    retries.give_up()

    assert await asyncio.wait_for(waiting, END_S) == "answer"


async def test_the_other_side_is_left_alone_as_long_as_it_asked() -> None:
    retries = Retries("it", QUICK)
    action = Failing(RetryableError("later", retry_after_s=3600.0))
    waiting = asyncio.create_task(retries.again("ask", action))
    await until(lambda: retries.count == 1)
    done, _ = await asyncio.wait([waiting], timeout=20 * QUICK.longest_s)

    assert not done
    assert action.calls == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_task_that_waits_is_hurried_at_once() -> None:
    retries = Retries("it", SLOW)
    waiting = asyncio.create_task(retries.again("ask", Failing(RetryableError("one"))))
    await until(lambda: retries.count == 1)
    await asyncio.sleep(0)

    hurry(waiting)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, END_S)


async def test_a_task_in_the_middle_of_its_work_is_hurried_when_it_would_begin_to_wait() -> None:
    gate, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await gate.wait()
        ended.set()
        raise RetryableError("away")

    waiting = asyncio.create_task(Retries("it", SLOW).again("ask", work))
    await asyncio.sleep(0)
    hurry(waiting)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()

    gate.set()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, END_S)
    assert ended.is_set()


async def test_a_task_that_was_hurried_and_succeeds_has_its_answer() -> None:
    gate = asyncio.Event()

    async def work() -> str:
        await gate.wait()
        return "answer"

    waiting = asyncio.create_task(Retries("it", SLOW).again("ask", work))
    await asyncio.sleep(0)
    hurry(waiting)
    gate.set()

    assert await asyncio.wait_for(waiting, END_S) == "answer"


async def test_hurrying_one_task_hurries_no_other() -> None:
    retries = Retries("it", SLOW)
    one, other = (
        asyncio.create_task(retries.again("ask", Failing(RetryableError("one")))) for _ in range(2)
    )
    await until(lambda: retries.count == 2)
    await asyncio.sleep(0)

    hurry(one)

    await asyncio.wait([one], timeout=END_S)
    assert one.cancelled()
    assert not other.done()
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)

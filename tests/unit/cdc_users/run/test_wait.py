"""Waiting has limits, names what it waits for, and ends when something has died or gone silent."""

from __future__ import annotations

from collections.abc import Callable

import gevent
import pytest

from cdc_users.error import ObserverSilentError, PlatformSilentError, TargetError
from cdc_users.run.wait import (
    HURRY_S,
    POLL_S,
    SILENT_S,
    STOP_S,
    STUCK_S,
    CutShortError,
    Progress,
    Stopping,
    Waiting,
    no_longer_than,
)
from cdc_users.step.state import Broken, Facts

pytestmark = pytest.mark.gevent


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(gevent, "sleep", clock.sleep)
    return clock


def waiting(
    clock: Clock,
    death: Callable[[], Broken | None] = lambda: None,
    trouble: str | None = None,
) -> Waiting:
    return Waiting(Facts(), death, lambda: trouble, Stopping(clock=clock), clock=clock)


def never() -> bool:
    return False


def silent(error: TargetError) -> Callable[[], bool]:
    def ask() -> bool:
        raise error

    return ask


def test_a_wait_ends_with_its_condition_or_its_limit(clock: Clock) -> None:
    assert waiting(clock).until("lanes", lambda: clock.now_s > 3, 10)
    began_s = clock.now_s
    assert not waiting(clock).until("lanes", never, 10)
    assert 10 <= clock.now_s - began_s < 11


def test_a_death_ends_it_at_once_and_breaks_the_run(clock: Clock) -> None:
    found = waiting(clock, lambda: Broken("the platform died", 1) if clock.now_s > 2 else None)

    assert not found.until("the drain", never, None)
    assert clock.now_s < 3
    assert found.facts.broken == [Broken("the platform died", 1)]


@pytest.mark.parametrize(
    ("error", "trouble", "broken_with"),
    [
        (PlatformSilentError("the platform does not answer"), None, 1),
        (ObserverSilentError("the observer does not answer"), None, 2),
        (PlatformSilentError("the platform does not answer"), "Kafka does not answer", 3),
    ],
)
def test_what_lives_and_stays_silent_is_named_and_breaks_the_run(
    clock: Clock, error: TargetError, trouble: str | None, broken_with: int
) -> None:
    found = waiting(clock, trouble=trouble)

    assert not found.until("the drain", silent(error), None)
    assert SILENT_S <= clock.now_s < SILENT_S + 1
    (broken,) = found.facts.broken
    assert broken.exit_code == broken_with
    assert broken.reason.startswith(trouble or str(error))


def test_a_short_silence_is_no_death(clock: Clock) -> None:
    error = PlatformSilentError("busy")

    def answers_later() -> bool:
        if clock.now_s < SILENT_S / 2:
            raise error
        return True

    found = waiting(clock)
    assert found.until("the drain", answers_later, None)
    assert found.facts.broken == []


def test_a_limit_that_comes_in_a_silence_waits_until_the_silent_one_is_named(clock: Clock) -> None:
    found = waiting(clock)

    assert not found.until("the drain", silent(ObserverSilentError("no answer")), SILENT_S / 2)
    assert SILENT_S <= clock.now_s < SILENT_S + 1
    assert found.facts.broken[0].reason.startswith("no answer, silent for")


def test_nothing_that_moves_although_it_is_due_ends_a_wait_without_limit(clock: Clock) -> None:
    found = waiting(clock)

    assert not found.until("the load of x", never, None, progress=Progress(lambda: 7))
    assert STUCK_S <= clock.now_s < STUCK_S + 1
    assert "nothing has moved for 30 s while the load of x was awaited" in (
        found.facts.broken[0].reason
    )


def test_progress_or_nothing_due_keeps_a_wait_alive(clock: Clock) -> None:
    def progress() -> object:
        return None if clock.now_s < 100 else int(clock.now_s)

    found = waiting(clock)
    assert found.until("the load", lambda: clock.now_s > 200, None, progress=Progress(progress))
    assert found.facts.broken == []


def test_a_stop_bounds_every_wait_and_leaves_time_for_what_follows(clock: Clock) -> None:
    found = waiting(clock)
    found.stopping.ask("stopped early by SIGINT")

    assert not found.until("the drain", never, None, reserved_s=15)
    assert clock.now_s == pytest.approx(STOP_S - 15, abs=0.2)
    found.stopping.hurry()
    assert found.stopping.left_s() == pytest.approx(HURRY_S)
    assert found.stopping.reason == "stopped early by SIGINT"


def test_a_stopped_run_ends_for_what_it_was_told_and_not_for_what_is_silent(clock: Clock) -> None:
    found = waiting(clock)
    found.stopping.ask("stopped early by SIGINT")

    assert not found.until("the drain", silent(ObserverSilentError("no answer")), None)
    assert clock.now_s == pytest.approx(STOP_S, abs=0.2)
    assert found.facts.broken == []


def test_a_question_that_is_not_answered_takes_no_more_than_a_stop_has_left() -> None:
    found = Waiting(Facts(), lambda: None, lambda: None)
    found.stopping.ask("stopped early by SIGINT")

    def hangs() -> bool:
        gevent.sleep(60)
        return True

    with gevent.Timeout(10):
        assert not found.until("the last samples", hangs, None, reserved_s=STOP_S - 0.05)
    assert found.facts.broken == []


def test_what_is_too_slow_is_cut_short_when_a_stopped_run_has_no_more_time() -> None:
    stopping = Stopping()
    stopping.ask("stopped early")
    reserved_s = STOP_S - 0.05

    with (
        pytest.raises(CutShortError, match="asked to stop before its pipeline was up"),
        no_longer_than(stopping, reserved_s, "its pipeline was up"),
    ):
        gevent.sleep(60)


def test_what_was_done_in_time_is_left_alone_afterwards() -> None:
    stopping = Stopping()
    with no_longer_than(stopping, STOP_S, "its pipeline was up"):
        gevent.sleep(0.01)
    stopping.ask("stopped early")

    with gevent.Timeout(3 * POLL_S, False):
        gevent.sleep(60)  # the watcher would have struck by now

"""A pipeline is asked about when nothing has come for a while, and not before."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from cdc_users.run.driver.silence import ASK_AGAIN_S, QUIET_S, Silence

pytestmark = pytest.mark.gevent


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_nobody_is_asked_while_events_come_and_hope_ends_with_a_cause() -> None:
    clock, asked = Clock(), []
    answers: list[list[str]] = [[], ["the capture is gone"]]

    def ask() -> list[str]:
        asked.append(clock.now_s)
        return answers[len(asked) - 1]

    silence = Silence(ask, clock)
    for count in range(100):
        clock.now_s += 1
        assert not silence.hopeless(count)
    assert not asked

    clock.now_s += QUIET_S
    assert not silence.hopeless(99)
    clock.now_s += ASK_AGAIN_S - 1
    assert not silence.hopeless(99)
    assert asked == [100 + QUIET_S]
    clock.now_s += 1
    assert silence.hopeless(99)
    assert silence.causes == ["the capture is gone"]
    assert silence.quiet_s == QUIET_S + ASK_AGAIN_S


def test_an_event_that_comes_after_all_begins_the_silence_again() -> None:
    clock = Clock()
    silence = Silence(lambda: ["gone"], clock)
    silence.hopeless(1)
    clock.now_s += QUIET_S - 1
    assert not silence.hopeless(2)
    clock.now_s += QUIET_S - 1

    assert not silence.hopeless(2)
    assert silence.quiet_s == QUIET_S - 1

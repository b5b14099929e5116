"""Patience with a failing source ends, whatever the connections in between looked like."""

from __future__ import annotations

import psycopg
import pytest

from infra.platform.process.error import UnreachableError
from infra.platform.wal.error import SetupError
from infra.platform.wal.replication.patience import (
    MOST_PAUSE_S,
    Patience,
    PatienceClock,
    is_passing,
    patiently,
)


class Clock:
    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


@pytest.mark.parametrize("code", ["", "08006", "53300", "57P01", "57P03", "55006"])
def test_states_of_the_moment_pass(code: str) -> None:
    assert is_passing(code)


@pytest.mark.parametrize("code", ["22012", "42704", "58P01", "55000", "XX000", "22P05"])
def test_what_the_server_says_against_the_data_or_the_set_up_does_not_pass(code: str) -> None:
    assert not is_passing(code)


def test_pauses_grow_and_end_at_the_limit_without_progress() -> None:
    clock = Clock()
    patience = Patience(10.0, clock)
    pauses = []
    while (pause_s := patience.pause_s("broken", "")) is not None:
        pauses.append(pause_s)
        clock.s += pause_s

    assert clock.s == pytest.approx(10.0)
    assert pauses == sorted(pauses[:-1]) + pauses[-1:]
    assert max(pauses) == MOST_PAUSE_S


def test_progress_renews_the_patience() -> None:
    clock = Clock()
    patience = Patience(1.0, clock)
    for _ in range(100):
        assert patience.pause_s("broken", "") is not None
        clock.s += 0.9
        patience.progress()

    assert (patience.failures, patience.trouble) == (0, "")


def test_an_error_that_does_not_pass_ends_it_at_its_second_time_in_a_row() -> None:
    patience = Patience(60.0, Clock())

    assert patience.pause_s("division by zero", "22012") is not None
    assert patience.pause_s("division by zero", "22012") is None
    assert patience.trouble == "division by zero"


def test_a_restart_between_two_errors_of_a_kind_gives_another_try() -> None:
    patience = Patience(60.0, Clock())

    assert patience.pause_s("division by zero", "22012") is not None
    assert patience.pause_s("shutting down", "57P01") is not None
    assert patience.pause_s("division by zero", "22012") is not None


def test_without_patience_the_first_failure_is_the_last() -> None:
    assert Patience(60.0, Clock()).pause_s("refused", "", 0.0) is None


class Answers:
    """Fails so often, then answers."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.asked = 0
        self._failures, self._error = failures, error

    def __call__(self) -> str:
        self.asked += 1
        if self.asked <= self._failures:
            raise self._error
        return "answer"


def waiting(ask: Answers, told: list[str]) -> str:
    clock = Clock()

    def sleep(seconds: float) -> None:
        clock.s += seconds

    return patiently(ask, 10.0, PatienceClock(clock, sleep), told.append)


def test_a_registry_or_source_that_is_away_for_a_while_is_asked_again() -> None:
    told: list[str] = []

    assert waiting(Answers(3, UnreachableError("the registry does not answer")), told) == "answer"
    assert told == ["the registry does not answer"] * 3 + [""]


@pytest.mark.parametrize(
    ("error", "most"),
    [
        (UnreachableError("away"), 25),
        (psycopg.errors.InsufficientPrivilege("no right"), 1),
        (SetupError("subject is refused"), 1),
    ],
)
def test_what_does_not_come_back_ends_the_waiting(error: Exception, most: int) -> None:
    ask = Answers(1_000_000, error)
    with pytest.raises(type(error)):
        waiting(ask, [])

    assert ask.asked <= most

"""Patience with a failing source ends, whatever the connections in between looked like."""

from __future__ import annotations

import pytest

from infra.platform.wal.replication.patience import MOST_PAUSE_S, Patience, is_passing


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

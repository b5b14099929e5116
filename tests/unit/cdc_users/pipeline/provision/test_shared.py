"""A stack that a run has started goes with the last run that uses it, and with no other."""

from __future__ import annotations

from pathlib import Path

from cdc_users.pipeline.provision.shared import USERS, StackUse
from infra.stack.supervise.state import StackState, hold, is_held


def test_the_first_to_end_leaves_the_stack_to_the_other(tmp_path: Path) -> None:
    state = StackState(tmp_path)
    one, other = StackUse(state, "one"), StackUse(state, "other")
    one.started()

    assert not one.end()
    assert other.end()
    assert not other.end()


def test_a_stack_that_no_run_has_started_stays(tmp_path: Path) -> None:
    assert not StackUse(StackState(tmp_path), "one").end()


def test_a_user_that_has_died_does_not_keep_the_stack_up(tmp_path: Path) -> None:
    state = StackState(tmp_path)
    one = StackUse(state, "one")
    one.started()
    (tmp_path / USERS / "died").touch()

    assert one.end()
    assert list((tmp_path / USERS).iterdir()) == []


def test_a_held_state_is_alive_whatever_its_pid(tmp_path: Path) -> None:
    state = StackState(tmp_path)
    assert not is_held(state)
    with hold(state):
        assert is_held(state)
    assert not is_held(state)


def test_what_a_dead_user_has_left_is_cleared_away_on_a_stack_that_no_run_has_started(
    tmp_path: Path,
) -> None:
    state = StackState(tmp_path)
    one = StackUse(state, "one")
    living = StackUse(state, "living")
    (tmp_path / USERS / "died").touch()

    assert not one.end()
    assert [path.name for path in (tmp_path / USERS).iterdir()] == ["living"]
    assert not living.end()

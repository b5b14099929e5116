"""What clearing a checkout's state may take away, and what not."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from infra.stack.error import StackConfigError
from infra.stack.supervise import state as states
from infra.stack.supervise.identity import Identity
from infra.stack.supervise.state import StackState, clear, hold, write_processes


def state_with(place: Path, supervisor: Identity) -> StackState:
    state = StackState(place)
    state.run.mkdir()
    write_processes(state, [supervisor], [])
    return state


def test_a_stack_that_lives_in_another_pid_namespace_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "RELEASE_S", 0.1)
    state = state_with(tmp_path, Identity(os.getpid(), 1.0))

    with hold(state), pytest.raises(StackConfigError, match="cannot be seen from here"):
        clear(state)

    assert state.run.exists()
    assert state.processes.exists()


def test_a_stack_whose_supervisor_has_died_is_cleared(tmp_path: Path) -> None:
    state = state_with(tmp_path, Identity(os.getpid(), 1.0))
    hold(state).close()

    assert clear(state) == 0
    assert not state.run.exists()


def test_a_supervisor_that_is_gone_before_its_lock_is_gets_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = state_with(tmp_path, Identity(os.getpid(), 1.0))
    lock = hold(state)
    asked = threading.Event()
    is_held = states.is_held

    def held(of: StackState) -> bool:
        found = is_held(of)
        asked.set()
        return found

    monkeypatch.setattr(states, "is_held", held)

    def let_go() -> None:
        asked.wait()
        lock.close()

    thread = threading.Thread(target=let_go)
    thread.start()

    assert clear(state) == 0
    thread.join()
    assert not state.run.exists()

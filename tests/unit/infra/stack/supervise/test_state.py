"""What clearing a checkout's state may take away, and what not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from infra.faults.small_disk import may_mount, mount_small
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError, StackError
from infra.stack.supervise import state as states
from infra.stack.supervise.identity import Identity, identify
from infra.stack.supervise.state import (
    StackState,
    clear,
    clear_after,
    exclusive,
    hold,
    is_held,
    keep_private,
    read_endpoints,
    recorded,
    state_of,
    write_json,
    write_processes,
)


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


@pytest.mark.skipif(not may_mount(), reason="no tmpfs may be mounted here")
def test_a_disk_over_a_directory_of_a_dead_stack_goes_with_it(tmp_path: Path) -> None:
    state = state_with(tmp_path, Identity(os.getpid(), 1.0))
    (state.run / "kafka").mkdir()
    mount_small(state.run / "kafka", 1024 * 1024)
    (state.run / "kafka" / "log").touch()
    hold(state).close()

    clear(state)

    assert not state.run.exists()


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


def test_a_reader_sees_the_old_content_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    write_json(path, {"größe": 1})

    with pytest.raises(TypeError):
        write_json(path, {"größe": object()})

    assert json.loads(path.read_text(encoding="utf-8")) == {"größe": 1}


def test_endpoints_are_there_only_while_a_stack_is_up(tmp_path: Path) -> None:
    state = state_of(tmp_path)
    assert read_endpoints(state) is None

    made = Endpoints("process", "host=db", "k:1", "http://r", "http://c", supervisor_pid=7)
    write_json(state.endpoints, made.to_json())

    assert read_endpoints(state) == made


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"kind": "process"}',
        '{"kind": "process", "postgres_dsn": "", "kafka_bootstrap": "", "schema_registry_url": "",'
        ' "connect_url": "", "of_a_later_version": 1}',
        "\xff",
    ],
)
def test_endpoints_of_another_version_are_told_to_be_taken_down(tmp_path: Path, text: str) -> None:
    state = state_of(tmp_path)
    state.root.mkdir()
    state.endpoints.write_bytes(text.encode("latin-1"))

    with pytest.raises(StackConfigError) as told:
        read_endpoints(state)

    assert str(told.value).startswith(f"{state.endpoints} is damaged, or of another version (")
    assert str(told.value).endswith("); run `python -m infra.stack down`")


def test_what_was_written_down_is_read_back(tmp_path: Path) -> None:
    state = StackState(tmp_path)
    processes, places = [Identity(7, 1.25), Identity(8, 1e9 + 0.125)], [tmp_path / "a, b: größe"]

    write_processes(state, processes, places)

    assert recorded(state) == (processes, places)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"processes": [[1]], "places": []}'])
def test_what_cannot_be_read_names_no_process(tmp_path: Path, text: str) -> None:
    state = StackState(tmp_path)
    state.processes.write_text(text, encoding="utf-8")

    assert recorded(state) == ([], [])
    assert clear(state) == 0
    assert not state.processes.exists()


def test_clearing_takes_all_that_a_crash_has_left_and_nothing_else(tmp_path: Path) -> None:
    state, outside = StackState(tmp_path / ".stack"), tmp_path / "outside"
    for directory in (state.run / "kafka", state.logs, outside / "data"):
        directory.mkdir(parents=True)
    kept = [state.logs / "kafka.log", state.root / "users"]
    for path in (
        *(state.endpoints, state.started_by_run, state.request, state.answer),
        *(state.root / ".endpoints.json.77", *kept),
    ):
        path.write_text("{}", encoding="utf-8")
    write_processes(state, [Identity(os.getpid(), 1.0)], [outside, tmp_path / "gone"])

    assert clear(state) == 0

    left = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {path.relative_to(tmp_path) for path in kept}
    assert not outside.exists()
    assert not state.run.exists()


def test_clearing_kills_what_still_lives_and_says_how_many(tmp_path: Path) -> None:
    state = StackState(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as child:
        write_processes(state, [identify(child.pid), Identity(os.getpid(), 1.0)], [])

        assert clear(state) == 1

        assert child.wait(30) == -9


def test_a_successor_is_not_cleared_by_the_watcher_of_the_one_before(tmp_path: Path) -> None:
    state = StackState(tmp_path)
    old, new = Identity(os.getpid(), 1.0), Identity(os.getpid(), 2.0)
    write_processes(state, [new], [])

    clear_after(state, old)
    assert state.processes.exists()

    clear_after(state, new)
    assert not state.processes.exists()


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_stacks_files_are_shut_for_everybody_else(tmp_path: Path, mode: int) -> None:
    state = StackState(tmp_path / ".stack")
    state.root.mkdir()
    state.root.chmod(mode)

    keep_private(state)

    assert state.root.stat().st_mode & 0o777 == 0o700


def test_a_stack_is_held_as_long_as_its_lock_is_open(tmp_path: Path) -> None:
    state = StackState(tmp_path / ".stack")
    assert not is_held(state)

    with hold(state):
        assert is_held(state)
        assert is_held(state)

    assert not is_held(state)
    assert state.alive.exists()


def test_the_second_who_wants_a_checkout_waits_for_the_first(tmp_path: Path) -> None:
    state, order = StackState(tmp_path), []
    waiting = threading.Event()

    def second() -> None:
        waiting.set()
        with exclusive(state):
            order.append("second")

    with exclusive(state):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(30)
        order.append("first")
    thread.join(30)

    assert order == ["first", "second"]


def test_a_checkout_that_stays_taken_is_told_with_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "LOCK_S", 0.05)
    state = StackState(tmp_path)

    with (
        exclusive(state),
        pytest.raises(StackError, match=rf"has held {tmp_path}/lock for 0\.05 s"),
        exclusive(state),
    ):
        raise AssertionError

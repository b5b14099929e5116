"""One of a supervisor's servers is killed, started again, stopped and let go on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from infra.stack.error import StackConfigError
from infra.stack.servers.server import Recipe, ServerProcess, start
from infra.stack.supervise.control import ServerControl

DEADLINE_S = 30.0
#: A server with a child, as PostgreSQL has backends; it says when both are there, and ends with it.
FAMILY = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, lambda *_: (child.kill(), sys.exit(9)))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("ready", child.pid, flush=True)
time.sleep(600)
"""


def recipe(name: str) -> Recipe:
    command = [sys.executable, "-u", "-c", FAMILY]
    return Recipe(name, command, probe=lambda: None, prepare=lambda: None)


def await_that(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[ServerProcess]]:
    found = [start(recipe(name), tmp_path) for name in ("one", "other")]
    for server in found:
        await_that(lambda server=server: "ready" in server.log.read_text())  # type: ignore[misc]
    yield found
    for server in found:
        server.identity.kill()
        server.process.wait()


@pytest.fixture
def changes() -> list[str]:
    return []


@pytest.fixture
def control(servers: list[ServerProcess], tmp_path: Path, changes: list[str]) -> ServerControl:
    return ServerControl(servers, tmp_path, lambda: changes.append("changed"))


def states(server: ServerProcess) -> set[str]:
    process = psutil.Process(server.process.pid)
    return {member.status() for member in (process, *process.children(recursive=True))}


def test_a_killed_server_is_down_on_purpose_and_the_other_lives(
    control: ServerControl, servers: list[ServerProcess]
) -> None:
    family = psutil.Process(servers[0].process.pid).children()

    control.act("kill", "one")

    assert servers[0].dead() is not None
    assert servers[1].dead() is None
    assert control.down == {"one"}
    await_that(lambda: not any(child.is_running() for child in family))


def test_a_restarted_server_is_another_process_of_the_same_recipe(
    control: ServerControl, servers: list[ServerProcess], changes: list[str]
) -> None:
    before = servers[0]
    control.act("kill", "one")

    control.act("restart", "one")

    assert servers[0].recipe is before.recipe
    assert servers[0].process.pid != before.process.pid
    assert servers[0].dead() is None
    assert control.down == set()
    assert changes == ["changed"]


def test_a_server_that_runs_is_stopped_before_it_is_started_again(
    control: ServerControl, servers: list[ServerProcess]
) -> None:
    before = servers[0]

    control.act("restart", "one")

    assert before.dead() is not None
    assert servers[0].dead() is None


def test_a_paused_server_stands_still_with_all_its_children_until_it_is_let_go_on(
    control: ServerControl, servers: list[ServerProcess]
) -> None:
    control.act("pause", "one")
    await_that(lambda: states(servers[0]) == {psutil.STATUS_STOPPED})
    assert psutil.STATUS_STOPPED not in states(servers[1])

    control.act("resume", "one")
    await_that(lambda: psutil.STATUS_STOPPED not in states(servers[0]))


def test_a_paused_server_ends_when_it_is_asked_to(
    control: ServerControl, servers: list[ServerProcess]
) -> None:
    control.act("pause", "one")

    servers[0].stop()

    assert servers[0].process.returncode == 9


def test_a_server_is_ended_and_started_however_often(
    control: ServerControl, servers: list[ServerProcess], changes: list[str]
) -> None:
    for _ in range(2):
        control.act("end", "one")
        assert servers[0].dead() is not None
        assert not control.is_missed(servers[0])

    for _ in range(2):
        control.act("start", "one")
        assert servers[0].dead() is None
        assert control.is_missed(servers[0])

    assert changes == ["changed"]


def test_one_that_may_end_is_not_missed_until_it_is_started_again(
    control: ServerControl, servers: list[ServerProcess]
) -> None:
    control.act("may-end", "one")
    servers[0].identity.kill()

    assert [control.is_missed(server) for server in servers] == [False, True]
    control.act("start", "one")
    assert control.is_missed(servers[0])


def test_none_but_postgres_has_a_standby(control: ServerControl) -> None:
    with pytest.raises(StackConfigError, match="one can have no standby"):
        control.act("add-standby", "one")


@pytest.mark.parametrize("action", ["kill", "pause", "resume"])
def test_one_that_is_down_can_only_be_started(control: ServerControl, action: str) -> None:
    control.act("kill", "one")

    with pytest.raises(StackConfigError, match=r"infra\.stack restart one"):
        control.act(action, "one")


@pytest.mark.parametrize(
    ("action", "name", "told"),
    [
        ("kill", "third", "'third' is not a server of this stack: one, other"),
        ("freeze", "one", "'freeze' is not one of kill, pause, resume, "),
    ],
)
def test_what_makes_no_sense_is_refused(
    control: ServerControl, action: str, name: str, told: str
) -> None:
    with pytest.raises(StackConfigError, match=told):
        control.act(action, name)

"""Children that a fault has killed or stopped are away until they are healed."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from cdc_users.pipeline.process.child_process import (
    Away,
    Child,
    NotReadyError,
    launch,
    stop_all,
)

#: Finishes its work after the first SIGTERM; a second one would end it by force.
FINISHES = """
import signal, time
def finish(number, frame):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(0.3)
    raise SystemExit(0)
signal.signal(signal.SIGTERM, finish)
print('{"telemetry": "here"}', flush=True)
time.sleep(600)
"""
READY = 'import time; print(\'{"telemetry": "here"}\', flush=True); time.sleep(600)'


def await_that(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    command = [sys.executable, "-c", READY]
    made = launch("platform-1", command, tmp_path / "log", os.environ).await_ready()
    yield made
    made.process.send_signal(signal.SIGKILL)
    made.stop()


@pytest.mark.parametrize(("action", "code"), [("kill", -9), ("terminate", -15)])
def test_a_child_that_is_ended_is_away_until_another_takes_its_place(
    child: Child, action: str, code: int
) -> None:
    away = Away()

    assert away.act(action, child) is child
    assert child.process.returncode == code
    assert away.has(child)
    assert not away.forgotten

    successor = away.act("restart", child)
    try:
        assert not away.has(successor)
        assert away.forgotten
        assert (successor.name, successor.ready) == (child.name, child.ready)
        assert successor.process.pid != child.process.pid
        assert successor.dead() is None
    finally:
        successor.stop()


def test_a_child_that_is_stopped_is_away_until_it_goes_on_and_has_forgotten_nothing(
    child: Child,
) -> None:
    away = Away()

    away.act("pause", child)
    assert away.has(child)
    await_that(lambda: psutil.Process(child.process.pid).status() == psutil.STATUS_STOPPED)

    away.act("resume", child)
    assert not away.has(child)
    assert not away.forgotten
    assert child.dead() is None


def test_a_child_that_was_not_killed_is_not_started_again(child: Child) -> None:
    away = Away()

    assert away.act("restart", child) is child
    assert not away.forgotten


def test_children_that_are_stopped_go_on_before_they_are_asked_to_end(child: Child) -> None:
    away = Away()
    away.act("pause", child)

    away.let_go_on([child])

    assert child.stop() == -15


def test_a_child_that_is_started_again_has_as_long_to_get_ready_as_at_first(tmp_path: Path) -> None:
    command = [sys.executable, "-c", READY]
    child = launch("platform-1", command, tmp_path / "log", os.environ).await_ready(7200.0)
    child.process.kill()
    child.stop()

    successor = child.again()
    successor.process.kill()
    successor.stop()

    assert successor.ready_s == 7200.0


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("raise SystemExit(7)", "platform-1 ended with 7 before it was ready"),
        ("import time; time.sleep(600)", r"platform-1 did not become ready within 0\.1 s"),
    ],
)
def test_a_child_that_ends_is_told_from_one_that_says_nothing(
    tmp_path: Path, program: str, told: str
) -> None:
    launched = launch("platform-1", [sys.executable, "-c", program], tmp_path / "log", os.environ)
    limit_s = 0.1 if "sleep" in program else 60.0

    with pytest.raises(NotReadyError, match=told):
        launched.await_ready(limit_s)


def test_children_that_are_ended_together_are_asked_once_each(tmp_path: Path) -> None:
    children = [
        launch(name, [sys.executable, "-c", FINISHES], tmp_path / name, os.environ).await_ready()
        for name in ("platform-1", "platform-2")
    ]

    assert stop_all(children, 30) == [(child, 0) for child in children]

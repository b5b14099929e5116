"""Children that a fault has killed or stopped are away until they are healed."""

from __future__ import annotations

import json
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
    tail,
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


def test_a_child_that_says_what_no_text_is_is_told_as_one_that_ended(tmp_path: Path) -> None:
    said = "import sys; sys.stdout.buffer.write(b'caf\\xe9\\n'); sys.stdout.flush()"

    with pytest.raises(NotReadyError) as told:
        launch("odd", [sys.executable, "-c", said], tmp_path / "log", {}).await_ready()

    assert str(told.value) == (
        "odd wrote 'caf\ufffd' to its standard output in place of its ready line; have it write"
        f" that to its standard error; log {tmp_path / 'log'}"
    )


def test_a_child_of_which_no_more_is_known_is_told_by_its_last_lines(tmp_path: Path) -> None:
    code = "import sys; print(*range(20), sep='\\n', file=sys.stderr); sys.exit(7)"
    log = tmp_path / "logs" / "größe.log"

    with pytest.raises(NotReadyError) as told:
        launch("short", [sys.executable, "-c", code], log, {}).await_ready()

    lines = "".join(f"\n    {number}" for number in range(8, 20))
    assert str(told.value) == f"short ended with 7 before it was ready; log {log}{lines}"


def test_a_log_that_is_not_there_is_told_by_its_place(tmp_path: Path) -> None:
    assert tail(tmp_path / "log") == f"log {tmp_path / 'log'}"


def test_a_child_gets_its_line_and_its_input_stays_open(tmp_path: Path) -> None:
    code = (
        "import sys, json; line = sys.stdin.readline();"
        " print(json.dumps({'got': line}), flush=True); sys.stdin.read(); sys.exit(5)"
    )
    child = launch(
        "reads", [sys.executable, "-c", code], tmp_path / "log", {}, standard_input="grüße, #1"
    ).await_ready()

    assert json.loads(child.ready) == {"got": "grüße, #1\n"}
    assert child.dead() is None
    assert child.process.stdin is not None
    child.process.stdin.close()
    assert child.process.wait(30) == 5
    assert child.dead() == f"reads ended with 5; log {tmp_path / 'log'}"
    assert child.stop() == 5


def test_a_child_that_dies_before_it_reads_its_line_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="gone ended with 9 before it was ready"):
        launch(
            "gone",
            [sys.executable, "-S", "-c", "import os; os._exit(9)"],
            tmp_path / "log",
            {},
            standard_input="x" * 200_000,
        ).await_ready()


def test_a_child_has_the_environment_that_it_is_given_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDC_SECRET", "hush")
    code = (
        "import os, json;"
        " print(json.dumps({'names': sorted(set(os.environ) - {'LC_CTYPE'})}), flush=True)"
    )

    child = launch("env", [sys.executable, "-c", code], tmp_path / "log", {"A": "b"}).await_ready()

    assert json.loads(child.ready) == {"names": ["A"]}
    child.stop()


def test_a_child_that_does_not_end_when_asked_is_killed_when_its_grace_is_over(
    tmp_path: Path,
) -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        " print('{}', flush=True); time.sleep(600)"
    )
    child = launch("deaf", [sys.executable, "-c", code], tmp_path / "log", {}).await_ready()

    assert child.stop(grace_s=0.1) == -signal.SIGKILL
    assert child.stop() == -signal.SIGKILL


def test_what_a_child_writes_after_its_ready_line_is_in_its_log_and_holds_it_up_never(
    tmp_path: Path,
) -> None:
    """More than a pipe holds (64 KiB): the child would stand still at its print."""
    done = tmp_path / "done"
    talks = f"""
import pathlib, time
print('{{}}', flush=True)
for number in range(5000):
    print("a line of a library that prints, number", number, flush=True)
pathlib.Path({str(done)!r}).touch()
time.sleep(600)
"""
    child = launch("platform-1", [sys.executable, "-c", talks], tmp_path / "log", os.environ)
    made = child.await_ready()
    try:
        await_that(done.exists)
        await_that(lambda: "number 4999" in tail(tmp_path / "log"))
    finally:
        made.stop()

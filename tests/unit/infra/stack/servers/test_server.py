"""A server is ready when it answers, and told by its log when it has died."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from infra.stack.artifacts.java import Training
from infra.stack.error import StackError
from infra.stack.servers import server as servers
from infra.stack.servers.server import TAIL_LINES, Recipe, ServerProcess, log_tail, start

DEADLINE_S = 30.0
LIVES = "import time; time.sleep(600)"
#: Ends by itself, when it is asked in its own way, with 4.
POLITE = """
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit(4))
print("ready", flush=True)
time.sleep(600)
"""
DEAF = POLITE.replace("lambda *_: sys.exit(4)", "signal.SIG_IGN")


def refuse() -> None:
    raise ConnectionRefusedError("not yet")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    started: list[ServerProcess] = []

    def start_one(
        code: str, probe: Callable[[], None] = refuse, environment: Mapping[str, str] | None = None
    ) -> ServerProcess:
        recipe = Recipe(
            "größe",
            [sys.executable, "-u", "-c", code],
            probe,
            prepare=lambda: None,
            environment=environment or {},
            stop_signal=signal.SIGINT,
        )
        started.append(start(recipe, tmp_path))
        return started[-1]

    yield start_one
    for server in started:
        server.identity.kill()
        server.process.wait()


def await_log(server: ServerProcess, text: str) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while text not in server.log.read_text(encoding="utf-8"):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_a_server_is_ready_when_its_probe_succeeds(run: Callable[..., ServerProcess]) -> None:
    asked: list[int] = []

    def probe() -> None:
        asked.append(1)
        if len(asked) < 3:
            raise ValueError("no page yet")

    run(LIVES, probe).await_ready(time.monotonic() + DEADLINE_S)

    assert len(asked) == 3


def test_a_server_that_dies_is_not_asked_any_more(run: Callable[..., ServerProcess]) -> None:
    server = run("import sys; print('port taken'); sys.exit(3)")

    with pytest.raises(StackError) as told:
        server.await_ready(time.monotonic() + DEADLINE_S)

    assert str(told.value) == (
        f"größe ended with 3\n    port taken\n    the whole log: {server.log}"
    )


def test_a_server_that_does_not_answer_is_told_with_the_last_reason(
    run: Callable[..., ServerProcess],
) -> None:
    server = run(POLITE)
    await_log(server, "ready")

    with pytest.raises(StackError) as told:
        server.await_ready(time.monotonic() + 0.05)

    assert str(told.value) == (
        f"größe does not answer (not yet)\n    ready\n    the whole log: {server.log}"
    )
    assert server.dead() is None


def test_a_server_gets_its_own_variables_and_not_the_runs_secrets(
    run: Callable[..., ServerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
    code = "import os; print(sorted(os.environ.items()), os.getcwd(), os.getsid(0) == os.getpid())"

    server = run(code, environment={"OWN": "yes"})
    server.process.wait(DEADLINE_S)

    said = server.log.read_text(encoding="utf-8")
    assert "('OWN', 'yes')" in said
    assert "hush-hush" not in said
    assert said.rstrip().endswith("/ True")


def test_a_server_is_stopped_by_its_own_signal(run: Callable[..., ServerProcess]) -> None:
    server = run(POLITE)
    await_log(server, "ready")

    server.stop()

    assert server.process.returncode == 4
    server.stop()
    assert server.process.returncode == 4


def test_a_server_that_was_paused_hears_that_it_is_to_stop(
    run: Callable[..., ServerProcess],
) -> None:
    server = run(POLITE)
    await_log(server, "ready")
    server.identity.pause()

    server.stop()

    assert server.process.returncode == 4


def test_a_server_that_is_deaf_is_killed_with_its_children(
    run: Callable[..., ServerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "GRACE_S", 0.1)
    family = (
        "import subprocess, sys\n"
        f"print(subprocess.Popen([sys.executable, '-c', {LIVES!r}]).pid, flush=True)\n{DEAF}"
    )
    server = run(family)
    await_log(server, "ready")
    child = psutil.Process(int(server.log.read_text(encoding="utf-8").split()[0]))

    server.stop()

    assert server.process.returncode == -signal.SIGKILL
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_what_a_first_start_has_taught_is_kept_when_the_server_has_ended(tmp_path: Path) -> None:
    training = Training(tmp_path / "draft", tmp_path / "kept", tmp_path)
    code = f"import pathlib; pathlib.Path({str(training.draft)!r}).write_text('learned')"
    recipe = Recipe("java", [sys.executable, "-c", code], refuse, lambda: None, training=training)
    server = start(recipe, tmp_path)
    server.process.wait(DEADLINE_S)

    server.stop()

    assert training.cache.read_text(encoding="utf-8") == "learned"
    assert not training.draft.exists()


def test_a_log_that_is_not_there_is_told_by_its_place(tmp_path: Path) -> None:
    assert log_tail(tmp_path / "log") == f"    the whole log: {tmp_path / 'log'}"


@pytest.mark.parametrize("lines", [TAIL_LINES - 1, TAIL_LINES, TAIL_LINES + 1])
def test_the_end_of_a_log_is_its_last_lines(tmp_path: Path, lines: int) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"{number}\n" for number in range(lines)), encoding="utf-8")

    told = log_tail(log).splitlines()

    assert told[0] == f"    {max(0, lines - TAIL_LINES)}"
    assert told[-2:] == [f"    {lines - 1}", f"    the whole log: {log}"]
    assert len(told) == min(lines, TAIL_LINES) + 1


def test_a_log_of_octets_that_are_no_text_is_shown_all_the_same(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"caf\xe9\n")

    assert log_tail(log) == f"    caf\ufffd\n    the whole log: {log}"


def test_logs_of_two_starts_stand_one_behind_the_other(
    run: Callable[..., ServerProcess],
) -> None:
    for word in ("one", "two"):
        run(f"print({word!r})").process.wait(DEADLINE_S)

    assert run("").log.read_text(encoding="utf-8") == "one\ntwo\n"

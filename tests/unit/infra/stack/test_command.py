"""A command of the user's own acts on a server, or says why it did not."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import psutil
import pytest

from infra.stack import one_server
from infra.stack.command import ACTED_ON, command_mistakes, run_command
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError, StackError
from infra.stack.supervise.state import state_of

LIMIT_S = 30.0


def python(code: str) -> str:
    return shlex.join([sys.executable, "-c", code])


def test_the_servers_that_may_have_a_command_are_those_that_are_acted_on() -> None:
    assert ACTED_ON == one_server.SERVERS


def test_the_action_is_the_commands_last_word(tmp_path: Path) -> None:
    done = tmp_path / "done"
    code = f"import sys, pathlib; pathlib.Path({str(done)!r}).write_text(' '.join(sys.argv[1:]))"

    run_command(f"{python(code)} kafka", "pause", LIMIT_S)

    assert done.read_text(encoding="utf-8") == "kafka pause"


@pytest.mark.parametrize(
    ("command", "limit_s", "told"),
    [
        (python("import sys; sys.exit('no such unit')"), LIMIT_S, "ended with 1: no such unit"),
        (python("import sys; sys.exit(3)"), LIMIT_S, "ended with 3: it said nothing"),
        (python("import time; time.sleep(60)"), 0.2, "has not ended within 0.2 s"),
        ("/nowhere/act kafka", LIMIT_S, "cannot be run"),
    ],
)
def test_a_command_that_fails_says_how(command: str, limit_s: float, told: str) -> None:
    with pytest.raises(StackError, match=told):
        run_command(command, "kill", limit_s)


def test_all_mistakes_are_told_before_anything_is_run() -> None:
    told = list(
        command_mistakes(
            {"kafka": "", "connect": "'", "zookeeper": "x", "postgres": "no-such-program-here x"}
        )
    )

    assert [text.partition(";")[0] for text in told[:1]] == ["commands: that of kafka is empty"]
    assert "connect cannot be read" in told[1]
    assert "'zookeeper' is not one of postgres, kafka" in told[2]
    assert "there is no program 'no-such-program-here' for postgres" in told[3]
    assert list(command_mistakes({"kafka": python("")})) == []


def test_a_server_with_a_command_is_acted_on_by_it_and_no_other(tmp_path: Path) -> None:
    done = tmp_path / "done"
    code = f"import sys, pathlib; pathlib.Path({str(done)!r}).write_text(sys.argv[1])"
    endpoints = Endpoints("external", "", "", "", "", commands={"kafka": python(code)})

    one_server.act(state_of(tmp_path), endpoints, "kill", "kafka")

    assert done.read_text(encoding="utf-8") == "kill"
    with pytest.raises(StackConfigError, match="not a server that this checkout has started"):
        one_server.act(state_of(tmp_path), endpoints, "kill", "connect")


def test_a_server_that_a_command_starts_is_not_waited_for(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = (
        "import subprocess, sys, pathlib; server = subprocess.Popen([sys.executable, '-c',"
        f" 'import time; time.sleep(600)']); pathlib.Path({str(pid)!r}).write_text(str(server.pid))"
    )

    run_command(python(code), "restart", LIMIT_S)

    server = psutil.Process(int(pid.read_text(encoding="utf-8")))
    assert server.is_running()
    server.kill()


def test_the_last_words_of_a_command_are_told_whatever_they_are_written_in() -> None:
    code = r"import sys; sys.stdout.buffer.write(b'x' * 500 + b'caf\xe9\n'); sys.exit(4)"

    with pytest.raises(StackError) as told:
        run_command(python(code), "kill", LIMIT_S)

    assert str(told.value).endswith(f"ended with 4: {'x' * 296}caf\ufffd")
    assert told.value.exit_code == 3


def test_a_command_is_told_as_a_shell_would_read_it(tmp_path: Path) -> None:
    with pytest.raises(StackError) as told:
        run_command(f"'{tmp_path}/no such; act' kafka", "pause", LIMIT_S)

    assert str(told.value) == (
        f"'{tmp_path}/no such; act' kafka pause cannot be run: No such file or directory"
    )


@pytest.mark.parametrize("command", [None, 5, ["kafka"], "", "   ", "# a remark"])
def test_what_is_no_command_line_is_a_mistake(command: object) -> None:
    (mistake,) = command_mistakes({"kafka": command})

    assert mistake.startswith(("commands: that of kafka is empty", "commands: there is no program"))

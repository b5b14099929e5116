"""A command of the user's own acts on a server, or says why it did not."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

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

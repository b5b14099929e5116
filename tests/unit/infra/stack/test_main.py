"""What `python -m infra.stack` and its page say about the same thing."""

from __future__ import annotations

import errno
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra.stack import __main__ as command
from infra.stack.__main__ import main, parser, up
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError, StackError
from infra.stack.find.external import VARIABLES
from infra.stack.servers.port import WELL_KNOWN
from infra.stack.supervise.state import CHECKOUT, StackState, state_of, write_json

PAGE = (CHECKOUT / "docs" / "stack.md").read_text(encoding="utf-8")


def test_the_well_known_ports_are_the_same_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["up", "--help"])

    told = capsys.readouterr().out
    (said,) = [
        paragraph for paragraph in PAGE.split("\n\n") if "`--ports well-known` (" in paragraph
    ]
    assert all(str(port) in told and str(port) in said for port in WELL_KNOWN.values())


def test_an_own_stack_that_is_not_named_is_told_what_it_needs_and_what_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("CDC_STACK", *VARIABLES):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(
        StackConfigError,
        match=r"CDC_CONNECT_URL, CDC_POSTGRES_FROM_CONNECT \(optional\), .*\(optional\), or a file",
    ):
        up(parser().parse_args(["up", "--kind", "external"]))


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackState:
    """A checkout of its own, in an environment that names no servers."""
    for name in ("CDC_STACK", "CDC_PIPELINE", "CDC_SINK_DSN", *VARIABLES):
        monkeypatch.delenv(name, raising=False)
    state = state_of(tmp_path)
    for name, value in (("STATE", state), ("CHECKOUT", tmp_path)):
        monkeypatch.setattr(command, name, value)
    monkeypatch.setattr("infra.stack.find.locate.state_of", lambda *_: state)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return state


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("env", 3, "the stack is down; `python -m infra.stack up` starts it"),
        ("logs", 3, "there is no log of any server; the stack is down"),
        ("logs kafka", 3, "there is no log of kafka; the stack is down"),
        ("restart kafka", 3, "the stack is down; `python -m infra.stack up` starts it"),
        ("up --kind external", 2, "--kind external needs CDC_POSTGRES_DSN, "),
        ("up --kind compose --secure yes", 2, "--secure yes is for the process stack alone; leave"),
    ],
)
def test_what_cannot_be_done_is_one_message_and_an_exit_code(
    checkout: StackState, capsys: pytest.CaptureFixture[str], words: str, code: int, told: str
) -> None:
    assert main(words.split()) == code

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(told)
    assert said.err.splitlines()[-1].startswith("(after ")


def test_a_stack_that_is_down_says_what_has_ended_the_last_one(
    checkout: StackState, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status"]) == 3
    assert capsys.readouterr().out == "the stack is down; `python -m infra.stack up` starts it\n"

    write_json(checkout.root / "failure.json", {"message": "größe ended with 1"})
    assert main(["status"]) == 3
    assert capsys.readouterr().out == (
        "the stack is down; the last one ended because größe ended with 1\n"
    )


def test_down_leaves_nothing_and_may_be_said_twice(
    checkout: StackState, capsys: pytest.CaptureFixture[str]
) -> None:
    for directory in (checkout.logs, checkout.run):
        directory.mkdir(parents=True)
    write_json(checkout.root / "failure.json", {"message": "x"})

    assert main(["down"]) == main(["down"]) == 0

    assert capsys.readouterr().out == "the stack is down\n" * 2
    assert [path.name for path in checkout.root.iterdir()] == ["lock"]


def test_logs_are_shown_by_server(checkout: StackState, capsys: pytest.CaptureFixture[str]) -> None:
    checkout.logs.mkdir(parents=True)
    (checkout.logs / "kafka.log").write_bytes(b"caf\xe9\n")
    (checkout.logs / "connect.log").write_text("größe\n", encoding="utf-8")

    assert main(["logs"]) == 0
    assert capsys.readouterr().out == "== connect\ngröße\n\n== kafka\ncaf\ufffd\n\n"
    assert main(["logs", "kafka"]) == 0
    assert capsys.readouterr().out == "== kafka\ncaf\ufffd\n\n"


@pytest.mark.parametrize("words", ["up --kind process", "up --kind compose", "kill kafka"])
def test_servers_of_somebody_elses_are_left_alone(
    checkout: StackState,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
) -> None:
    monkeypatch.setenv("CDC_STACK", "/nowhere.toml")

    assert main(words.split()) == 2

    told = capsys.readouterr().err
    assert "CDC_STACK names servers that are not ours" in told
    assert main(["down"]) == 0
    assert capsys.readouterr().out.endswith("nothing is stopped\n")


def test_endpoints_are_told_as_a_file_that_can_be_named(
    checkout: StackState, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Endpoints("process", "host=db", "k:1", "http://r", "http://c", profile="test")
    write_json(checkout.endpoints, made.to_json())

    assert main(["env"]) == 0

    assert Endpoints.from_json(json.loads(capsys.readouterr().out)) == made


def test_ctrl_c_ends_with_its_own_code(
    checkout: StackState, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setitem(command.COMMANDS, "env", interrupted)

    assert main(["env"]) == 130
    assert capsys.readouterr().err == "interrupted; nothing is left running\n"


def test_a_full_disk_is_told_with_the_remedy(
    checkout: StackState, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: object) -> int:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setitem(command.COMMANDS, "env", full)

    assert main(["env"]) == 3
    assert capsys.readouterr().err.startswith(
        "the disk is full: what the stack writes down does not fit into"
    )


def supervisor(*lines: str, code: int = 0) -> subprocess.Popen[str]:
    program = "import sys; print(*sys.argv[2:], sep='\\n', flush=True); sys.exit(int(sys.argv[1]))"
    return subprocess.Popen(
        [sys.executable, "-c", program, str(code), *lines], stdout=subprocess.PIPE, text=True
    )


def test_a_supervisor_is_followed_until_its_stack_is_ready(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = Endpoints("process", "host=db", "k:1", "http://r", "http://c")
    ready = json.dumps({"ready": made.to_json(), "seconds": 4.2})

    with supervisor(json.dumps({"progress": "kafka answers"}), ready) as process:
        assert command._follow(process) == made

    assert capsys.readouterr().out == "  kafka answers\nthe stack is up after 4.2 s\n"


@pytest.mark.parametrize("code", [2, 3])
def test_what_a_supervisor_fails_of_is_told_with_its_code(code: int) -> None:
    failure = json.dumps({"failure": "ports are taken", "exit_code": code})

    with supervisor(failure) as process, pytest.raises(StackError, match="ports are t") as told:
        command._follow(process)

    assert told.value.exit_code == code


def test_a_supervisor_that_ends_without_a_word_is_told() -> None:
    with supervisor(code=9) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the empty line of no words
        with pytest.raises(StackError, match="the supervisor ended with 9 before the stack was"):
            command._follow(process)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("up --kind compose", "a stack of kind process is up; run `python -m infra.stack down`"),
        ("up --secure yes", "a stack without --secure yes is up; run `python -m infra.stack down`"),
        ("up --metrics yes", "a stack without --metrics yes is up; run `python -m infra.stack d"),
        ("up --kind process", ""),
        ("up", ""),
    ],
)
def test_a_stack_that_is_up_is_not_taken_for_another(
    checkout: StackState, words: str, told: str
) -> None:
    options = parser().parse_args(words.split())

    if told:
        with pytest.raises(StackConfigError, match=re.escape(told)):
            command._check_running(Endpoints("process"), options)
    else:
        command._check_running(Endpoints("process"), options)

"""A request to the supervisor is carried out once, and its answer is that of this request."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.stack.error import StackConfigError, StackError
from infra.stack.supervise.request import ServerRequest, answer, ask, take
from infra.stack.supervise.state import StackState, hold, state_of

LIMIT_S = 30.0


@pytest.fixture
def state(tmp_path: Path) -> StackState:
    return state_of(tmp_path)


class Supervisor(threading.Thread):
    """Answers each request with the same error, or none, as long as it holds the state."""

    def __init__(self, state: StackState, error: StackError | None) -> None:
        super().__init__(daemon=True)
        self.state, self.error = state, error
        self.taken: list[ServerRequest] = []
        self.over = threading.Event()
        self.held = hold(state)

    def run(self) -> None:
        while not self.over.wait(0.01):
            if (request := take(self.state)) is not None:
                self.taken.append(request)
                answer(self.state, request, self.error)


@pytest.fixture
def supervisor(state: StackState, request: pytest.FixtureRequest) -> Iterator[Supervisor]:
    thread = Supervisor(state, getattr(request, "param", None))
    thread.start()
    yield thread
    thread.over.set()
    thread.join()
    thread.held.close()


def test_a_request_is_taken_once_and_leaves_no_file(
    state: StackState, supervisor: Supervisor
) -> None:
    ask(state, "kill", "kafka", LIMIT_S)
    ask(state, "restart", "kafka", LIMIT_S)

    assert [(item.action, item.server) for item in supervisor.taken] == [
        ("kill", "kafka"),
        ("restart", "kafka"),
    ]
    assert not state.request.exists()
    assert not state.answer.exists()


@pytest.mark.parametrize(
    "supervisor", [StackError("no memory"), StackConfigError("no such server")], indirect=True
)
def test_a_refusal_comes_as_it_was_with_its_exit_code(
    state: StackState, supervisor: Supervisor
) -> None:
    assert supervisor.error is not None
    with pytest.raises(StackError, match=str(supervisor.error)) as caught:
        ask(state, "kill", "kafka", LIMIT_S)

    assert caught.value.exit_code == supervisor.error.exit_code


def test_the_answer_to_another_request_is_none_of_ours(
    state: StackState, supervisor: Supervisor
) -> None:
    answer(state, ServerRequest("kill", "kafka", "another"), StackError("of yesterday"))

    ask(state, "kill", "kafka", LIMIT_S)

    assert len(supervisor.taken) == 1


def test_a_supervisor_that_is_gone_is_told_at_once(state: StackState) -> None:
    state.root.mkdir()

    with pytest.raises(StackError, match="ended before it could kill kafka"):
        ask(state, "kill", "kafka", LIMIT_S)


def test_one_that_does_not_answer_is_told_within_the_limit_and_the_request_is_withdrawn(
    state: StackState,
) -> None:
    held = hold(state)

    with pytest.raises(StackError, match=r"within 0\.05 s"):
        ask(state, "kill", "kafka", 0.05)

    assert take(state) is None
    held.close()


def test_a_field_of_another_version_is_left_out_of_a_request(state: StackState) -> None:
    state.root.mkdir(parents=True, exist_ok=True)
    asked = {"action": "kill", "server": "kafka", "number": "7", "signal": "KILL"}
    state.request.write_text(json.dumps(asked), encoding="utf-8")

    assert take(state) == ServerRequest("kill", "kafka", "7")


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"action": 1, "server": "a"}', b"\xff"])
def test_a_file_that_is_no_request_is_dropped(state: StackState, text: bytes) -> None:
    state.root.mkdir(parents=True, exist_ok=True)
    state.request.write_bytes(text)

    assert take(state) is None
    assert not state.request.exists()

"""A supervisor starts its servers, tells of them line by line, and names what has ended them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from types import SimpleNamespace

import pytest

from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError, StackError
from infra.stack.servers.password import make_passwords
from infra.stack.servers.postgres import Cluster
from infra.stack.servers.process import Blueprint
from infra.stack.servers.server import Recipe
from infra.stack.supervise import request
from infra.stack.supervise.identity import identify
from infra.stack.supervise.state import StackState, hold, recorded, state_of
from infra.stack.supervise.supervisor import Supervisor, say

TOGETHER = 4
PATIENCE_S = 0.2


class SlowPipe(io.StringIO):
    """Holds each write up until all who report write, so that what can come between does."""

    def __init__(self) -> None:
        super().__init__()
        self._all_write = Barrier(TOGETHER)

    def write(self, text: str) -> int:
        """Write `text` when the others write too, or else after a while."""
        with contextlib.suppress(BrokenBarrierError):  # they come one after another
            self._all_write.wait(PATIENCE_S)
        return super().write(text)


def test_reports_of_several_threads_are_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = SlowPipe()
    monkeypatch.setattr(sys, "stdout", pipe)
    with ThreadPoolExecutor(TOGETHER) as pool:
        list(pool.map(lambda number: say(progress=number), range(TOGETHER)))
    told = [json.loads(line)["progress"] for line in pipe.getvalue().splitlines()]
    assert sorted(told) == list(range(TOGETHER))


LIMIT_S = 30.0
LIVES = "import time; time.sleep(600)"


def refuse() -> None:
    raise ConnectionRefusedError("not yet")


def nothing() -> None:
    """It is there already."""


def recipe(
    name: str,
    code: str = LIVES,
    probe: Callable[[], None] = nothing,
    prepare: Callable[[], None] = nothing,
) -> Recipe:
    return Recipe(name, [sys.executable, "-c", code], probe, prepare)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(state_of(tmp_path))
    state_of(tmp_path).logs.mkdir(parents=True)
    yield made
    made.take_down()


@pytest.fixture
def state(tmp_path: Path) -> StackState:
    return state_of(tmp_path)


def start_all(supervisor: Supervisor, *recipes: Recipe) -> None:
    passwords = make_passwords(Path("/nowhere"))
    cluster = Cluster(Path("/nowhere"), Path("/nowhere"), 1, None, passwords)
    supervisor._start_all(Blueprint(recipes, Endpoints("process"), (), passwords, cluster))


def failure(state: StackState) -> str:
    found = json.loads((state.root / "failure.json").read_text(encoding="utf-8"))
    return str(found["message"])


def test_all_servers_are_prepared_started_awaited_and_written_down(
    supervisor: Supervisor, state: StackState, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared = []
    start_all(
        supervisor,
        recipe("one", prepare=lambda: prepared.append("one")),
        recipe("two", prepare=lambda: prepared.append("two")),
    )

    assert sorted(prepared) == ["one", "two"]
    own, *servers = recorded(state)[0]
    assert own == identify(os.getpid())
    assert [server.process() is not None for server in servers] == [True, True]
    told = [json.loads(line)["progress"] for line in capsys.readouterr().out.splitlines()]
    assert {text.split(" answers after ")[0] for text in told} == {"one", "two"}


def test_one_that_cannot_be_prepared_ends_all(supervisor: Supervisor, state: StackState) -> None:
    def fail() -> None:
        raise StackError("no room")

    with pytest.raises(StackError, match="no room"):
        start_all(supervisor, recipe("one", prepare=fail), recipe("two", probe=refuse))

    assert supervisor.hold() == 0
    supervisor.take_down()
    assert not any(server.process() for server in recorded(state)[0][1:])


def test_one_that_dies_while_another_comes_up_ends_all_and_is_the_reason(
    supervisor: Supervisor,
) -> None:
    dying = recipe("one", "import sys; print('address in use'); sys.exit(1)", refuse)

    with pytest.raises(StackError, match=r"(?s)one ended with 1.*address in use"):
        start_all(supervisor, dying, recipe("two", probe=refuse))


def test_nothing_is_started_any_more_when_the_stack_is_to_stop(supervisor: Supervisor) -> None:
    supervisor.request_stop()

    with pytest.raises(StackError, match="asked to stop while starting"):
        start_all(supervisor, recipe("one"))
    assert supervisor.hold() == 0


def test_a_death_explains_more_than_who_could_not_reach_the_dead(
    supervisor: Supervisor, state: StackState
) -> None:
    start_all(supervisor, recipe("one", "import sys; sys.exit(5)", lambda: None))
    supervisor._servers[0].process.wait(LIMIT_S)

    log = state.logs / "one.log"
    assert supervisor.explain(StackError("kafka does not answer")) == (
        f"one ended with 5\n    the whole log: {log}"
    )


@pytest.mark.parametrize(
    ("error", "told"), [(StackError("no room"), "no room"), (KeyError(), "KeyError")]
)
def test_without_a_death_the_error_is_the_reason(
    supervisor: Supervisor, error: Exception, told: str
) -> None:
    assert supervisor.explain(error) == told


def test_a_full_disk_comes_before_what_a_server_says_of_it(
    supervisor: Supervisor, state: StackState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "infra.stack.servers.disk.shutil.disk_usage", lambda _: SimpleNamespace(free=0)
    )

    told = supervisor.explain(StackError("kafka ended with 1"))

    assert told == (
        f"the disk is full ({state.run}); make room there, and start again\nkafka ended with 1"
    )
    already = "the disk is too full for the servers, which need 500 MB: ..."
    assert supervisor.explain(StackError(already)) == already


def test_a_server_that_dies_ends_the_stack_and_is_written_down(
    supervisor: Supervisor, state: StackState
) -> None:
    start_all(supervisor, recipe("one"), recipe("two"))
    victim = supervisor._servers[1]
    victim.process.kill()

    assert supervisor.hold() == 3

    assert failure(state).startswith(f"{victim.recipe.name} ended with -9\n")


def test_a_server_that_is_killed_on_request_ends_nothing(
    supervisor: Supervisor, state: StackState
) -> None:
    start_all(supervisor, recipe("one"))
    lock = hold(state)

    with ThreadPoolExecutor(1) as pool:

        def talk() -> None:
            try:
                request.ask(state, "kill", "one", LIMIT_S)
                with pytest.raises(StackConfigError, match="one is down, because it was killed"):
                    request.ask(state, "pause", "one", LIMIT_S)
                with pytest.raises(StackConfigError, match="'two' is not a server of this stack"):
                    request.ask(state, "kill", "two", LIMIT_S)
            finally:
                supervisor.request_stop()

        talking = pool.submit(talk)
        assert supervisor.hold() == 0
        talking.result()

    assert supervisor._servers[0].dead() is not None
    assert not (state.root / "failure.json").exists()
    lock.close()


def test_a_server_that_cannot_be_started_again_is_told_and_ends_nothing(
    supervisor: Supervisor, state: StackState
) -> None:
    start_all(supervisor, recipe("one"))
    shutil.rmtree(state.logs)
    lock = hold(state)

    with ThreadPoolExecutor(1) as pool:

        def talk() -> None:
            try:
                with pytest.raises(StackError, match=r"restart one: .*No such file or directory"):
                    request.ask(state, "restart", "one", LIMIT_S)
            finally:
                supervisor.request_stop()

        talking = pool.submit(talk)
        assert supervisor.hold() == 0
        talking.result()
    lock.close()


def test_whoever_has_started_the_stack_may_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    say(progress="nobody listens")
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    say(progress="nobody listens")

"""What a limited action starts lives as long as its thread."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from cdc_users.pipeline.provision.limit import TimeLimitError, within
from infra.stack.supervise.identity import tied_to_parent


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for child in started:
        child.kill()
        child.communicate()


def start() -> subprocess.Popen[str]:
    """A child that repeats what it reads, tied to its parent as servers are."""
    return subprocess.Popen(
        [sys.executable, "-u", "-c", "while True: print(input())"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=tied_to_parent(signal.SIGKILL),
    )


@pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals are Linux's")
def test_a_child_of_an_action_dies_with_the_actions_thread(
    children: list[subprocess.Popen[str]],
) -> None:
    children.append(within(10, "starting a child", start))

    assert children[0].wait(30) == -signal.SIGKILL


def test_and_lives_where_the_thread_lives_on(children: list[subprocess.Popen[str]]) -> None:
    before = threading.active_count()
    children.append(within(10, "starting a child", start, lives_on=True))
    stdin, stdout = children[0].stdin, children[0].stdout
    assert stdin is not None
    assert stdout is not None

    for word in ("still\n", "there\n"):
        stdin.write(word)
        stdin.flush()
        assert stdout.readline() == word
    assert threading.active_count() == before + 1


def test_an_action_that_takes_too_long_is_named() -> None:
    over = threading.Event()
    with pytest.raises(TimeLimitError, match=r"waiting has taken longer than 0\.1 s"):
        within(0.1, "waiting", over.wait)
    over.set()

"""Processes are known by pid and start, act as families, and are tied to whoever started them."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from infra.stack.supervise.identity import Identity, both, identify, with_a_name
from infra.stack.supervise.state import CHECKOUT
from infra.system import TICK_S

DEADLINE_S = 30.0

# The parent dies at once; its child ties itself only when it sees that, and then would say that it
# lives on.
ORPHAN = """
import os, signal, time
from infra.stack.supervise.identity import tied_to_parent
parent, tie = os.getpid(), tied_to_parent(signal.SIGKILL)
if os.fork():
    os._exit(0)
while os.getppid() == parent:
    time.sleep(0.001)
tie()
print("lives on", flush=True)
"""


def await_that(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def test_a_child_whose_parent_is_gone_already_ends_instead_of_living_on() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN], cwd=CHECKOUT, capture_output=True, text=True, timeout=60
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def family() -> Iterator[tuple[Identity, psutil.Process]]:
    """A process and its child."""
    with subprocess.Popen(
        [sys.executable, "-u", "-c", FAMILY], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        yield identify(parent.pid), child
        for process in (child, parent):
            with contextlib.suppress(psutil.Error):
                process.kill()


def test_a_process_is_known_by_its_start_as_well() -> None:
    own = identify(os.getpid())

    found = own.process()
    assert found is not None
    assert found.pid == os.getpid()
    assert Identity(own.pid, own.started_s - TICK_S).process() is None
    assert Identity(own.pid, own.started_s + TICK_S).process() is None
    assert Identity(2**22 + 1, own.started_s).process() is None


def test_one_that_has_ended_is_gone_although_nobody_has_asked_for_its_exit() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        identity = identify(child.pid)
        assert child.stdin is not None
        child.stdin.close()
        await_that(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)

        assert identity.process() is None
        identity.kill()
        identity.pause()
        identity.resume()


def test_descendants_are_killed_with_it(family: tuple[Identity, psutil.Process]) -> None:
    identity, child = family

    identity.kill()

    assert identity.process() is None
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_descendants_stand_still_and_go_on_with_it(
    family: tuple[Identity, psutil.Process],
) -> None:
    identity, child = family
    parent = identity.process()
    assert parent is not None

    identity.pause()
    await_that(lambda: {p.status() for p in (parent, child)} == {psutil.STATUS_STOPPED})

    identity.resume()
    await_that(lambda: psutil.STATUS_STOPPED not in {p.status() for p in (parent, child)})


def test_a_pid_that_is_somebody_elses_by_now_is_left_alone(
    family: tuple[Identity, psutil.Process],
) -> None:
    identity, child = family

    Identity(identity.pid, identity.started_s - 100).kill()

    assert child.is_running()
    assert identity.process() is not None


def test_a_process_that_clears_up_after_its_parent_does_not_kill_itself() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLEARS_UP], cwd=CHECKOUT, capture_output=True, text=True, timeout=60
    )

    assert (done.stdout, done.stderr) == ("lives on\n", "")


#: A child that kills its parent, and whatever else that has started.
CLEARS_UP = """
import os
from infra.stack.supervise.identity import identify
parent = identify(os.getpid())
if os.fork():
    os.wait()
parent.kill()
print("lives on", flush=True)
"""


def test_steps_before_a_program_are_taken_in_order() -> None:
    taken: list[int] = []

    both(lambda: taken.append(1), None, lambda: taken.append(2))()
    both()()

    assert taken == [1, 2]


def test_a_user_with_a_name_needs_no_other() -> None:
    if os.geteuid() == 0:
        assert with_a_name() is None


def test_a_user_without_a_name_gets_one_where_the_system_has_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert with_a_name() is not None

    monkeypatch.setattr(pwd, "getpwall", lambda: [pwd.getpwnam("root")])
    assert with_a_name() is None

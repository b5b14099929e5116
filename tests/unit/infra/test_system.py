"""A process is the same one whatever is done to the machine's clock meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from infra.system import TICK_S, living, started_s

#: Far above what a busy machine needs to start a process, far below a machine's uptime.
MINUTE_S = 60.0


def test_a_start_is_counted_from_the_systems_own() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - started_s(child.pid)

        assert -TICK_S <= age_s < MINUTE_S
        assert living(child.pid, started_s(child.pid)) is not None
        child.communicate(b"\n")


def test_a_step_of_the_wall_clock_makes_no_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    own_s = started_s(os.getpid())
    before_s = psutil.Process().create_time()
    boot_s = psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot_s + 1)

    assert psutil.Process().create_time() != before_s, "as psutil sees a clock that was set"
    assert started_s(os.getpid()) == own_s
    assert living(os.getpid(), own_s) is not None


def test_another_process_of_this_pid_is_told_by_a_single_tick() -> None:
    own_s = started_s(os.getpid())

    assert living(os.getpid(), own_s - TICK_S) is None
    assert living(os.getpid(), own_s + TICK_S) is None


def test_a_process_that_is_hidden_from_us_is_not_taken_for_one_that_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hidden(*_: object, **__: object) -> str:
        raise PermissionError

    own_s = started_s(os.getpid())
    monkeypatch.setattr(Path, "read_text", hidden)

    with pytest.raises(psutil.AccessDenied):
        started_s(os.getpid())
    assert living(os.getpid(), own_s) is None


def test_a_pid_of_nobody_is_named() -> None:
    with pytest.raises(psutil.NoSuchProcess):
        started_s(2**22 + 1)
    assert living(2**22 + 1, 0.0) is None

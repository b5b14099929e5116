"""Limits that servers would run into are raised, or named with the remedy before one is started."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from infra.stack.error import StackConfigError
from infra.stack.servers.limit import NEEDED_SHARED_BYTES, look_at_limits

Usage = namedtuple("Usage", "total used free")

LOW = """
import resource
from infra.stack.error import StackConfigError
from infra.stack.servers.limit import look_at_limits

resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
try:
    look_at_limits()
except StackConfigError as error:
    print(error)
else:
    print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def with_files(soft: int, hard: int) -> str:
    program = LOW.format(soft=soft, hard=hard)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_soft_limit_of_files_is_raised_as_far_as_the_hard_one_lets() -> None:
    assert with_files(256, 5000) == "5000"


def test_a_hard_limit_of_files_that_is_too_low_is_named_with_the_remedy() -> None:
    told = with_files(256, 1024)

    assert told.startswith("a process may open 1024 files here, and the servers need 4096")
    assert "ulimit -Hn 4096" in told


@pytest.mark.parametrize(("free", "enough"), [(0, False), (-1, False), (1, True)])
def test_too_little_shared_memory_is_named_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, enough: bool
) -> None:
    left = NEEDED_SHARED_BYTES + free if free else 0
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(64_000_000, 64_000_000 - left, left))

    if enough:
        look_at_limits(tmp_path)
    else:
        with pytest.raises(StackConfigError, match=r"MB of shared memory.*--shm-size"):
            look_at_limits(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_shared_memory_that_is_shut_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    with pytest.raises(StackConfigError, match="cannot be written to"):
        look_at_limits(tmp_path)


def test_a_system_without_posix_shared_memory_on_a_path_is_no_mistake(tmp_path: Path) -> None:
    look_at_limits(tmp_path / "nowhere")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may exceed its limit of threads")
def test_too_few_threads_are_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 100))

    with pytest.raises(StackConfigError, match=r"may have 100 threads here.*ulimit -Hu"):
        look_at_limits()

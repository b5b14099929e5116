"""The real stack for integration and scenario tests: the one that is up, or one of the session's
own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra.stack.endpoints import Endpoints
from infra.stack.find.locate import locate
from infra.stack.supervise.state import CHECKOUT, recorded, state_of

#: What stands on each server's command line, and on no other's.
SERVERS = {
    "postgres": "wal_level=logical",
    "kafka": "kafka.Kafka",
    "connect": "ConnectDistributed",
    "schema-registry": "quarkus-run.jar",
}


def stack_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m infra.stack ...` in this checkout."""
    command = [sys.executable, "-m", "infra.stack", *arguments]
    return subprocess.run(
        command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=300
    )


def server_processes(checkout: Path = CHECKOUT) -> list[psutil.Process]:
    """The supervisor and the servers of a checkout's stack, those that live."""
    processes, _ = recorded(state_of(checkout))
    return [found for item in processes if (found := item.process()) is not None]


def server(name: str) -> psutil.Process | None:
    """One of this checkout's servers, if it lives."""
    return next(
        (found for found in server_processes() if SERVERS[name] in " ".join(found.cmdline())), None
    )


def running_stack() -> Endpoints:
    """This checkout's stack, which is brought up where it is not."""
    endpoints = locate(CHECKOUT, os.environ)
    if endpoints is None:
        done = stack_command("up", "--profile", "test")
        assert done.returncode == 0, done.stdout + done.stderr
        endpoints = locate(CHECKOUT, os.environ)
    assert endpoints is not None
    return endpoints


@pytest.fixture(scope="session")
def _stack_of_session() -> Iterator[None]:
    """Takes the stack down at the end of the session, unless it was up before."""
    was_up = locate(CHECKOUT, os.environ) is not None
    yield
    if not was_up:
        stack_command("down")


@pytest.fixture
def stack(_stack_of_session: None) -> Endpoints:
    """A stack that answers; a test that broke it does not spoil the next."""
    return running_stack()


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A place for result directories."""
    return tmp_path / "results"

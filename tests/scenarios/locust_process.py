"""A scenario as a process that a test can look into and interfere with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import requests

from infra.stack.endpoints import Endpoints
from infra.stack.supervise.state import CHECKOUT

DEADLINE_S = 120.0


class LocustProcess:
    """`locust --headless` on a scenario, its output gathered while it runs; `under` is a command
    that starts it.
    """

    mode: Sequence[str] = ("--headless", "--only-summary")

    def __init__(
        self,
        scenario: str,
        results: Path,
        *options: str,
        environment: Mapping[str, str] | None = None,
        directory: Path = CHECKOUT,
        under: Sequence[str] = (),
    ) -> None:
        file = scenario if scenario.endswith(".py") else f"locustfiles/{scenario}.py"
        command = [sys.executable, "-u", "-m", "locust", "-f", str(CHECKOUT / file), *self.mode]
        self._results = results
        self._process = subprocess.Popen(
            [
                *under,
                *command,
                "--smoke",
                "yes",
                "--results",
                str(results),
                *options,
            ],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.pid = self._process.pid
        self._lines: list[str] = []
        self._unread = self._resting = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self._lines.append(line)
                if self._unread:
                    return
                if self._resting:
                    self._process.wait()

    def close_output(self) -> None:
        """Read one line more of what it prints, and then nobody does."""
        self._unread = True

    def rest(self) -> None:
        """Read one line more, and go on when the process has ended."""
        self._resting = True

    @property
    def output(self) -> str:
        """Everything printed so far."""
        return "".join(self._lines)

    def await_output(self, text: str) -> None:
        """Wait until the process has printed this."""
        await_that(
            lambda: text in self.output or self._process.poll() is not None,
            f"no {text!r} in the output",
        )
        assert text in self.output, self.output

    def child(self, module: str) -> psutil.Process:
        """The descendant that runs a module with `python -m`."""
        family = psutil.Process(self.pid).children(recursive=True)
        return next(process for process in family if module in process.cmdline())

    def forked(self) -> list[psutil.Process]:
        """The worker processes that it has forked."""
        command = psutil.Process(self.pid).cmdline()
        return [
            child for child in psutil.Process(self.pid).children() if child.cmdline() == command
        ]

    def topic(self) -> str:
        """The topic that its platform reads."""
        options = self.child("infra.platform").cmdline()
        return next(option for option in options if option.startswith("--topic=")).removeprefix(
            "--topic="
        )

    def family(self) -> list[psutil.Process]:
        """The process and all its descendants."""
        process = psutil.Process(self.pid)
        return [process, *process.children(recursive=True)]

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def signal(self, number: int) -> None:
        """Send a signal to the process alone."""
        self._process.send_signal(number)

    def wait(self, deadline_s: float = DEADLINE_S) -> int:
        """Wait for its end; returns the exit code."""
        code = self._process.wait(deadline_s)
        self._reader.join(DEADLINE_S)
        return code

    def result(self) -> dict[str, Any]:
        """The result that it wrote."""
        (path,) = self._results.glob("*/result.json")
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return result


def await_that(condition: Callable[[], bool], message: str, limit_s: float = DEADLINE_S) -> None:
    """Wait for a condition, with a deadline that no healthy machine reaches."""
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, message
        time.sleep(0.02)


def start_worker(port: int) -> subprocess.Popen[bytes]:
    """A worker that asks the master at this port for work; nobody reads what it prints."""
    command = [sys.executable, "-m", "locust", "-f", "locustfiles/throughput.py", "--worker"]
    return subprocess.Popen(
        [*command, "--master-port", str(port)],
        cwd=CHECKOUT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def page_answers(url: str) -> bool:
    """Whether Locust's web UI is up."""
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


def leftovers(endpoints: Endpoints) -> dict[str, list[str]]:
    """What runs have left in Postgres: schemas, slots and publications of the harness."""
    connection = psycopg2.connect(endpoints.postgres_dsn)
    try:
        with connection.cursor() as cursor:
            found = {}
            for kind, query in {
                "schemas": "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'cdc\\_%'",
                "slots": "SELECT slot_name FROM pg_replication_slots",
                "publications": "SELECT pubname FROM pg_publication",
            }.items():
                cursor.execute(query)
                found[kind] = [row[0] for row in cursor.fetchall()]
            return found
    finally:
        connection.close()


NOTHING: dict[str, list[str]] = {"schemas": [], "slots": [], "publications": []}

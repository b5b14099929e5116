"""The platform as a process that a test can ask, stop and kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import requests

from infra.client.environment import TELEMETRY_TOKEN
from infra.stack.endpoints import Endpoints
from infra.stack.supervise.state import CHECKOUT

DEADLINE_S = 120.0


class PlatformProcess:
    """`python -m infra.platform` on a topic, of this checkout or another; its log is a file."""

    def __init__(
        self,
        endpoints: Endpoints,
        topic: str,
        log: Path,
        options: Mapping[str, object],
        module: Sequence[str] = ("infra.platform",),
        checkout: Path = CHECKOUT,
    ) -> None:
        given = {
            "bootstrap": endpoints.kafka_bootstrap,
            "schema-registry": endpoints.schema_registry_url,
            "topic": topic,
            "group": topic,
            **options,
        }
        command = [
            sys.executable,
            "-m",
            *module,
            *(f"--{name}={value}" for name, value in given.items()),
        ]
        self.log, self.topic = log, topic
        self._token = uuid.uuid4().hex
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=checkout,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, TELEMETRY_TOKEN: self._token},
            )
        self.pid = self._process.pid
        self._url = ""

    @property
    def url(self) -> str:
        """Its telemetry, as soon as it has its partitions."""
        if not self._url:
            assert self._process.stdout is not None
            line = self._process.stdout.readline()
            assert line, f"the platform ended with {self._process.wait(DEADLINE_S)}: {self.output}"
            self._url = str(json.loads(line)["telemetry"])
        return self._url

    @property
    def output(self) -> str:
        """What it has logged."""
        return self.log.read_text(encoding="utf-8")[-5000:]

    def get(self, path: str) -> dict[str, Any]:
        """One of its telemetry's answers."""
        answer: dict[str, Any] = requests.get(self.url + path, timeout=DEADLINE_S).json()
        return answer

    def begin(self) -> None:
        """Let it read, where it was started with `held`."""
        login = {"Authorization": f"Bearer {self._token}"}
        requests.post(f"{self.url}/begin", headers=login, timeout=10).raise_for_status()

    @property
    def durable(self) -> int:
        """Events that its sink has made durable."""
        return int(self.get("/snapshot")["sink"]["durable_events"])

    def await_durable(self, count: int) -> None:
        """Wait until at least so many events are durable at its sink."""
        await_that(
            lambda: self.durable >= count or not self.alive,
            lambda: f"{self.get('/snapshot')}{self.output}",
        )
        assert self.alive, self.output

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self.wait()

    def stop(self) -> int:
        """Ask it to end; returns its exit code."""
        if self.alive:
            self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; returns its exit code."""
        code = self._process.wait(DEADLINE_S)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code


def await_that(condition: Callable[[], bool], message: Callable[[], str]) -> None:
    """Wait for a condition, with a deadline that no healthy machine reaches."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, message()
        time.sleep(0.02)

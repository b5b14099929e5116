"""Real locust processes that are refused: exit 2 with one message, nothing contacted, and nothing
left.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from infra.stack.servers.port import free_ports
from infra.stack.supervise.state import CHECKOUT

pytestmark = pytest.mark.gevent

DEADLINE_S = 30.0


class Refused:
    """A run that should not come about: how it ended, what it said, and whether it left results."""

    def __init__(
        self, results: Path, scenario: str, *options: str, environment: Mapping[str, str]
    ) -> None:
        command = [
            sys.executable,
            "-m",
            "locust",
            "-f",
            f"locustfiles/{scenario}.py",
            "--headless",
            *options,
        ]
        started_s = time.monotonic()
        done = subprocess.run(
            [*command, "--results", str(results)],
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S * 4,
            check=False,
        )
        self.exit_code, self.said, self.left = done.returncode, done.stderr, results.exists()
        self.took_s = time.monotonic() - started_s


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Loopback port of a server that must not be asked anything."""
    with closing(socket.socket()) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        sock.setblocking(False)
        yield sock


def stack_file(path: Path, **changed: str) -> dict[str, str]:
    """The environment that names a stack of one's own, by default on ports that nobody listens
    on.
    """
    servers = {
        "postgres_dsn": "host=127.0.0.1 port=1",
        "kafka_bootstrap": "127.0.0.1:1",
        "schema_registry_url": "http://127.0.0.1:1",
        "connect_url": "http://127.0.0.1:1",
        **changed,
    }
    path.write_text(
        "".join(f'{name} = "{value}"\n' for name, value in servers.items()), encoding="utf-8"
    )
    return {"CDC_STACK": str(path)}


def test_a_server_off_this_machine_is_refused_before_any_is_asked(
    tmp_path: Path, listener: socket.socket
) -> None:
    port = listener.getsockname()[1]
    own = stack_file(
        tmp_path / "stack.toml",
        postgres_dsn=f"host=127.0.0.1 port={port}",
        kafka_bootstrap="192.0.2.9:9092",
    )

    run = Refused(tmp_path / "results", "throughput", "--rows", "100", environment=own)

    assert (run.exit_code, run.left) == (2, False), run.said
    assert "--allow-target 192.0.2.9:9092" in run.said
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_all_mistakes_of_options_stack_and_streams_are_told_together(tmp_path: Path) -> None:
    own = stack_file(tmp_path / "stack.toml", postgres_dsn="service=prod", connect_url="http:///")

    run = Refused(tmp_path / "results", "throughput", "--rate", "abc", environment=own)

    assert (run.exit_code, run.left) == (2, False), run.said
    for words in ("'abc' is not a rate", "service='prod'", "connect_url 'http:///'"):
        assert words in run.said
    assert "Traceback" not in run.said


def test_a_stream_off_this_machine_is_refused_at_once(tmp_path: Path) -> None:
    options = ("--rows", "100", "--capture", "wal", "--transport", "kinesis")

    run = Refused(
        tmp_path / "results",
        "throughput",
        *options,
        environment={
            **stack_file(tmp_path / "stack.toml"),
            "AWS_ENDPOINT_URL_KINESIS": "http://192.0.2.9:4567",
        },
    )

    assert (run.exit_code, run.left) == (2, False), run.said
    assert "--allow-target 192.0.2.9:4567" in run.said


def test_an_option_error_leaves_no_worker(tmp_path: Path) -> None:
    port = str(free_ports(1)[0])
    options = (
        "--processes",
        "2",
        "--master-bind-port",
        port,
        "--master-port",
        port,
        "--rate",
        "abc",
    )

    # The workers have this process' pipe as well, so the run is only over for us when they are
    # gone, too.
    run = Refused(tmp_path / "results", "throughput", *options, environment={})

    assert (run.exit_code, run.left) == (2, False), run.said
    assert run.took_s < DEADLINE_S
    assert not [
        process
        for process in psutil.process_iter(["cmdline"])
        if port in (process.info["cmdline"] or ())
    ]

"""Emulators listen on loopback alone, die with whoever started them, and leave the user's own
service alone.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from infra.platform.transports.kinesis import client
from infra.stack.emulators.emulator import EmulatorUnavailableError, kept
from infra.stack.emulators.kinesis import LOCK, SOURCE, kinesis_emulator
from infra.stack.emulators.pubsub import pubsub_emulator
from infra.stack.supervise.state import CHECKOUT
from tests.wal_process import await_that

STARTER = """
import os, sys, time
from pathlib import Path
from typing import Any
from infra.stack.emulators.kinesis import kinesis_emulator
with kinesis_emulator(Path(sys.argv[1]), os.environ) as endpoint:
    print(endpoint, flush=True)
    time.sleep(600)
"""


def listeners(port: int) -> list[str]:
    return [
        connection.laddr.ip
        for process in psutil.process_iter()
        for connection in _connections(process)
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
    ]


def _connections(process: psutil.Process) -> list[Any]:
    try:
        return process.net_connections("inet")
    except psutil.Error:
        return []


def test_it_listens_on_loopback_alone_and_is_gone_afterwards(tmp_path: Path) -> None:
    with kinesis_emulator(tmp_path, os.environ) as endpoint:
        port = int(endpoint.rsplit(":", 1)[1])
        assert listeners(port) == ["127.0.0.1"]

    assert listeners(port) == []


def test_it_outlives_a_client_that_dies_in_the_middle_of_a_request(tmp_path: Path) -> None:
    with kinesis_emulator(tmp_path, os.environ) as endpoint:
        place = urlsplit(endpoint)
        with socket.create_connection((place.hostname, place.port)) as dying:
            dying.sendall(b"POST / HTTP/1.1\r\nHost: kinesis\r\nContent-Length: 1000\r\n\r\n{")
            dying.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )  # a reset, as of a kill -9
        log = tmp_path / "kinesis.log"
        await_that(
            lambda: "aborted" in log.read_text(encoding="utf-8"), "the emulator has not noticed"
        )

        assert client(endpoint).list_streams()["StreamNames"] == []


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    port = int(parent.stdout.readline().strip().rsplit(":", 1)[1])

    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()

    await_that(lambda: listeners(port) == [], "the emulator outlives its parent")


@pytest.mark.parametrize(
    ("emulator", "name"),
    [(kinesis_emulator, "AWS_ENDPOINT_URL_KINESIS"), (pubsub_emulator, "PUBSUB_EMULATOR_HOST")],
)
def test_a_service_of_the_users_own_is_used_instead(
    emulator: object, name: str, tmp_path: Path
) -> None:
    assert callable(emulator)
    with emulator(tmp_path, {name: "127.0.0.1:9"}) as endpoint:
        assert endpoint == "127.0.0.1:9"

    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_made_leaves_nothing_in_the_cache(tmp_path: Path) -> None:
    def make(directory: Path) -> None:
        assert (directory / "package.json").exists()
        raise EmulatorUnavailableError("no network")

    with pytest.raises(EmulatorUnavailableError, match="no network"):
        kept("broken", [SOURCE / "package.json"], make, {"CDC_CACHE_DIR": str(tmp_path)})

    assert list((tmp_path / "emulators").iterdir()) == []


def test_the_lock_has_an_integrity_for_every_package_and_no_address() -> None:
    text = (SOURCE / LOCK).read_text(encoding="utf-8")

    assert "://" not in text
    assert text.count('"integrity"') == text.count('"node_modules/')

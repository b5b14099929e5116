"""`--processes N`: the master and the workers that it forks meet on a port of their own, so that
two such runs on one machine never get each other's workers.
"""

from __future__ import annotations

import socket
from argparse import Namespace

LOCUSTS_PORT = 5557


def give_forked_workers_a_port(parsed: Namespace) -> None:
    """Choose a free port where Locust is about to fork and the user names none."""
    ports = {parsed.master_port, parsed.master_bind_port}
    if parsed.processes and not parsed.worker and ports == {LOCUSTS_PORT}:
        parsed.master_port = parsed.master_bind_port = _free_port()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

"""`--processes N`: the master and its forked workers meet on a port of their own, so two such runs
on one machine never exchange workers.
"""

from __future__ import annotations

import socket
from argparse import Namespace

LOCUSTS_PORT = 5557


def give_forked_workers_a_port(parsed: Namespace) -> None:
    """Choose a free port if Locust is about to fork and the user has named none."""
    ports = {parsed.master_port, parsed.master_bind_port}
    if parsed.processes and not parsed.worker and ports == {LOCUSTS_PORT}:
        parsed.master_port = parsed.master_bind_port = _free_port()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

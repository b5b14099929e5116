"""Children beside gevent, under which the reader of a child's output is a greenlet."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import locust  # noqa: F401 - patches the standard library, as a run does
import psutil
import pytest

from cdc_users.pipeline.process.child_process import launch

pytestmark = pytest.mark.gevent

LEAVES_ANOTHER = """
import subprocess, sys, time
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print('{"other": %d}' % other.pid, flush=True)
time.sleep(600)
"""


def test_a_child_can_end_while_another_process_holds_its_output(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LEAVES_ANOTHER]
    child = launch("mine", command, tmp_path / "log", os.environ).await_ready()
    other = psutil.Process(int(child.ready.split()[1].rstrip("}")))
    try:
        assert child.stop() == -15
    finally:
        other.kill()

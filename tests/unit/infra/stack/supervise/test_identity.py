"""A child is tied to whoever started it, also where that process dies before the child is."""

from __future__ import annotations

import subprocess
import sys

from infra.stack.supervise.state import CHECKOUT

# The parent dies at once; its child ties itself only when it sees that, and then would say that it
# lives on.
ORPHAN = """
import os, signal, time
from infra.stack.supervise.identity import tied_to_parent
parent, tie = os.getpid(), tied_to_parent(signal.SIGKILL)
if os.fork():
    os._exit(0)
while os.getppid() == parent:
    time.sleep(0.001)
tie()
print("lives on", flush=True)
"""


def test_a_child_whose_parent_is_gone_already_ends_instead_of_living_on() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN], cwd=CHECKOUT, capture_output=True, text=True, timeout=60
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

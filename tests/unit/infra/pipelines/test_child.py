"""A server of somebody else's as a child, in a process of its own, since signals are."""

from __future__ import annotations

import signal
import subprocess
import sys

PROGRAM = """
import os, sys
from pathlib import Path
from infra.pipelines.child import JavaChild, await_that
with JavaChild(["sh", "-c", sys.argv[1]], os.environ, Path(".")) as child:
    print("up" if await_that(lambda: {condition}, child) else "ended", flush=True)
    sys.exit(child.ended())
"""


def start(script: str, condition: str = "True") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(condition=condition), script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_signal_ends_the_child_in_order() -> None:
    with start("exec sleep 60") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_child_that_ends_by_itself_is_a_failure_that_is_told() -> None:
    with start("echo its log; exit 0", "False") as process:
        output, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert output == "ended\n"
    assert "its log" in errors
    assert "ended by itself with 0" in errors


def test_a_child_that_a_signal_does_not_end_well_is_a_failure() -> None:
    script = "trap 'exit 7' TERM; echo ready >&2; while :; do sleep 0.05; done"
    with start(script) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        # The child may be quicker than what passes signals on to it.
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 1

"""What nobody reads does not stop whoever writes it."""

from __future__ import annotations

import subprocess
import sys

import pytest

WRITER = """
import logging, sys
from infra.client.output import keep_output_from_failing

keep_output_from_failing()
logging.basicConfig(stream=sys.stdout, level=logging.INFO)
sys.stdin.readline()
for number in range(2000):
    print("line", number, flush=True)
    logging.info("event %s", number)
sys.exit(7)
"""


def test_a_reader_that_has_gone_changes_nothing() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    process.communicate(b"go\n", timeout=60)

    assert process.returncode == 7


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_full_disk_changes_nothing() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        process = subprocess.run(
            [sys.executable, "-c", WRITER], input=b"go\n", stdout=full, timeout=60, check=False
        )

    assert process.returncode == 7

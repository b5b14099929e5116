"""What nobody reads does not stop whoever writes it."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.client.output import HELD_BYTES, NonBlockingFile

linux = pytest.mark.skipif(sys.platform != "linux", reason="a pipe is opened again by /proc")

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


LOGGER = """
import logging
from infra.client.output import keep_output_from_failing

logging.basicConfig()
logging.raiseExceptions = False
logging.warning("this stays in the stream's buffer")
keep_output_from_failing()
logging.warning("this is dropped")
raise SystemExit(7)
"""


def test_what_a_full_disk_did_not_take_before_does_not_fail_later() -> None:
    """GIVEN a stream with a buffer, as Python's are where nothing else is asked for."""
    buffered = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", LOGGER], stderr=full, env=buffered, check=False
        )

    assert done.returncode == 7


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


RESTING = """
import logging, sys
logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
from infra.client.output import keep_output_from_failing

keep_output_from_failing()
for number in range({lines}):
    print("line", number)
    logging.info("event %s", number)
sys.exit(7)
"""


def resting(lines: int, width: int = 0) -> subprocess.Popen[bytes]:
    program = RESTING.format(lines=lines).replace('"line"', f'"line" + " " * {width}')
    command = [sys.executable, "-c", program]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@linux
def test_a_reader_that_rests_stops_nothing_and_the_end_is_not_put_off_for_ever() -> None:
    process = resting(2000, width=1000)

    assert process.wait(60) == 7, "nobody has read a line"
    assert process.stdout is not None
    process.stdout.close()


@pytest.mark.parametrize("lines", [10, 5000])
def test_a_reader_that_reads_gets_every_line_in_order(lines: int) -> None:
    process = resting(lines)
    told, _ = process.communicate(timeout=60)

    kinds: dict[str, list[int]] = {"line": [], "event": []}
    for line in told.decode().splitlines():
        kind, number = line.split()
        kinds[kind].append(int(number))
    assert kinds == {"line": list(range(lines)), "event": list(range(lines))}


class Rested:
    """A pipe whose reader reads when it is told to."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.outlet = NonBlockingFile(self.writer)
        os.set_blocking(self.reader, False)

    def read(self) -> bytes:
        told = b""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self.reader, 65536):
                told += part
        return told

    def read_all(self) -> bytes:
        told = b""
        while not self.outlet.push():
            told += self.read()
        return told + self.read()

    def close(self) -> None:
        self.outlet.close()
        os.close(self.reader)
        os.close(self.writer)


@pytest.fixture
def rested() -> Iterator[Rested]:
    pipe = Rested()
    yield pipe
    pipe.close()


@linux
@given(parts=st.lists(st.binary(max_size=40_000), max_size=12))
def test_what_was_kept_comes_in_order_and_whole(parts: list[bytes]) -> None:
    pipe = Rested()
    try:
        for part in parts:
            pipe.outlet.put(part)

        assert pipe.read_all() == b"".join(parts)
    finally:
        pipe.close()


@linux
def test_what_is_too_much_for_a_reader_that_rests_is_left_out_and_counted(rested: Rested) -> None:
    line = b"x" * 999 + b"\n"
    for _ in range(3000):
        rested.outlet.put(line)

    told = rested.read_all().splitlines(keepends=True)
    kept = [text for text in told if text == line]
    assert told[: len(kept)] == kept
    assert told[-1] == f"... {3000 - len(kept)} lines left out: nobody read them\n".encode()
    assert HELD_BYTES / 1000 <= len(kept) < 3000


@linux
def test_the_readers_own_end_of_a_pipe_still_waits(rested: Rested) -> None:
    assert os.get_blocking(rested.writer), "the shell's descriptor has been changed with it"


@linux
def test_a_terminal_that_is_stopped_stops_nothing() -> None:
    master, slave = pty.openpty()
    try:
        termios.tcflow(slave, termios.TCOOFF)  # Ctrl-S
        outlet = NonBlockingFile(slave)
        for number in range(20_000):
            outlet.put(f"line {number}\n".encode())
        assert not outlet.push()

        termios.tcflow(slave, termios.TCOON)
        outlet.push()
        assert b"line 0" in os.read(master, 1000)
        outlet.close()
    finally:
        os.close(master)
        os.close(slave)

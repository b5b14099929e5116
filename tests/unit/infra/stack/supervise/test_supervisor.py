"""What the supervisor reports comes in lines, whoever reports at the same time."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, BrokenBarrierError

import pytest

from infra.stack.supervise.supervisor import say

TOGETHER = 4
PATIENCE_S = 0.2


class SlowPipe(io.StringIO):
    """Holds each write up until all who report write, so that what can come between does."""

    def __init__(self) -> None:
        super().__init__()
        self._all_write = Barrier(TOGETHER)

    def write(self, text: str) -> int:
        """Write `text` when the others write too, or else after a while."""
        with contextlib.suppress(BrokenBarrierError):  # they come one after another
            self._all_write.wait(PATIENCE_S)
        return super().write(text)


def test_reports_of_several_threads_are_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = SlowPipe()
    monkeypatch.setattr(sys, "stdout", pipe)
    with ThreadPoolExecutor(TOGETHER) as pool:
        list(pool.map(lambda number: say(progress=number), range(TOGETHER)))
    told = [json.loads(line)["progress"] for line in pipe.getvalue().splitlines()]
    assert sorted(told) == list(range(TOGETHER))

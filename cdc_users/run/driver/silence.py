"""Asks what has happened to a pipeline as soon as no more events come out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

#: Healthy pipelines pause for a second or two (a commit interval, a rebalance).
QUIET_S = 5.0
ASK_AGAIN_S = 10.0


class Silence:
    """Watches a count that should grow.

    `ask` returns what is permanently gone, in sentences. It is called when the count has stood
    still for a while, and may take seconds.
    """

    def __init__(
        self, ask: Callable[[], Sequence[str]], now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.causes: Sequence[str] = ()
        self._ask, self._now_s = ask, now_s
        self._count = -1
        self._since_s = self._due_s = now_s()

    @property
    def quiet_s(self) -> float:
        """For how long the count has stood still, in seconds."""
        return self._now_s() - self._since_s

    def hopeless(self, count: int) -> bool:
        """Whether the count can grow no more; `count` is its present value."""
        if count != self._count:
            self._count, self._since_s = count, self._now_s()
            self._due_s = self._since_s + QUIET_S
        elif self._now_s() >= self._due_s:
            self.causes = self._ask()
            self._due_s = self._now_s() + ASK_AGAIN_S
        return bool(self.causes)

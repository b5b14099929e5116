"""A connection for statements that the client ends itself if the server does not answer."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from typing_extensions import override

T = TypeVar("T")


class LimitedConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose statements also have a limit on the client's side.

    The server enforces `statement_timeout`; a server that is stopped or cut off cannot.
    """

    #: The longest that one statement may take; the checks take milliseconds.
    answer_s = 20.0

    @override
    def wait(
        self, gen: Generator[Any, Any, T], interval: float = 0.1, timeout: float | None = None
    ) -> T:
        limit_s = self.answer_s if timeout is None else timeout
        return super().wait(_limited(gen, limit_s), interval)


def _limited(gen: Generator[Any, Any, T], limit_s: float) -> Generator[Any, Any, T]:
    """The same exchange with the server, ended when the time is over."""
    deadline_s = time.monotonic() + limit_s
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > deadline_s:
                raise psycopg.OperationalError(f"the server has not answered for {limit_s:g} s")
            wanted = gen.send(ready)
    except StopIteration as done:
        result: T = done.value
        return result

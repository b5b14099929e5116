"""An event loop with timers as fine as the clock; epoll alone would round every wait up to a
millisecond.
"""

from __future__ import annotations

import asyncio
import select
import selectors

_Events = list[tuple[selectors.SelectorKey, int]]


class FineSelector(selectors.DefaultSelector):
    """Waits for its own descriptor with select(2), which takes microseconds, and asks what is
    ready then.
    """

    def select(self, timeout: float | None = None) -> _Events:
        """See selectors.BaseSelector."""
        if timeout is not None and timeout > 0:
            select.select([self.fileno()], [], [], timeout)
            timeout = 0
        return super().select(timeout)


def new_loop() -> asyncio.AbstractEventLoop:
    """For `asyncio.Runner`."""
    return asyncio.SelectorEventLoop(FineSelector())

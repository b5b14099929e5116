"""The gaps that a consumer has met: recorded, counted, and either skipped or fatal."""

from __future__ import annotations

from collections import deque

import structlog

from infra.platform.consume.gap import Gap

logger = structlog.get_logger()

#: How many gaps are remembered individually; the counters include all.
GAPS_KEPT = 100


class GapLog:
    """The gaps, and the number of records that were skipped.

    `skip` is the policy (`--on-gap skip`). A gap that is not skipped is appended to `failures`.
    """

    def __init__(self, failures: list[str], *, skip: bool) -> None:
        self.recent: deque[Gap] = deque(maxlen=GAPS_KEPT)
        self.lost_records = self.skipped_records = 0
        self._failures = failures
        self._skip = skip

    def goes_on(self, gap: Gap) -> bool:
        """Record a gap; returns whether reading continues behind it."""
        self.recent.append(gap)
        self.lost_records += gap.count
        if self._skip:
            self.skipped_records += gap.count
            logger.warning("platform.gap.skipped", gap=str(gap), records=gap.count)
            return True
        self._failures.append(f"{gap.place[0]}[{gap.place[1]}] stopped: {gap}")
        logger.error("platform.partition.stopped", error=self._failures[-1])
        return False

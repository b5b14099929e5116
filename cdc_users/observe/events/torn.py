"""Transactions of the source that a sink has committed in several transactions of its own. Pure."""

from __future__ import annotations

import numpy as np

from cdc_users.measure.ledger.probe import Operation, parse_probes
from cdc_users.observe.tap import Events

#: How many transactions are remembered; beyond that the count is a lower bound.
MOST = 1_000_000


class TornTransactions:
    """Counts source transactions whose events stand in more than one commit of the sink.

    A probe has its event's transaction, and the number of that transaction's events. A commit with
    some of them shows the transaction torn, because readers of the sink can see it half done. A
    commit with all of them again is a repeat and tears nothing.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self._torn: set[tuple[int, int]] = set()

    @property
    def count(self) -> int:
        """The number of source transactions that were torn so far."""
        return len(self._torn)

    def take(self, events: Events) -> None:
        """Take in whole commits of the sink; each event's position is its commit's number."""
        batch = parse_probes(events.probes, self._run).after_deletes(events.deleted)
        of_several = batch.valid & (batch.size > 1) & (batch.operation != ord(Operation.FENCE))
        rows = np.flatnonzero(of_several)
        if not len(rows) or len(self._torn) >= MOST:
            return
        several = batch[rows]
        # One row for each event of a commit; an event that a commit has twice counts once.
        columns = (events.positions[rows], several.writer, several.transaction, several.size)
        distinct = np.unique(np.column_stack((*columns, several.index)), axis=0)
        parts, counts = np.unique(distinct[:, :4], axis=0, return_counts=True)
        torn = parts[counts < parts[:, 3]]
        self._torn.update(map(tuple, torn[:, 1:3].tolist()))

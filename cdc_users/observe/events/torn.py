"""Transactions of the source that a sink has committed in several of its own. Pure."""

from __future__ import annotations

import numpy as np

from cdc_users.measure.ledger.probe import Operation, parse_probes
from cdc_users.observe.tap import Events

#: So many are told apart; the count is a lower bound from there on.
MOST = 1_000_000


class TornTransactions:
    """Counts source transactions whose events stand in more than one commit of the sink.

    A probe says of which transaction its event is, and how many events that one has. A commit that
    has some of them and not all shows it torn: a reader of the sink can see it half done. A commit
    that brings all of them again is a repeat and tears nothing.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self._torn: set[tuple[int, int]] = set()

    @property
    def count(self) -> int:
        """Source transactions that were torn so far."""
        return len(self._torn)

    def take(self, events: Events) -> None:
        """Take in whole commits of the sink, of which each event's position is the number."""
        batch = parse_probes(events.probes, self._run).after_deletes(events.deleted)
        of_several = batch.valid & (batch.size > 1) & (batch.operation != ord(Operation.FENCE))
        rows = np.flatnonzero(of_several)
        if not len(rows) or len(self._torn) >= MOST:
            return
        several = batch[rows]
        # A row each event of a commit; one that a commit has twice counts once.
        columns = (events.positions[rows], several.writer, several.transaction, several.size)
        distinct = np.unique(np.column_stack((*columns, several.index)), axis=0)
        parts, counts = np.unique(distinct[:, :4], axis=0, return_counts=True)
        torn = parts[counts < parts[:, 3]]
        self._torn.update(map(tuple, torn[:, 1:3].tolist()))

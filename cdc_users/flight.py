"""Changes on their way to Kafka: what was asked, when each was handed over, and what became of each. Pure."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdc_users.keyspace import Change, Outcome
from cdc_users.workload import Transaction

Run = tuple[Outcome, int, int]


class Flight:
    """Some changes that are pushed together, in order. All arrays have one entry a change.

    `sent` changes have been handed to the client so far, `open` of their records have no answer yet. `failures` has
    the outcome and the cause of those that were not acknowledged, by index.
    """

    __slots__ = (
        "begun",
        "called_ns",
        "changes",
        "done_ns",
        "failures",
        "intended_ns",
        "open",
        "owed",
        "owner",
        "partition",
        "sent",
        "transactions",
    )

    def __init__(self, owner: Any = None, partition: int = -1) -> None:
        self.owner = owner
        self.partition = partition
        self.changes: list[Change] = []
        self.transactions: list[int] = []
        self.intended_ns: list[int] = []
        self.called_ns: list[int] = []
        self.done_ns: list[int] = []
        self.failures: dict[int, tuple[Outcome, str]] = {}
        self.begun = False
        self.sent = 0
        self.open = 0
        #: The key of a tombstone that the full queue did not take; it goes before the next change.
        self.owed: bytes | None = None

    def add(self, transaction: Transaction, intended_ns: int) -> None:
        """Take a transaction aboard; before the flight is pushed."""
        changes = transaction.changes
        self.changes += changes
        count = len(changes)
        self.transactions += [transaction.number] * count
        self.intended_ns += [intended_ns] * count
        self.done_ns += [0] * count

    def __len__(self) -> int:
        return len(self.changes)

    @property
    def pushed(self) -> bool:
        """Whether the client has taken everything."""
        return self.sent == len(self.changes) and self.owed is None

    @property
    def landed(self) -> bool:
        """Whether every record has its answer."""
        return self.open == 0 and self.pushed

    def depart(self, called_ns: int) -> None:
        """The next change's record has been taken by the client."""
        self.called_ns.append(called_ns)
        self.sent += 1
        self.open += 1

    def refuse(self, called_ns: int, index: int, cause: str) -> None:
        """The next change's record cannot be sent at all."""
        self.called_ns.append(called_ns)
        self.sent += 1
        self.failures[index] = "failed", cause

    def acknowledge(self, index: int) -> None:
        """The broker has a change's record. Called from the client's callback, so it only takes note."""
        self.done_ns[index] = time.monotonic_ns()
        self.open -= 1

    def fail(self, index: int, outcome: Outcome, cause: str) -> None:
        """A change's record was not acknowledged. Called from the client's callback, so it only takes note."""
        self.failures[index] = outcome, cause
        self.open -= 1

    def acked(self) -> NDArray[np.bool_]:
        """Which changes the broker has acknowledged."""
        mask = np.ones(len(self.changes), dtype=np.bool_)
        mask[list(self.failures)] = False
        return mask

    def latencies_us(self) -> dict[str, NDArray[np.int64]]:
        """The three series of the acknowledged changes (docs/measurement.md)."""
        mask = self.acked()
        intended, called, done = (
            np.array(column, dtype=np.int64)[mask] for column in (self.intended_ns, self.called_ns, self.done_ns)
        )
        send_delay, service = (called - intended) // 1000, (done - called) // 1000
        return {"send_delay": send_delay, "service": service, "response": send_delay + service}

    def runs(self) -> Iterable[Run]:
        """The outcomes as runs of sequences (outcome, first, last), in order. The changes are of one writer."""
        if not self.changes:
            return
        first = self.changes[0].sequence
        if not self.failures:
            yield "acked", first, self.changes[-1].sequence
            return
        before: Outcome | None = None
        for index, change in enumerate(self.changes):
            outcome = self.failures[index][0] if index in self.failures else "acked"
            if before is not None and outcome != before:
                yield before, first, change.sequence - 1
                first = change.sequence
            before = outcome
        assert before is not None
        yield before, first, self.changes[-1].sequence

    def causes(self) -> Counter[str]:
        """Why changes were not acknowledged."""
        return Counter(cause for _, cause in self.failures.values())

"""Changes on their way to Kafka: what each one is, when it was handed to the client, and its
outcome. Pure.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from cdc_users.measure.ledger.probe import Operation
from cdc_users.users.producer.added_column import Widening
from cdc_users.users.producer.record import Outlet
from cdc_users.users.workload.keyspace import Outcome, RowChange
from cdc_users.users.workload.workload import Writer, WriteTransaction

SequenceRun = tuple[Outcome, int, int]
#: A record: its topic and partition, its key, and its value (None for a tombstone).
FlightRecord = tuple[Outlet, bytes, bytes | None]

_OPERATION: Mapping[Operation, str] = {
    Operation.INSERT: "c",
    Operation.FENCE: "c",
    Operation.UPDATE: "u",
    Operation.STAMP: "u",
    Operation.DELETE: "d",
}


class Flight:
    """Some transactions of one writer that are pushed together, in order.

    Lists have one entry for each change, except `starts`, which has the index of each transaction's
    first change. `sent` changes have been handed to the client so far; `open` of their records have
    no answer yet. `failures` has outcome and cause of unacknowledged changes, by index. Subclasses
    make the records.
    """

    __slots__ = (
        "begun",
        "bytes",
        "called_ns",
        "done_ns",
        "failures",
        "first",
        "intended_ns",
        "open",
        "owed",
        "owner",
        "partition",
        "sent",
        "starts",
    )

    def __init__(self, owner: Any = None, partition: int = -1) -> None:
        self.owner = owner
        self.partition = partition
        #: The sequence of the first change; the others follow without gaps.
        self.first = 0
        self.starts: Sequence[int] = []
        self.intended_ns: list[int] = []
        self.called_ns: list[int] = []
        self.done_ns: list[int] = []
        self.failures: dict[int, tuple[Outcome, str]] = {}
        self.begun = False
        self.sent = 0
        self.open = 0
        self.bytes = 0
        #: A tombstone that the full queue refused, as topic and key; it must be sent before the
        #: next change.
        self.owed: tuple[str, bytes] | None = None

    def records(
        self, outlets: Sequence[Outlet], lsns: Iterator[int], widening: Widening | None
    ) -> Iterator[FlightRecord]:
        """The records from change `sent` on, in the order of changes; each is made when it is asked
        for.
        """
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.done_ns)

    @property
    def pushed(self) -> bool:
        """Whether the client has taken everything."""
        return self.sent == len(self) and self.owed is None

    @property
    def landed(self) -> bool:
        """Whether every record has its answer."""
        # Answers that arrive after the flight was given up make `open` negative.
        return self.open <= 0 and self.pushed

    def depart(self, called_ns: int, size: int) -> None:
        """Note that the client has taken the next change's record."""
        self.called_ns.append(called_ns)
        self.bytes += size
        self.sent += 1
        self.open += 1

    def refuse(self, called_ns: int, cause: str) -> None:
        """Note that the next change's record cannot be sent at all."""
        self.called_ns.append(called_ns)
        self.done_ns[self.sent] = called_ns
        self.failures[self.sent] = "failed", cause
        self.sent += 1

    def acknowledge(self, index: int) -> None:
        """The broker has acknowledged a change's record.

        Called from the client's callback, so it only takes a note.
        """
        self.done_ns[index] = time.monotonic_ns()
        self.open -= 1

    def fail(self, index: int, outcome: Outcome, cause: str) -> None:
        """A change's record was not acknowledged.

        Called from the client's callback, so it only takes note.
        """
        self.failures[index] = outcome, cause
        self.acknowledge(index)

    def give_up(self, cause: str) -> None:
        """Stop waiting: records without an answer become unknown, the rest counts as never sent."""
        now_ns = time.monotonic_ns()
        for index in range(self.sent):
            if not self.done_ns[index]:
                self.failures[index] = "unknown", cause
                self.done_ns[index] = now_ns
        while self.sent < len(self):
            self.refuse(now_ns, cause)
        self.owed = None
        self.open = 0

    def acked(self) -> NDArray[np.bool_]:
        """Which transactions the broker has acknowledged completely."""
        if not self.failures:
            return np.ones(len(self.starts), dtype=np.bool_)
        mask = np.ones(len(self), dtype=np.bool_)
        mask[list(self.failures)] = False
        return np.logical_and.reduceat(mask, self.starts)

    def times_ns(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """For each transaction: its intended time, when its first record was handed over, and when
        its last record was answered.
        """
        intended, called, done = (
            np.array(column, dtype=np.int64)
            for column in (self.intended_ns, self.called_ns, self.done_ns)
        )
        if len(self.starts) == len(self):
            return intended, called, done
        starts = np.array(self.starts)
        return intended[starts], called[starts], np.maximum.reduceat(done, starts)

    def ack_us(self) -> NDArray[np.int64]:
        """For each acknowledged record, the time from its produce call to its acknowledgement."""
        took_us = (
            np.array(self.done_ns, dtype=np.int64) - np.array(self.called_ns, dtype=np.int64)
        ) // 1000
        return np.delete(took_us, list(self.failures)) if self.failures else took_us

    def runs(self) -> Iterable[SequenceRun]:
        """The outcomes as runs of sequences (outcome, first, last), in order."""
        if not self.failures:
            if len(self):
                yield "acked", self.first, self.first + len(self) - 1
            return
        outcomes: list[Outcome] = [
            self.failures[i][0] if i in self.failures else "acked" for i in range(len(self))
        ]
        began = 0
        for index in range(1, len(outcomes) + 1):
            if index == len(outcomes) or outcomes[index] != outcomes[began]:
                yield outcomes[began], self.first + began, self.first + index - 1
                began = index

    def causes(self) -> Counter[str]:
        """The causes of unacknowledged changes, counted."""
        return Counter(cause for _, cause in self.failures.values())


class ChangeFlight(Flight):
    """A flight of changes of any kind."""

    __slots__ = ("changes", "transactions")

    def __init__(self, owner: Any = None, partition: int = -1) -> None:
        super().__init__(owner, partition)
        self.starts: list[int] = []
        self.changes: list[RowChange] = []
        self.transactions: list[int] = []

    def add(self, transaction: WriteTransaction, intended_ns: int) -> None:
        """Add a transaction; only before the flight is pushed."""
        changes = transaction.changes
        count = len(changes)
        if not self.changes:
            self.first = transaction.first
        self.starts.append(len(self.changes))
        self.changes += changes
        self.transactions += [transaction.number] * count
        self.intended_ns += [intended_ns] * count
        self.done_ns += [0] * count

    @override
    def records(
        self, outlets: Sequence[Outlet], lsns: Iterator[int], widening: Widening | None
    ) -> Iterator[FlightRecord]:
        for index in range(self.sent, len(self)):
            change = (
                self.changes[index] if widening is None else widening.change(self.changes[index])
            )
            outlet, before, row = outlets[change.table], change.before, change.row
            encoder = outlet.encoder
            key = encoder.key(row or before or ())
            letter, transaction = _OPERATION[change.operation], self.transactions[index]
            yield (
                outlet,
                key,
                encoder.value(letter, before, row, (transaction, next(lsns)), outlet.moment),
            )
            if row is None:
                yield outlet, key, None


class PipelinedWriter(Writer):
    """A writer whose transactions follow one another without waiting for the previous one.

    Versions count when they are made, so a change that is refused later leaves a gap in its key's
    versions.
    """

    @override
    def transaction(self, size: int, intended_us: int) -> WriteTransaction:
        transaction = super().transaction(size, intended_us)
        self._keys.settle(transaction.changes, "acked")
        return transaction

    def reserve(self, transactions: int, size: int) -> tuple[int, int]:
        """Reserve numbers for transactions of inserts that the caller makes itself; returns the
        first transaction's number and sequence.
        """
        first = self._transactions + 1, self._sequence + 1
        self._transactions += transactions
        self._sequence += transactions * size
        return first

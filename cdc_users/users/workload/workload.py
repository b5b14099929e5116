"""What one writer writes: keys, sequences and probes of its own, so that no other writer can
confuse the audit.

Pure: no connection and no clock. A writer has at most one open transaction. Its output follows only
from run, writer, workload and the outcomes that were reported to it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import msgspec

from cdc_users.measure.ledger.probe import KEYS_PER_WRITER as KEYS_PER_WRITER
from cdc_users.measure.ledger.probe import LANES_PER_STEP, Operation
from cdc_users.measure.number import number, shown, whole

# Other modules import these from here.
from cdc_users.users.workload.customer import Formatter
from cdc_users.users.workload.customer import columns as columns
from cdc_users.users.workload.keyspace import KeySpace, Outcome, RowChange, Touch, WrittenRow

InsertMethod = Literal["single", "values", "copy"]
OperationName = Literal["insert", "update", "delete", "transaction"]
OPERATIONS = ("insert", "update", "delete")
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
HIGHEST_SKEW = 5.0
WEIGHT_DIGITS = 6


class WorkloadError(ValueError):
    """A mix or a skew that is not possible; the message has the value and the remedy."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What every writer of a run writes.

    `mix` weighs insert, update and delete; `skew` is 0 for uniform, else Zipf's exponent; updates
    and deletes choose among a writer's `live_keys` newest keys.
    """

    mix: tuple[int, int, int] = (100, 0, 0)
    skew: float = 0.0
    live_keys: int = 1000
    tables: int = 1
    row_bytes: int = 0
    insert_method: InsertMethod = "single"
    seed: int = 1

    @property
    def only_inserts(self) -> bool:
        """Whether the mix has no updates and no deletes."""
        return self.mix[1] == self.mix[2] == 0


def parse_mix(text: str) -> tuple[int, int, int]:
    """Weights of insert, update and delete from "insert=80,update=15,delete=5"; raises
    WorkloadError.
    """
    weights = dict.fromkeys(OPERATIONS, 0)
    named = set()
    for part in text.split(","):
        name, _, weight = (word.strip() for word in part.partition("="))
        if name in named:
            raise WorkloadError(f"{shown(text)} weighs {name} twice; name each operation once")
        named.add(name)
        try:
            weights[name] = whole(weight) if name in weights else -1
        except ValueError:
            weights[name] = -1
        if weights[name] < 0:
            raise WorkloadError(
                f"{shown(part.strip())} is not part of a mix; write e.g."
                " insert=80,update=15,delete=5"
            )
        if weights[name] >= 10**WEIGHT_DIGITS:
            raise WorkloadError(
                f"{shown(part.strip())} weighs too much; at most {WEIGHT_DIGITS} digits say any"
                " share"
            )
    if not weights["insert"]:
        raise WorkloadError(
            f"{text!r} has no insert; a writer changes only rows of its own, so give insert a"
            " weight"
        )
    if weights["delete"] > weights["insert"]:
        raise WorkloadError(
            f"{text!r} deletes more than it inserts; lower delete to at most insert"
        )
    return weights["insert"], weights["update"], weights["delete"]


def parse_skew(text: str) -> float:
    """Zipf's exponent from "zipf:1.2", 0 from "uniform"; raises WorkloadError."""
    if text == "uniform":
        return 0.0
    kind, _, exponent = text.partition(":")
    try:
        skew = float(number(exponent))
    except ValueError:
        skew = 0.0
    if kind != "zipf" or not 0 < skew <= HIGHEST_SKEW:
        raise WorkloadError(
            f"{text!r} is not a skew; write uniform, or zipf:S with S above 0 and up to 5, e.g."
            " zipf:1.2"
        )
    return skew


def writer_number(step: int, lane: int) -> int:
    """A lane's writer number in a step; taps find the step in it."""
    return step * LANES_PER_STEP + lane


@dataclass(slots=True)
class Ranges:
    """Sequence numbers by outcome, as runs [first, last]; without gaps one run holds millions of
    rows.
    """

    runs: dict[Outcome, list[list[int]]] = field(default_factory=dict)

    def add(self, outcome: Outcome, first: int, last: int) -> None:
        """Note that the sequences first..last, both included, have this outcome."""
        runs = self.runs.setdefault(outcome, [])
        if runs and runs[-1][1] == first - 1:
            runs[-1][1] = last
        else:
            runs.append([first, last])


class WriteTransaction(msgspec.Struct, frozen=True):
    """One transaction: sequences `first` to `last`, one change each, in order."""

    number: int
    first: int
    last: int
    changes: Sequence[RowChange]


class RowMaker(Protocol):
    """Makes one writer's rows: customers, or rows of the user's own tables.

    The last value of a row is its probe.
    """

    def begin(self, transaction: int, size: int, intended_us: int) -> None:
        """Begin a transaction of this many events; the following rows belong to it."""

    def row(self, key: int, key_version: int, operation: str, sequence: int, index: int) -> Any:
        """An inserted or updated row."""

    def stamp(
        self, before: Any, key_version: int, operation: str, sequence: int, index: int
    ) -> Any:
        """The row as it was, with a new probe; it is written just before a delete."""


def payload_of(workload: Workload, number: int) -> str:
    """The text that a writer adds to each of its rows."""
    return "".join(_chance(workload, number, "payload").choices(ALPHABET, k=workload.row_bytes))


class Writer:
    """Makes the transactions of one lane in one step; its rows are customers, unless a row maker is
    given.

    A key is the writer's base plus the sequence of its insert.
    """

    def __init__(
        self,
        run: str,
        number: int,
        workload: Workload = Workload(),
        rows: RowMaker | None = None,
    ) -> None:
        self.number = number
        self.workload = workload
        self.ranges = Ranges()
        self._formatter = rows or Formatter(run, number, payload_of(workload, number))
        self._keys = key_space(number, workload)
        self._base = number * KEYS_PER_WRITER
        self._sequence = 0
        self._transactions = 0

    def transaction(self, size: int, intended_us: int) -> WriteTransaction:
        """The next transaction of `size` operations, all with this intended time.

        A delete makes two changes.
        """
        self._transactions += 1
        first = self._sequence + 1
        if self.workload.only_inserts:
            return self._inserts(size, first, intended_us)
        touches = self._keys.touches(size, self._base + first)
        self._sequence += len(touches)
        self._formatter.begin(self._transactions, len(touches), intended_us)
        changes: list[RowChange] = []
        for index, touch in enumerate(touches):
            changes.append(self._change(touch, first + index, index, changes))
        return WriteTransaction(self._transactions, first, self._sequence, changes)

    def _inserts(self, size: int, first: int, intended_us: int) -> WriteTransaction:
        """`transaction` for a mix of inserts alone, which needs no choices."""
        self._sequence += size
        formatter, base, tables, insert = (
            self._formatter,
            self._base,
            self.workload.tables,
            Operation.INSERT,
        )
        formatter.begin(self._transactions, size, intended_us)
        changes = [
            RowChange(
                insert,
                (base + n) % tables,
                base + n,
                1,
                n,
                formatter.row(base + n, 1, "i", n, n - first),
                None,
            )
            for n in range(first, first + size)
        ]
        return WriteTransaction(self._transactions, first, self._sequence, changes)

    def settle(self, transaction: WriteTransaction, outcome: Outcome) -> None:
        """Report a transaction's outcome: its versions count if it was acked; if it is unknown, its
        keys are never used again.
        """
        self.ranges.add(outcome, transaction.first, transaction.last)
        self._keys.settle(transaction.changes, outcome)

    def _change(
        self, touch: Touch, sequence: int, index: int, changes: Sequence[RowChange]
    ) -> RowChange:
        operation, key, version, before = (
            touch.operation,
            touch.key,
            touch.key_version,
            touch.before,
        )
        row: WrittenRow | None
        if operation is Operation.DELETE:
            row, before = None, changes[-1].row
        elif operation is Operation.STAMP:
            assert before is not None
            row = self._formatter.stamp(before, version, operation, sequence, index)
        else:
            row = self._formatter.row(key, version, operation, sequence, index)
        return RowChange(operation, key % self.workload.tables, key, version, sequence, row, before)


def key_space(number: int, workload: Workload) -> KeySpace:
    """A writer's keys before its first transaction."""
    return KeySpace(
        _chance(workload, number, "keys"), workload.mix, workload.skew, workload.live_keys
    )


def _chance(workload: Workload, number: int, purpose: str) -> random.Random:
    return random.Random(f"{workload.seed}/{number}/{purpose}")  # noqa: S311 - load must be repeatable, not secret

"""What one writer writes: keys, versions and probes of its own, so that no other writer can confuse the audit.

Pure: no connection and no clock. A writer has at most one open transaction; what a transaction did to
its keys counts only once the outcome is known.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

from cdc_users.measure.probe import Operation, Probe, checksum, format_probe
from cdc_users.options import KeySkew, Mix

Outcome = Literal["acked", "failed", "unknown"]
#: id, first_name, last_name, email, phone, balance, created_at, notes, probe: the columns of `customers` in order.
Row = tuple[int, str, str, str, str | None, Decimal | None, datetime, str | None, str]

KEYS_PER_WRITER = 10**8
LANES_PER_STEP = 10_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_NAMES = ("Ada", "Grace", "Edsger", "Barbara", "Donald", "Radia", "Leslie", "Jim", "Zoë", "Søren")
LAST_NAMES = ("Lovelace", "Hopper", "Dijkstra", "Liskov", "Knuth", "Perlman", "Lamport", "Gray", "O'Neil", "Ångström")


def writer_number(step: int, lane: int) -> int:
    """The number under which a lane writes in a step; taps group by step through it."""
    return step * LANES_PER_STEP + lane


@dataclass(frozen=True, slots=True)
class Change:
    """One statement's worth of change: an insert or update with its row, or a delete with its stamped row."""

    operation: Literal["insert", "update", "delete"]
    key: int
    row: Row
    first_sequence: int
    last_sequence: int


@dataclass(slots=True)
class Ranges:
    """Sequence numbers by outcome, as runs [first, last]; dense writers need one run for millions of rows."""

    runs: dict[Outcome, list[list[int]]] = field(default_factory=dict)

    def add(self, outcome: Outcome, first: int, last: int) -> None:
        """Note that the sequences first..last, both included, ended like this."""
        runs = self.runs.setdefault(outcome, [])
        if runs and runs[-1][1] == first - 1:
            runs[-1][1] = last
        else:
            runs.append([first, last])

    def count(self, outcome: Outcome) -> int:
        """How many sequences ended like this."""
        return sum(last - first + 1 for first, last in self.runs.get(outcome, []))


class Writer:
    """Makes the transactions of one lane in one step.

    `transaction` numbers the changes; `settle` must follow before the next one, with the outcome. After an
    unknown outcome the keys concerned are never written again, because their version is not known.
    """

    def __init__(self, run: str, number: int, mix: Mix, skew: KeySkew, seed: int, row_bytes: int = 0) -> None:
        self.number = number
        self.ranges = Ranges()
        self._run = run
        self._mix = mix
        self._skew = skew
        self._random = random.Random(f"{seed}/{number}")  # noqa: S311 - load must be repeatable, not secret
        self._payload = "".join(self._random.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=row_bytes))
        self._sequence = 0
        self._transactions = 0
        self._next_key = number * KEYS_PER_WRITER
        self._live: list[int] = []
        self._versions: dict[int, int] = {}
        self._open: Sequence[Change] = ()

    def transaction(self, size: int, intended_us: int) -> list[Change]:
        """The changes of the next transaction, `size` rows, all with this intended time."""
        self._transactions += 1
        touched: set[int] = set()
        changes = [self._change(index, size, intended_us, touched) for index in range(size)]
        self._open = changes
        return changes

    def settle(self, outcome: Outcome) -> None:
        """Say how the open transaction ended, and take its effect on the keys."""
        if not self._open:
            return
        self.ranges.add(outcome, self._open[0].first_sequence, self._open[-1].last_sequence)
        for change in self._open:
            self._apply(change, outcome)
        self._open = ()

    def _apply(self, change: Change, outcome: Outcome) -> None:
        if outcome == "acked" and change.operation == "insert":
            self._live.append(change.key)
        elif outcome == "acked" and change.operation == "update":
            self._versions[change.key] = self._versions.get(change.key, 1) + 1
        elif change.operation != "insert" and (outcome == "unknown" or change.operation == "delete"):
            if outcome != "failed":
                self._live[self._live.index(change.key)] = self._live[-1]
                self._live.pop()
                self._versions.pop(change.key, None)

    def _change(self, index: int, size: int, intended_us: int, touched: set[int]) -> Change:
        operation = self._pick_operation()
        key = self._pick_key(touched) if operation != "insert" else None
        if key is None:
            operation, key = "insert", self._new_key()
        touched.add(key)
        first = self._sequence + 1
        self._sequence += 2 if operation == "delete" else 1
        version = 1 if operation == "insert" else self._versions.get(key, 1) + 1
        row = self._row(key, version, operation, first, index, size, intended_us)
        return Change(operation, key, row, first, self._sequence)

    def _pick_operation(self) -> Literal["insert", "update", "delete"]:
        if self._mix.insert == 1.0:
            return "insert"
        point = self._random.random()
        if point < self._mix.insert:
            return "insert"
        return "update" if point < self._mix.insert + self._mix.update else "delete"

    def _new_key(self) -> int:
        self._next_key += 1
        return self._next_key

    def _pick_key(self, touched: set[int]) -> int | None:
        # One change a key and transaction: the version of a second one would depend on the outcome of the first.
        if not self._live:
            return None
        for _ in range(8):
            key = self._live[self._rank(len(self._live))]
            if key not in touched:
                return key
        return None

    def _rank(self, count: int) -> int:
        """A rank below `count`: uniform, or by the continuous bounded Zipf law's inverse distribution function."""
        exponent = self._skew.exponent
        if exponent == 0:
            return self._random.randrange(count)
        point = self._random.random()
        if exponent == 1.0:
            return min(count - 1, int((count + 1) ** point) - 1)
        tail = 1 - exponent
        return min(count - 1, int((((count + 1) ** tail - 1) * point + 1) ** (1 / tail)) - 1)

    def _row(self, key: int, version: int, operation: str, first: int, index: int, size: int, intended_us: int) -> Row:
        columns = (
            FIRST_NAMES[key % 10],
            LAST_NAMES[key // 10 % 10],
            f"customer-{key}@example.test",
            None if key % 3 == 0 else f"+49 30 {key % 10**7:07d}",
            None if key % 5 == 0 else Decimal(key * 37 % 10**7 + version).scaleb(-2),
            EPOCH + timedelta(microseconds=intended_us),
            self._payload or (None if key % 2 else "a note, 'quoted', with ünïcode"),
        )
        code = {"insert": Operation.INSERT, "update": Operation.UPDATE, "delete": Operation.STAMP}[operation]
        probe = Probe(
            run=self._run,
            writer=self.number,
            sequence=first,
            transaction=self._transactions,
            index=index,
            size=size,
            key_version=version,
            operation=code,
            intended_us=intended_us,
            checksum=checksum(key, version, columns),
        )
        return (key, *columns, format_probe(probe))

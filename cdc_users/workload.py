"""What one writer writes: keys, sequences and probes of its own, so that no other writer can confuse the audit.

Pure: no connection and no clock. A writer has at most one open transaction.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

from cdc_users.measure.probe import LANES_PER_STEP, Operation, Probe, checksum, format_probe

Outcome = Literal["acked", "failed", "unknown"]
#: id, first_name, last_name, email, phone, balance, created_at, notes, probe: the columns of `customers` in order.
Row = tuple[int, str, str, str, str | None, Decimal | None, datetime, str | None, str]

KEYS_PER_WRITER = 10**8
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_NAMES = ("Ada", "Grace", "Edsger", "Barbara", "Donald", "Radia", "Leslie", "Jim", "Zoë", "Søren")
LAST_NAMES = ("Lovelace", "Hopper", "Dijkstra", "Liskov", "Knuth", "Perlman", "Lamport", "Gray", "O'Neil", "Ångström")


def writer_number(step: int, lane: int) -> int:
    """The number under which a lane writes in a step; taps group by step through it."""
    return step * LANES_PER_STEP + lane


def columns(
    key: int, intended_us: int, payload: str
) -> tuple[str, str, str, str | None, Decimal | None, datetime, str | None]:
    """A customer without key and probe: varied enough to be realistic, NULL where the columns allow it."""
    return (
        FIRST_NAMES[key % 10],
        LAST_NAMES[key // 10 % 10],
        f"customer-{key}@example.test",
        None if key % 3 == 0 else f"+49 30 {key % 10**7:07d}",
        None if key % 5 == 0 else Decimal(key * 37 % 10**7).scaleb(-2),
        EPOCH + timedelta(microseconds=intended_us),
        payload or (None if key % 2 else "a note, 'quoted', with ünïcode"),
    )


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


class Writer:
    """Makes the transactions of one lane in one step; row n of a writer has sequence n and key n."""

    def __init__(self, run: str, number: int, seed: int = 1, row_bytes: int = 0) -> None:
        self.number = number
        self.ranges = Ranges()
        self._run = run
        alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
        chance = random.Random(f"{seed}/{number}")  # noqa: S311 - load must be repeatable, not secret
        self._payload = "".join(chance.choices(alphabet, k=row_bytes))
        self._sequence = 0
        self._transactions = 0

    def transaction(self, size: int, intended_us: int) -> Sequence[Row]:
        """The rows of the next transaction, all with this intended time."""
        self._transactions += 1
        first = self._sequence + 1
        self._sequence += size
        return [self._row(first + index, index, size, intended_us) for index in range(size)]

    def settle(self, rows: Sequence[Row], outcome: Outcome) -> None:
        """Say how the transaction with these rows ended."""
        base = self.number * KEYS_PER_WRITER
        self.ranges.add(outcome, rows[0][0] - base, rows[-1][0] - base)

    def _row(self, sequence: int, index: int, size: int, intended_us: int) -> Row:
        key = self.number * KEYS_PER_WRITER + sequence
        values = columns(key, intended_us, self._payload)
        probe = Probe(
            run=self._run,
            writer=self.number,
            sequence=sequence,
            transaction=self._transactions,
            index=index,
            size=size,
            key_version=1,
            operation=Operation.INSERT,
            intended_us=intended_us,
            checksum=checksum(key, 1, values),
        )
        return (key, *values, format_probe(probe))

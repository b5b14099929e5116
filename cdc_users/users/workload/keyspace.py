"""Which keys a writer has, and which key it takes next: the mix and the skew of a workload.

Pure and deterministic: the same seed and the same outcomes give the same choices, so a writer's
work can be repeated (cdc_users/users/workload/expected_state.py). Memory is bounded: updates and
deletes choose among the `live_keys` newest keys; an older key stays in its table and is never
touched again.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, Literal

import msgspec

from cdc_users.measure.ledger.probe import Operation

#: A row: a customer, or a row of one of the user's own tables.
WrittenRow = tuple[Any, ...]
Outcome = Literal["acked", "failed", "unknown"]


class RowChange(msgspec.Struct, frozen=True, gc=False):
    """One event of a transaction.

    `row` is the whole new row in column order (None for a delete); `before` is the row as last
    written (None for an insert); `table` counts from 0 (infra.postgres.table.table_names).

    A struct and not a dataclass, because one is made for every event.
    """

    operation: Operation
    table: int
    key: int
    key_version: int
    sequence: int
    row: WrittenRow | None
    before: WrittenRow | None


class Touch(msgspec.Struct, frozen=True, gc=False):
    """One future event: its key, and the key's version after it."""

    operation: Operation
    key: int
    key_version: int
    before: WrittenRow | None


class KeySpace:
    """The live keys of one writer, by slot; slot 0 is the hottest under skew.

    A transaction touches a key at most once (a delete is one touch of two events). Its effects
    count only once `settle` reports that it was acknowledged.
    """

    def __init__(
        self, chance: random.Random, mix: Sequence[int], skew: float, live_keys: int
    ) -> None:
        self._chance = chance
        self._update_from = mix[0] / sum(mix)
        self._delete_from = (mix[0] + mix[1]) / sum(mix)
        self._only_inserts = mix[1] == mix[2] == 0
        self._capacity = live_keys
        self._weights = (
            list(accumulate((rank + 1) ** -skew for rank in range(live_keys))) if skew else []
        )
        self._keys: list[int] = []
        self._slots: dict[int, int] = {}
        self._last: dict[int, tuple[int, WrittenRow | None]] = {}
        self._oldest = 0

    def touches(self, size: int, first_key: int) -> list[Touch]:
        """The events of a transaction of `size` operations; its n-th event, if an insert, makes
        key first_key + n.
        """
        if self._only_inserts:
            return [
                Touch(Operation.INSERT, key, 1, None) for key in range(first_key, first_key + size)
            ]
        made: list[Touch] = []
        touched: set[int] = set()
        for _ in range(size):
            draw = self._chance.random()
            key = self._choose(touched) if draw >= self._update_from else None
            if key is None:
                made.append(Touch(Operation.INSERT, first_key + len(made), 1, None))
                continue
            touched.add(key)
            version, before = self._last[key]
            if draw < self._delete_from:
                made.append(Touch(Operation.UPDATE, key, version + 1, before))
            else:
                made.append(Touch(Operation.STAMP, key, version + 1, before))
                made.append(Touch(Operation.DELETE, key, version + 2, None))
        return made

    def _choose(self, touched: set[int]) -> int | None:
        """A live key that this transaction has not touched; None if there is none, and an insert is
        made instead.
        """
        count = len(self._keys)
        if count <= len(touched):
            return None
        draw = self._chance.random()
        if self._weights:
            slot = min(
                bisect_right(self._weights, draw * self._weights[count - 1], 0, count), count - 1
            )
        else:
            slot = int(draw * count)
        while self._keys[slot] in touched:
            slot = (slot + 1) % count
        return self._keys[slot]

    def settle(self, changes: Iterable[RowChange], outcome: Outcome) -> None:
        """Apply a transaction's effects: none if it failed; if its outcome is unknown, its keys are
        never used again.
        """
        if self._only_inserts or outcome == "failed":
            return
        for change in changes:
            if outcome == "unknown" or change.operation is Operation.DELETE:
                self._forget(change.key)
            elif change.operation is Operation.INSERT:
                self._add(change.key)
                self._last[change.key] = (change.key_version, change.row)
            else:
                self._last[change.key] = (change.key_version, change.row)

    def _add(self, key: int) -> None:
        if len(self._keys) < self._capacity:
            self._slots[key] = len(self._keys)
            self._keys.append(key)
            return
        slot = self._oldest
        self._oldest = (slot + 1) % self._capacity
        old, self._keys[slot] = self._keys[slot], key
        del self._slots[old], self._last[old]
        self._slots[key] = slot

    def _forget(self, key: int) -> None:
        slot = self._slots.pop(key, None)
        if slot is None:
            return
        del self._last[key]
        moved = self._keys.pop()
        if moved != key:
            self._keys[slot] = moved
            self._slots[moved] = slot

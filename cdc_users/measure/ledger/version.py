"""The last version of every key that was ever updated, for order, gaps and staleness by key, in
some 35 bytes for each key.

An open-addressing index of 32-bit row numbers over dense columns. A whole batch is looked up at
once; a dict of Python integers would take several times the memory and a look-up for each event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from cdc_users.measure.ledger.bitmap import Numbers
from cdc_users.measure.ledger.sequence import pack, unpack

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_LEAST_BITS = 10
_KINDS: Mapping[str, Any] = {
    "key": np.int64,
    "writer": np.int32,
    "first": np.int32,
    "last": np.int32,
    "high": np.int32,
    "at_ms": np.int32,
}


class EncodedKeys(msgspec.Struct, frozen=True):
    """Key states for a message: each column's bytes compressed, the keys as differences between
    neighbours.
    """

    origin_us: int
    key: str
    writer: str
    first: str
    last: str
    high: str
    at_ms: str


@dataclass(frozen=True, slots=True)
class KeyStates:
    """What a tap knows of its updated keys, as columns: first, last and highest version of each.

    `last` is negative if the key's last event was a delete. `at_ms` is when that event came, in
    milliseconds since `origin_us`. A key that is missing here never had a version above 1.
    """

    key: Numbers
    writer: NDArray[np.int32]
    first: NDArray[np.int32]
    last: NDArray[np.int32]
    high: NDArray[np.int32]
    at_ms: NDArray[np.int32]
    origin_us: int = 0

    @classmethod
    def none(cls) -> KeyStates:
        """The states of no keys."""
        return cls(**{name: np.empty(0, dtype=kind) for name, kind in _KINDS.items()}, origin_us=0)

    def __len__(self) -> int:
        return len(self.key)

    def only(self, rows: NDArray[np.bool_]) -> KeyStates:
        """Some of the keys."""
        return KeyStates(
            **{name: getattr(self, name)[rows] for name in _KINDS}, origin_us=self.origin_us
        )

    def stale(self) -> NDArray[np.bool_]:
        """Which keys ended at an older version than one that had arrived."""
        older: NDArray[np.bool_] = np.abs(self.last) < self.high
        return older

    def skipped(self) -> NDArray[np.bool_]:
        """Which keys' versions begin above 2 here, so that some were skipped. Version 1 alone needs
        no row, so a key that begins with 2 has skipped none.
        """
        later: NDArray[np.bool_] = self.first > 2
        return later

    def encode(self) -> EncodedKeys:
        """The states for a message, by ascending key."""
        order = np.argsort(self.key)
        steps = np.diff(self.key[order], prepend=np.int64(0))
        columns = {name: getattr(self, name)[order] for name in _KINDS if name != "key"}
        packed = {name: pack(column) for name, column in columns.items()}
        return EncodedKeys(origin_us=self.origin_us, key=pack(steps), **packed)

    @classmethod
    def decode(cls, data: EncodedKeys) -> KeyStates:
        """Read what `encode` made."""
        columns = {name: unpack(getattr(data, name), kind) for name, kind in _KINDS.items()}
        columns["key"] = np.cumsum(columns["key"])
        return cls(**columns, origin_us=data.origin_us)


class VersionTable:
    """Rows of keys, found by key. Rows are numbered as they are added and never removed."""

    def __init__(self) -> None:
        self.count = 0
        self.columns: dict[str, NDArray[Any]] = {
            name: np.zeros(256, dtype=kind) for name, kind in _KINDS.items()
        }
        self._bits = _LEAST_BITS
        self._index = np.full(1 << self._bits, -1, dtype=np.int32)

    def find(self, keys: Numbers) -> NDArray[np.int32]:
        """The row of each key, -1 where there is none."""
        known = self.columns["key"]
        mask = (1 << self._bits) - 1
        places = self._home(keys)
        rows = self._index[places]
        pending = np.flatnonzero((rows >= 0) & (known[rows] != keys))
        while len(pending):
            places[pending] = (places[pending] + 1) & mask
            rows[pending] = self._index[places[pending]]
            others = rows[pending]
            pending = pending[(others >= 0) & (known[others] != keys[pending])]
        return rows

    def add(self, keys: Numbers, writers: Numbers) -> int:
        """Give each of these keys a row; the keys must be distinct and new. Returns the
        first row.
        """
        self._make_room(len(keys))
        rows = np.arange(self.count, self.count + len(keys), dtype=np.int32)
        self.columns["key"][rows] = keys
        self.columns["writer"][rows] = writers
        self.count += len(keys)
        self._enter(keys, rows)
        return self.count - len(keys)

    def _home(self, keys: Numbers) -> Numbers:
        return ((keys.view(np.uint64) * _MULTIPLIER) >> np.uint64(64 - self._bits)).view(np.int64)

    def _enter(self, keys: Numbers, rows: NDArray[np.int32]) -> None:
        mask = (1 << self._bits) - 1
        places = self._home(keys)
        while len(rows):
            free = self._index[places] < 0
            # If several keys want one place, the last one gets it.
            self._index[places[free]] = rows[free]
            placed = self._index[places] == rows
            rows, places = rows[~placed], (places[~placed] + 1) & mask

    def _make_room(self, more: int) -> None:
        needed = self.count + more
        if needed > len(self.columns["key"]):
            length = max(needed, len(self.columns["key"]) * 9 // 8)
            # One column at a time, so that only one exists twice at any moment.
            for name, kind in _KINDS.items():
                column = np.zeros(length, dtype=kind)
                column[: self.count] = self.columns[name][: self.count]
                self.columns[name] = column
        if needed > len(self._index) // 4 * 3 // 2:
            self._bits = (needed * 8 // 3).bit_length()
            self._index = np.full(1 << self._bits, -1, dtype=np.int32)
            rows = np.arange(self.count, dtype=np.int32)
            for part in range(0, self.count, 1 << 16):
                some = rows[part : part + (1 << 16)]
                self._enter(self.columns["key"][some], some)

    def states(self, origin_us: int) -> KeyStates:
        """All rows as plain data."""
        return KeyStates(
            **{name: column[: self.count].copy() for name, column in self.columns.items()},
            origin_us=origin_us,
        )


@dataclass(frozen=True, slots=True)
class Joined:
    """The keys of two instances as one; and the writers of keys that went back in version, or
    skipped versions, from one instance to the other.
    """

    states: KeyStates
    back: NDArray[np.int32]
    skipped: NDArray[np.int32]


def join(one: KeyStates, other: KeyStates) -> Joined:
    """The keys of two instances as one.

    If both know a key, the instance that saw it last gives its current version.
    """
    origin_us = min((part.origin_us for part in (one, other) if len(part)), default=0)
    both = [_since(part, origin_us) for part in (one, other)]
    rows = {name: np.concatenate([getattr(part, name) for part in both]) for name in _KINDS}
    order = np.lexsort((rows["at_ms"], rows["key"]))
    rows = {name: column[order] for name, column in rows.items()}
    first, high, writer = rows["first"], rows["high"], rows["writer"]
    later = np.flatnonzero(rows["key"][1:] == rows["key"][:-1]) + 1
    back = writer[later[first[later] < np.abs(rows["last"][later - 1])]]
    skipped = writer[later[first[later] > high[later - 1] + 1]]
    high[later] = np.maximum(high[later], high[later - 1])
    first[later] = first[later - 1]
    kept = np.ones(len(order), dtype=np.bool_)
    kept[later - 1] = False
    return Joined(
        KeyStates(**{name: column[kept] for name, column in rows.items()}, origin_us=origin_us),
        back,
        skipped,
    )


def _since(states: KeyStates, origin_us: int) -> KeyStates:
    shift = (states.origin_us - origin_us) // 1000 if len(states) else 0
    return KeyStates(
        states.key,
        states.writer,
        states.first,
        states.last,
        states.high,
        states.at_ms + np.int32(shift),
        origin_us,
    )

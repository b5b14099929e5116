"""Change events as JSON: what the direct WAL reader publishes, and what webhooks carry, as events
by columns.

A change is an object with `op` (c, u, d, r; or insert, update, delete), `before` and `after`,
which are rows by column name or null, and perhaps `key` and `source`. A column that a row lacks
was not sent (unchanged TOAST).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdc_users.measure.ledger.bitmap import Numbers
from cdc_users.measure.ledger.ledger import RowCheck
from cdc_users.observe.events.dialect import SCALES, ChangeError, ObservedChange
from cdc_users.observe.events.value import CUSTOMERS, check, column_kinds, pointed
from cdc_users.observe.settings import TapSettings
from cdc_users.observe.tap import Events
from infra.avro.kind import UNAVAILABLE, ColumnKind

_OPERATIONS = {"insert": "c", "create": "c", "update": "u", "delete": "d", "read": "r"}


@dataclass(slots=True)
class ChangeParser:
    """Makes events of changes. `kinds` are the table's columns in order, without key and probe.

    The row of every `check_every`-th event is checked against its checksum; 0 checks none.
    """

    key_column: str = "id"
    probe_column: str = "probe"
    kinds: Mapping[str, ColumnKind] = field(default_factory=lambda: CUSTOMERS)
    check_every: int = 0
    _until_check: int = 0

    @classmethod
    def of(cls, settings: TapSettings) -> ChangeParser:
        """As a tap's configuration says."""
        return cls(
            key_column=settings.key_column,
            probe_column=settings.probe_column,
            kinds=column_kinds(settings.columns),
            check_every=settings.check_every,
        )

    def parse(
        self,
        changes: Sequence[ObservedChange],
        sizes: Sequence[int],
        partition: int,
        positions: Numbers,
        seen_us: int,
        appended_us: Numbers | None = None,
    ) -> Events:
        """The events of changes of one partition, in their order; raises ChangeError."""
        rows = [self._row(change) for change in changes]
        keys = [self._key(change, row) for change, (_, row) in zip(changes, rows, strict=True)]
        try:
            return Events(
                partition=partition,
                positions=positions,
                keys=np.array(keys, dtype=np.int64),
                probes=[_text(row.get(self.probe_column)) for _, row in rows],
                deleted=np.array([deleted for deleted, _ in rows], dtype=np.bool_),
                sizes=np.array(sizes, dtype=np.int64),
                committed_us=np.array(
                    [_committed_us(change) for change in changes], dtype=np.int64
                ),
                seen_us=seen_us,
                appended_us=appended_us,
                checks=self._checks(changes, keys) if self.check_every else None,
                others=np.array([self._by_others(change) for change in changes], dtype=np.bool_),
            )
        except OverflowError as error:
            raise ChangeError(f"a number is too large for 64 bits ({error})") from error

    def _row(self, change: ObservedChange) -> tuple[bool, ObservedChange]:
        """Whether it is a delete, and the row that carries the probe."""
        if not isinstance(change, dict) or not isinstance(change.get("op"), str):
            raise ChangeError(
                f"{str(change)[:100]!r} is no change event: an object with op, before and after is"
                " needed"
            )
        operation = _OPERATIONS.get(change["op"], change["op"])
        row = change.get("before" if operation == "d" else "after") or {}
        if not isinstance(row, dict):
            raise ChangeError(f"{str(row)[:100]!r} is no row: an object of columns is needed")
        return operation == "d", row

    def _by_others(self, change: ObservedChange) -> bool:
        """Whether an update has left the probe as it was."""
        before, after = change.get("before"), change.get("after")
        if not (isinstance(before, dict) and isinstance(after, dict)):
            return False
        probe = before.get(self.probe_column)
        return probe is not None and probe == after.get(self.probe_column)

    def _key(self, change: ObservedChange, row: ObservedChange) -> int:
        key = row.get(self.key_column)
        if key is None:
            key = change.get("key")
            if isinstance(key, dict):
                key = key.get(self.key_column, next(iter(key.values()), None))
        return key_number(key)

    def _checks(self, changes: Sequence[ObservedChange], keys: Sequence[int]) -> NDArray[np.uint8]:
        rows = [self._row(change)[1] for change in changes]
        checks = np.zeros(len(rows), dtype=np.uint8)
        sample = range(self._until_check, len(rows), self.check_every)
        self._until_check = (self._until_check - len(rows)) % self.check_every
        for place in sample:
            row = rows[place]
            if (probe := row.get(self.probe_column)) is not None:
                scales = changes[place].get(SCALES, {})
                values = [
                    pointed(row.get(name, UNAVAILABLE), scales.get(name)) for name in self.kinds
                ]
                checks[place] = check(_text(probe), keys[place], list(self.kinds.values()), values)
            else:
                checks[place] = RowCheck.SKIPPED
        return checks


def key_number(key: Any) -> int:
    """A number for a key: itself where it is a whole number of 64 bits, also as text; else 62 bits
    of a hash of it.
    """
    if isinstance(key, int) and key.bit_length() < 64:
        return key
    text = str(key)
    if text.removeprefix("-").isdecimal() and len(text) < 19:
        return int(text)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 2


def _text(probe: Any) -> bytes:
    return probe.encode() if isinstance(probe, str) else b""


def _committed_us(change: ObservedChange) -> int:
    source = change.get("source")
    for place in (source, change):
        if isinstance(place, dict):
            for name, factor in (
                ("commit_ts_us", 1),
                ("ts_us", 1),
                ("committed_us", 1),
                ("ts_ms", 1000),
            ):
                if isinstance(value := place.get(name), int):
                    return value * factor
    return 0

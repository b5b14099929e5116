"""Changes to records: the stream a table goes to, the key that keeps its order, and the serialised envelope."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from infra.platform.transports.transport import Record
from infra.platform.wal.event import UNCHANGED, Insert, Relation, Update
from infra.platform.wal.pump import Chunk, Encoded

NO_PROBE = b""


@dataclass(frozen=True, slots=True)
class _Layout:
    stream: str
    names: tuple[str, ...]
    key: tuple[int, ...]
    probe: int | None


class NoEncoder:
    """Makes no records: for the null transport, when reading and decoding alone are of interest."""

    def encode(self, _: Chunk) -> Encoded:
        """See Encoder."""
        return Encoded((), (), (), ())


class JsonEncoder:
    """Temporary."""

    def __init__(
        self, stream: Callable[[Relation], str], primary_key: Callable[[int], tuple[str, ...]], probe_column: str
    ) -> None:
        self._stream = stream
        self._primary_key = primary_key
        self._probe_column = probe_column
        self._layouts: dict[int, tuple[Relation, _Layout]] = {}

    def encode(self, chunk: Chunk) -> Encoded:
        """See Encoder."""
        records, probes, keys, deleted = [], [], [], []
        changes = iter(chunk.changes)
        for lsn, commit_us, count in chunk.commits:
            for _ in range(count):
                change = next(changes)
                layout = self._layout(change.relation)
                if type(change) is Insert:
                    op, before, after = "c", None, change.after
                elif type(change) is Update:
                    op, before, after = "u", change.before, change.after
                else:
                    op, before, after = "d", change.before, None
                row = after if after is not None else before
                key = {layout.names[p]: int(row[p]) for p in layout.key}
                data = orjson.dumps(
                    {
                        "op": op,
                        "before": self._row(layout, before),
                        "after": self._row(layout, after),
                        "source": {"ts_us": commit_us, "lsn": lsn},
                    }
                )
                records.append(Record(layout.stream, orjson.dumps(key), data))
                probe = row[layout.probe] if layout.probe is not None else None
                probes.append(probe.encode() if isinstance(probe, str) else NO_PROBE)
                keys.append(next(iter(key.values())))
                deleted.append(op == "d")
        return Encoded(records, probes, keys, deleted)

    def _row(self, layout: _Layout, row: Any) -> Any:
        return None if row is None else {n: v for n, v in zip(layout.names, row, strict=True) if v is not UNCHANGED}

    def _layout(self, relation: Relation) -> _Layout:
        known = self._layouts.get(relation.oid)
        if known is not None and known[0] is relation:
            return known[1]
        names = relation.names
        key = tuple(names.index(name) for name in self._primary_key(relation.oid))
        layout = _Layout(
            self._stream(relation), names, key, names.index(self._probe_column) if self._probe_column in names else None
        )
        self._layouts[relation.oid] = (relation, layout)
        return layout

"""From a request for a final comparison to its two sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cdc_users.measure.ledger.arrival import Arrivals
from cdc_users.measure.ledger.sequence import unpack
from cdc_users.observe.final_state import ArraySide, TableSide, TableState, compare
from cdc_users.observe.tap import Tap
from cdc_users.observe.taps.iceberg import IcebergSide
from cdc_users.observe.taps.postgres import PostgresSide


def answer(request: Mapping[str, Any], run: str, taps: Mapping[str, Tap]) -> dict[str, Any]:
    """Compare `source` and `sink` of a request; raises TapError, or ValueError for sides that are
    not known.

    A side is a Postgres table (`kind` postgres), an Iceberg table (iceberg), what a tap has last
    seen of each key (tap, as sink), or what the writers say (expected: packed arrays `keys`,
    `versions`, and `doubtful` keys, which are left out on both sides). `gone` has the keys that
    the writers have deleted.
    """
    source = _side(request["source"], run, checked=False)
    # What somebody else wrote is nobody's loss, and is told by the taps.
    others = [key for tap in taps.values() for key in tap.record.others_keys]
    doubtful = np.concatenate(
        (_numbers(request["source"], "doubtful"), np.array(others, dtype=np.int64))
    )
    gone = _numbers(request, "gone")
    sink = request["sink"]
    if sink.get("kind") == "tap":
        if sink["name"] not in taps:
            raise ValueError(f"tap {sink['name']!r} is not one of {', '.join(taps)}")
        result = compare(
            _versions_of(source),
            last_seen(taps[sink["name"]].record.arrivals(), source),
            doubtful,
            gone,
        )
    else:
        result = compare(source, _side(sink, run, checked=True), doubtful, gone)
    return result.to_json()


def _side(config: Mapping[str, Any], run: str, *, checked: bool) -> TableSide:
    kind = config.get("kind")
    if kind == "postgres":
        return PostgresSide(config, run, checked=checked)
    if kind == "iceberg":
        return IcebergSide(config, run)
    if kind == "expected":
        rows = TableState.of(_numbers(config, "keys"), _numbers(config, "versions"))
        return ArraySide("expected", rows, marked=False)
    raise ValueError(
        f"a side of kind {kind!r} is not known; use postgres, iceberg, expected, or tap as sink"
    )


def _numbers(config: Mapping[str, Any], name: str) -> Any:
    return unpack(config[name], np.int64) if name in config else np.empty(0, dtype=np.int64)


def _versions_of(side: TableSide) -> TableSide:
    """A side by versions only, held in memory; sources are not checked."""
    rows = side.state(range(1024), 1024)
    return ArraySide(side.name, TableState.of(rows.key, rows.version), marked=False)


def last_seen(arrivals: Arrivals, source: TableSide) -> ArraySide:
    """What a tap has last seen of each key.

    A key that it knows nothing of was never updated there, so it is at 1.

    Whether that first version has come at all is for the ledger to say, not for this comparison.
    """
    keys = arrivals.keys
    alive = keys.last > 0
    known = TableState.of(keys.key[alive], keys.last[alive].astype(np.int64))
    expected = source.state(range(1024), 1024)
    plain = ~np.isin(expected.key, keys.key)
    key = np.concatenate((known.key, expected.key[plain]))
    version = np.concatenate((known.version, np.ones(int(plain.sum()), dtype=np.int64)))
    return ArraySide("tap", TableState.of(key, version), marked=False)

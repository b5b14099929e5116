"""Answers a request for a final comparison: makes both sides and compares them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cdc_users.measure.ledger.arrival import Arrivals
from cdc_users.measure.ledger.checksum import canonical
from cdc_users.measure.ledger.sequence import unpack
from cdc_users.observe.events.value import value_of
from cdc_users.observe.final_state import (
    ArraySide,
    DeletedKeys,
    TableSide,
    TableState,
    compare,
)
from cdc_users.observe.message import ExpectedSide, Final, FinalRequest, FinalSide, TapSide
from cdc_users.observe.settings import IcebergSideSettings, PostgresSideSettings
from cdc_users.observe.tap import Tap
from cdc_users.observe.taps.iceberg import IcebergSide
from cdc_users.observe.taps.postgres import PostgresSide
from infra.avro.kind import ColumnKind

#: How many corrupt rows are read again on both sides, and how much of a value is shown.
NAMED_ROWS, SHOWN = 20, 60


def answer(request: FinalRequest, run: str, taps: Mapping[str, Tap]) -> Final:
    """Compare `source` and `sink` of a request; raises TapError, or ValueError for sides that are
    not possible.

    Keys whose outcome the source calls doubtful are left out on both sides; `gone` has the keys
    that the writers have deleted.
    """
    source = _side(request.source, run, checked=False)
    doubtful = _numbers(
        request.source.doubtful if isinstance(request.source, ExpectedSide) else None
    )
    # Somebody else's rows are no loss of the run; the taps report them.
    others = [key for tap in taps.values() for key in tap.record.others_keys]
    doubtful = np.concatenate((doubtful, np.array(others, dtype=np.int64)))
    gone = DeletedKeys.of(_numbers(request.gone), _numbers(request.gone_versions))
    sink = request.sink
    if not isinstance(sink, TapSide):
        kept = _side(sink, run, checked=True)
        found = compare(source, kept, doubtful, gone)
        if isinstance(source, PostgresSide) and isinstance(kept, PostgresSide):
            name_columns(found, source, kept)
        return found
    if sink.name not in taps:
        raise ValueError(f"tap {sink.name!r} is not one of {', '.join(taps)}")
    seen = last_seen(taps[sink.name].record.arrivals(), source)
    return compare(_versions_of(source), seen, doubtful, gone)


def name_columns(found: Final, source: PostgresSide, sink: PostgresSide) -> None:
    """Find the columns at fault in the first corrupt rows, with both values."""
    corrupt = [one for one in found.examples if one.finding == "corrupt"][:NAMED_ROWS]
    if not corrupt:
        return
    keys = [one.key for one in corrupt]
    left, right = source.columns_of(keys), sink.columns_of(keys)
    for one in corrupt:
        here, there = left.get(one.key, {}), right.get(one.key, {})
        one.columns = {
            name: (_shown(here.get(name)), _shown(there.get(name)))
            for name, kind in source.kinds.items()
            if form_of(kind, here.get(name)) != form_of(kind, there.get(name))
        }


def form_of(kind: ColumnKind, value: Any) -> bytes | str:
    """The form in which two values of a column are compared."""
    try:
        return canonical(value_of(kind, value))
    except (ValueError, TypeError, ArithmeticError):
        return repr(value)


def _shown(value: Any) -> str:
    text = "NULL" if value is None else str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"


def _side(settings: FinalSide, run: str, *, checked: bool) -> TableSide:
    if isinstance(settings, PostgresSideSettings):
        return PostgresSide(settings, run, checked=checked)
    if isinstance(settings, IcebergSideSettings):
        return IcebergSide(settings, run)
    if isinstance(settings, ExpectedSide):
        rows = TableState.of(_numbers(settings.keys), _numbers(settings.versions))
        return ArraySide("expected", rows, marked=False)
    raise ValueError("a tap can only be the sink's side")


def _numbers(packed: str | None) -> Any:
    return np.empty(0, dtype=np.int64) if packed is None else unpack(packed, np.int64)


def _versions_of(side: TableSide) -> TableSide:
    """A side with versions only, held in memory; sources are not checked."""
    rows = side.state(range(1024), 1024)
    return ArraySide(side.name, TableState.of(rows.key, rows.version), marked=False)


def last_seen(arrivals: Arrivals, source: TableSide) -> ArraySide:
    """The last version of each key that a tap has seen.

    A key that the tap does not know was never updated there, so it is at version 1. Whether that
    version has arrived at all is decided by the ledger, not by this comparison.
    """
    keys = arrivals.keys
    alive = keys.last > 0
    known = TableState.of(keys.key[alive], keys.last[alive].astype(np.int64))
    expected = source.state(range(1024), 1024)
    plain = ~np.isin(expected.key, keys.key)
    key = np.concatenate((known.key, expected.key[plain]))
    version = np.concatenate((known.version, np.ones(int(plain.sum()), dtype=np.int64)))
    return ArraySide("tap", TableState.of(key, version), marked=False)

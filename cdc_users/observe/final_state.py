"""Final state: the source's contents against the sink's, once all outcomes are settled.

First, sums over buckets of keys are compared, which a server computes itself; then the rows of the
buckets whose sums differ. A row's probe has its version and the checksum of its columns. So two
rows are equal if their probes are equal and the sink's row still fits its own probe.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cdc_users.measure.ledger.arrival import EXAMPLES
from cdc_users.measure.ledger.bitmap import Numbers
from cdc_users.measure.ledger.probe import LAYOUT, parse_probes
from cdc_users.observe.message import Difference, Final

BUCKETS = 1024
#: How many buckets' rows are compared at a time, which bounds memory if everything differs.
AT_A_TIME = 64


@dataclass(frozen=True, slots=True)
class TableState:
    """Rows by ascending key and version, each with a mark that tells two writes of a version apart,
    and whether it is damaged.

    `mark` combines the probe's sequence and checksum in one number; it is 0 if only versions are
    known.
    """

    key: Numbers
    version: Numbers
    mark: Numbers
    damaged: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        key: Numbers,
        version: Numbers,
        mark: Numbers | None = None,
        damaged: NDArray[np.bool_] | None = None,
    ) -> TableState:
        """Rows in any order."""
        order = np.lexsort((version, key))
        mark = np.zeros(len(key), dtype=np.int64) if mark is None else mark
        damaged = np.zeros(len(key), dtype=np.bool_) if damaged is None else damaged
        return cls(key[order], version[order], mark[order], damaged[order])

    def __len__(self) -> int:
        return len(self.key)

    def without(self, keys: Numbers) -> TableState:
        """The rows without those of these keys."""
        kept = ~np.isin(self.key, keys)
        return TableState(self.key[kept], self.version[kept], self.mark[kept], self.damaged[kept])


@dataclass(frozen=True, slots=True)
class DeletedKeys:
    """Keys that the writers have deleted, ascending, each with the version of its delete."""

    key: Numbers
    version: Numbers

    @classmethod
    def of(cls, key: Numbers, version: Numbers) -> DeletedKeys:
        """Keys in any order."""
        order = np.argsort(key)
        return cls(key[order], version[order])

    def versions_of(self, keys: Numbers) -> Numbers:
        """The version of each key's delete; 0 where it was not deleted."""
        if not len(self.key):
            return np.zeros(len(keys), dtype=np.int64)
        place = np.minimum(np.searchsorted(self.key, keys), len(self.key) - 1)
        return np.where(self.key[place] == keys, self.version[place], 0)


@dataclass(frozen=True, slots=True)
class Totals:
    """By bucket: the number of rows, and the sums of key, version and mark (modulo 2^64).

    `content` is a sum over whole rows, for sides that store rows in the same form (`form`), such as
    two tables with the same columns on servers of one kind; None if there is no such sum.
    """

    count: Numbers
    key: NDArray[np.uint64]
    version: NDArray[np.uint64]
    mark: NDArray[np.uint64]
    content: NDArray[np.uint64] | None = None
    form: str = ""

    def differ(self, other: Totals, marks: bool) -> Numbers:
        """The buckets that differ; without `marks`, marks are not compared."""
        same = (
            (self.count == other.count) & (self.key == other.key) & (self.version == other.version)
        )
        if marks:
            same &= self.mark == other.mark
        return np.flatnonzero(~same)

    def contents_differ(self, other: Totals) -> Numbers | None:
        """The buckets whose rows differ; None if sums cannot show that."""
        if self.content is None or other.content is None or self.form != other.form:
            return None
        return np.flatnonzero(self.content != other.content)


class TableSide(Protocol):
    """One side of the comparison."""

    @property
    def name(self) -> str:
        """The side's name in messages."""

    @property
    def marked(self) -> bool:
        """Whether the side has its rows' probes."""

    def totals(self, buckets: int) -> Totals:
        """Sums over key modulo `buckets`."""

    def suspects(self, buckets: int) -> Iterable[int]:
        """Buckets with rows that do not fit their own probe; reads the whole table."""

    def state(self, numbers: Sequence[int], buckets: int) -> TableState:
        """The rows of some buckets."""


@dataclass(frozen=True, slots=True)
class ArraySide:
    """A side that is held in memory."""

    name: str
    rows: TableState
    marked: bool = True

    def totals(self, buckets: int) -> Totals:
        """Sums over key modulo `buckets`."""
        bucket = self.rows.key % buckets
        count = np.bincount(bucket, minlength=buckets).astype(np.int64)
        rows = self.rows
        key, version, mark = (
            _sums(bucket, part, buckets) for part in (rows.key, rows.version, rows.mark)
        )
        return Totals(count, key, version, mark)

    def suspects(self, buckets: int) -> Iterable[int]:
        """Buckets with rows that their reader found damaged."""
        return set((self.rows.key[self.rows.damaged] % buckets).tolist())

    def state(self, numbers: Sequence[int], buckets: int) -> TableState:
        """The rows of some buckets."""
        kept = np.isin(self.rows.key % buckets, numbers)
        rows = self.rows
        return TableState(rows.key[kept], rows.version[kept], rows.mark[kept], rows.damaged[kept])


def _sums(bucket: Numbers, values: Numbers, buckets: int) -> NDArray[np.uint64]:
    sums = np.zeros(buckets, dtype=np.uint64)
    np.add.at(sums, bucket, values.view(np.uint64))
    return sums


def mark_of(sequence: Numbers, checksum: Numbers) -> Numbers:
    """A row's mark: sequence and checksum in one number;

    SQL makes the same one (cdc_users/observe/taps/postgres.py).
    """
    return (sequence << 24) + checksum


def state_of_probes(
    keys: Numbers, probes: Sequence[bytes], run: str, damaged: NDArray[np.bool_]
) -> tuple[TableState, int]:
    """Rows by their probes, and the number of rows without a probe of this run; fences are left
    out.
    """
    batch = parse_probes(probes, run)
    rows = np.flatnonzero(batch.valid & (batch.operation != ord("f")))
    marks = mark_of(batch.sequence[rows], batch.checksum[rows])
    return TableState.of(keys[rows], batch.key_version[rows], marks, damaged[rows]), int(
        (~batch.valid).sum()
    )


def compare(
    source: TableSide,
    sink: TableSide,
    ignored: Numbers | None = None,
    gone: DeletedKeys | None = None,
) -> Final:
    """Compare both sides; `ignored` keys may have any state on either side.

    The writers have deleted the `gone` keys: if the sink still has such a row, it is undeleted or
    resurrected, and not one that nobody wrote (extra).
    """
    ignored = np.empty(0, dtype=np.int64) if ignored is None else ignored
    gone = gone or DeletedKeys.of(ignored[:0], ignored[:0])
    with ThreadPoolExecutor(2) as pool:  # two servers can sum up at the same time
        left, right = pool.map(lambda side: side.totals(BUCKETS), (source, sink))
    marked = source.marked and sink.marked
    differing = set(left.differ(right, marked).tolist())
    contents = left.contents_differ(right)
    differing |= set(sink.suspects(BUCKETS) if contents is None else contents.tolist())
    result = Final(compared=int(left.count.sum()))
    numbers = sorted(differing)
    for first in range(0, len(numbers), AT_A_TIME):
        part = numbers[first : first + AT_A_TIME]
        there = (
            source.state(part, BUCKETS).without(ignored),
            sink.state(part, BUCKETS).without(ignored),
        )
        _compare_rows(*there, marked, gone, result)
    return result


def _compare_rows(
    source: TableState, sink: TableState, marked: bool, gone: DeletedKeys, result: Final
) -> None:
    _note(result, "missing", source, np.flatnonzero(~np.isin(source.key, sink.key)), source=True)
    # The newest of several rows with one key represents it; the others are too many.
    older_rows = np.zeros(len(sink), dtype=np.bool_)
    older_rows[:-1] = sink.key[1:] == sink.key[:-1]
    beyond = ~np.isin(sink.key, source.key)
    deleted_at = gone.versions_of(sink.key)
    left = beyond & ~older_rows & (deleted_at > 0)
    undeleted = left & (sink.version >= deleted_at - 1)
    extra = beyond | older_rows
    for finding, which in (
        ("repeated", older_rows),
        ("undeleted", undeleted),
        ("resurrected", left & ~undeleted),
        ("extra", beyond & ~older_rows & ~left),
    ):
        _note(result, finding, sink, np.flatnonzero(which), source=False)
    sink = TableState(
        sink.key[~extra], sink.version[~extra], sink.mark[~extra], sink.damaged[~extra]
    )
    _, here, there = np.intersect1d(source.key, sink.key, assume_unique=True, return_indices=True)
    older = sink.version[there] < source.version[here]
    other = sink.version[there] > source.version[here]
    if marked:
        other |= ~older & (sink.mark[there] != source.mark[here])
    other |= ~older & sink.damaged[there]
    for finding, which in (("stale", older), ("corrupt", other)):
        setattr(result, finding, getattr(result, finding) + int(which.sum()))
        for place in np.flatnonzero(which)[: _room(result, finding)].tolist():
            versions = int(source.version[here[place]]), int(sink.version[there[place]])
            result.examples.append(Difference(finding, int(source.key[here[place]]), *versions))


def _note(result: Final, finding: str, rows: TableState, which: Numbers, *, source: bool) -> None:
    setattr(result, finding, getattr(result, finding) + len(which))
    for place in which[: _room(result, finding)].tolist():
        version = int(rows.version[place])
        versions = (version, None) if source else (None, version)
        result.examples.append(Difference(finding, int(rows.key[place]), *versions))


def _room(result: Final, finding: str) -> int:
    return max(0, EXAMPLES - sum(example.finding == finding for example in result.examples))


def probe_part(name: str) -> tuple[int, int]:
    """A field's place in the probe for SQL: its start, counted from 1, and its length."""
    first, width = LAYOUT[name]
    return first + 1, width

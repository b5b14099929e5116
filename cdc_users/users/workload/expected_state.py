"""What the writers did and what the source must hold at the end, computed from the outcomes alone.

Pure. A writer's choices follow from its workload and its outcomes
(cdc_users/users/workload/keyspace.py), so they can be repeated after the run; nothing needs to be
stored during the load.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cdc_users.measure.ledger.ledger import Outcomes, SequenceRange, union
from cdc_users.measure.ledger.probe import Operation
from cdc_users.users.workload.keyspace import Outcome, RowChange, Touch
from cdc_users.users.workload.workload import KEYS_PER_WRITER, Workload, key_space


@dataclass(frozen=True, slots=True)
class FinalState:
    """Keys in ascending order; for each, the version of its last acknowledged write, and whether
    that write deleted it.

    `doubtful` are the keys with a write of unknown outcome; no other array contains them.
    """

    keys: NDArray[np.int64]
    versions: NDArray[np.int64]
    deleted: NDArray[np.bool_]
    doubtful: NDArray[np.int64]

    def gone(self, *, emptied: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The keys without a row, and for each the version in which it went.

        If somebody has `emptied` the tables, no key is sure to have a row, and each would have gone
        one version after its last.
        """
        which = self.deleted | emptied
        return self.keys[which], (self.versions + ~self.deleted)[which]


def final_state(
    workload: Workload, size: int, known: Mapping[int, Outcomes], settled: Mapping[int, Outcomes]
) -> FinalState:
    """The final state of all writers' keys.

    `size` is the operations per transaction. `known` has the outcomes of each writer's sequences as
    the writer knew them during the run; `settled` has the true outcomes, as far as they were found
    out.
    """
    parts = [
        _of_writer(workload, size, writer, known[writer], settled[writer])
        for writer in sorted(known)
    ]
    if not parts:
        parts = [_pack({}, set())]
    columns = [[getattr(part, name) for part in parts] for name in FinalState.__slots__]
    return FinalState(*(np.concatenate(column) for column in columns))


@dataclass(frozen=True, slots=True)
class Done:
    """A repeated transaction: its outcome as the writer knew it, its sequences, and the keys that
    it touched.
    """

    outcome: Outcome
    first: int
    touches: Sequence[Touch]

    @property
    def last(self) -> int:
        """The sequence of its last event."""
        return self.first + len(self.touches) - 1


def transactions(workload: Workload, size: int, writer: int, known: Outcomes) -> Iterator[Done]:
    """All transactions of a writer, repeated in order."""
    keys = key_space(writer, workload)
    sequence = 1
    for outcome, end in _runs(known):
        while sequence <= end:
            touches = keys.touches(size, writer * KEYS_PER_WRITER + sequence)
            keys.settle(
                (RowChange(t.operation, 0, t.key, t.key_version, 0, None, None) for t in touches),
                outcome,
            )
            yield Done(outcome, sequence, touches)
            sequence += len(touches)


def _of_writer(
    workload: Workload, size: int, writer: int, known: Outcomes, settled: Outcomes
) -> FinalState:
    if workload.only_inserts:
        return _of_inserts(writer * KEYS_PER_WRITER, settled)
    acked, unknown = _Cursor(settled.acked), _Cursor(settled.unknown)
    last: dict[int, tuple[int, bool]] = {}
    doubtful: set[int] = set()
    for done in transactions(workload, size, writer, known):
        if acked.holds(done.first):
            last |= {t.key: (t.key_version, t.operation is Operation.DELETE) for t in done.touches}
        elif unknown.holds(done.first):
            doubtful |= {t.key for t in done.touches}
    return _pack(last, doubtful)


def _of_inserts(base: int, settled: Outcomes) -> FinalState:
    keys = _numbers(settled.acked) + base
    doubtful = _numbers(settled.unknown) + base
    return FinalState(keys, np.ones(len(keys), np.int64), np.zeros(len(keys), np.bool_), doubtful)


def _numbers(ranges: Sequence[SequenceRange]) -> NDArray[np.int64]:
    parts = [np.arange(first, last + 1, dtype=np.int64) for first, last in union(ranges, ())]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _pack(last: Mapping[int, tuple[int, bool]], doubtful: set[int]) -> FinalState:
    kept = sorted(last.keys() - doubtful)
    return FinalState(
        np.array(kept, np.int64),
        np.array([last[key][0] for key in kept], np.int64),
        np.array([last[key][1] for key in kept], np.bool_),
        np.array(sorted(doubtful), np.int64),
    )


def _runs(known: Outcomes) -> Iterator[tuple[Outcome, int]]:
    """Outcomes in the order of sequences, each with the last sequence of its run."""
    runs: list[tuple[SequenceRange, Outcome]] = [(run, "acked") for run in known.acked]
    runs += [(run, "failed") for run in known.failed]
    runs += [(run, "unknown") for run in known.unknown]
    for (_, last), outcome in sorted(runs):
        yield outcome, last


class _Cursor:
    """Whether ascending numbers lie in ranges; each range is looked at once."""

    def __init__(self, ranges: Sequence[SequenceRange]) -> None:
        self._ranges = union(ranges, ())
        self._at = 0

    def holds(self, number: int) -> bool:
        while self._at < len(self._ranges) and self._ranges[self._at][1] < number:
            self._at += 1
        return self._at < len(self._ranges) and self._ranges[self._at][0] <= number

"""What a writer did can be derived from its outcomes alone."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.ledger.ledger import Outcomes
from cdc_users.measure.ledger.probe import Operation
from cdc_users.users.workload.expected_state import FinalState, final_state
from cdc_users.users.workload.keyspace import Outcome, RowChange
from cdc_users.users.workload.workload import Ranges, Workload, Writer

RUN = "abcd1234"
WORKLOADS = [
    Workload(),
    Workload(mix=(50, 30, 20), live_keys=8),
    Workload(mix=(4, 5, 1), skew=1.1, tables=3),
]


def outcomes_of(ranges: Ranges) -> Outcomes:
    return Outcomes(
        **{name: [(first, last) for first, last in runs] for name, runs in ranges.runs.items()}
    )


def as_dict(state: FinalState) -> dict[int, tuple[int, bool]]:
    return dict(
        zip(
            state.keys.tolist(),
            zip(state.versions.tolist(), state.deleted.tolist(), strict=True),
            strict=True,
        )
    )


@given(
    workload=st.sampled_from(WORKLOADS),
    size=st.integers(1, 4),
    ends=st.lists(
        st.tuples(st.sampled_from(get_args(Outcome)), st.sampled_from(get_args(Outcome))),
        max_size=50,
    ),
)
def test_the_final_state_is_what_the_acknowledged_changes_made(
    workload: Workload, size: int, ends: list[tuple[Outcome, Outcome]]
) -> None:
    writer, settled = Writer(RUN, 10_003, workload), Ranges()
    table: dict[int, RowChange] = {}
    doubtful: set[int] = set()
    for told, found in ends:
        transaction = writer.transaction(size, 0)
        writer.settle(transaction, told)
        truth = found if told == "unknown" else told
        settled.add(truth, transaction.first, transaction.last)
        if truth == "acked":
            table |= {change.key: change for change in transaction.changes}
        elif truth == "unknown":
            doubtful |= {change.key for change in transaction.changes}

    state = final_state(
        workload, size, {10_003: outcomes_of(writer.ranges)}, {10_003: outcomes_of(settled)}
    )

    assert as_dict(state) == {
        key: (change.key_version, change.operation is Operation.DELETE)
        for key, change in table.items()
        if key not in doubtful
    }
    assert set(state.doubtful.tolist()) == doubtful


@pytest.mark.parametrize("workload", WORKLOADS)
def test_several_writers_come_in_order_of_their_keys(workload: Workload) -> None:
    told = {}
    for number in (10_002, 10_001):
        writer = Writer(RUN, number, workload)
        for _ in range(20):
            writer.settle(writer.transaction(2, 0), "acked")
        told[number] = outcomes_of(writer.ranges)

    state = final_state(workload, 2, told, told)

    assert len(state.keys) > 0
    assert np.all(np.diff(state.keys) > 0)
    assert state.doubtful.size == 0


def test_no_writer_means_no_keys() -> None:
    assert as_dict(final_state(Workload(), 1, {}, {})) == {}


def test_deleted_keys_have_no_row_and_after_a_truncate_no_key_is_sure_to_have_one() -> None:
    state = FinalState(
        np.array([3, 5, 8]), np.array([1, 4, 2]), np.array([False, True, False]), np.array([9])
    )

    deleted, all_of_them = state.gone(emptied=False), state.gone(emptied=True)

    assert [part.tolist() for part in deleted] == [[5], [4]]
    assert [part.tolist() for part in all_of_them] == [[3, 5, 8], [2, 4, 3]]

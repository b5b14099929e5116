"""Unknown transactions are settled by their rows: there as a whole, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.ledger.ledger import Outcomes
from cdc_users.measure.ledger.probe import Operation
from cdc_users.step.read_back import decide, unknown_transactions
from cdc_users.users.workload.workload import Ranges, Workload, Writer

pytestmark = pytest.mark.gevent

WORKLOADS = [Workload(), Workload(mix=(50, 30, 20), live_keys=8, tables=2)]
ends = st.lists(st.sampled_from(["acked", "failed", "committed", "gone"]), max_size=40)


def outcomes_of(ranges: Ranges) -> Outcomes:
    return Outcomes(
        **{name: [(first, last) for first, last in runs] for name, runs in ranges.runs.items()}
    )


@given(st.sampled_from(WORKLOADS), st.integers(1, 4), ends)
def test_what_was_committed_is_acked_and_the_rest_failed(
    workload: Workload, size: int, truths: list[str]
) -> None:
    writer, true = Writer("abcd1234", 10_003, workload), Ranges()
    table: dict[int, int] = {}
    for truth in truths:
        transaction = writer.transaction(size, 0)
        writer.settle(transaction, {"committed": "unknown", "gone": "unknown"}.get(truth, truth))  # type: ignore[arg-type]
        committed = truth in ("acked", "committed")
        true.add("acked" if committed else "failed", transaction.first, transaction.last)
        for change in transaction.changes if committed else ():
            if change.operation is Operation.DELETE:
                del table[change.key]
            else:
                table[change.key] = change.sequence
    told = outcomes_of(writer.ranges)

    settled = decide(told, unknown_transactions(workload, size, 10_003, told), table)

    assert numbers(settled.acked) == numbers(outcomes_of(true).acked)
    assert numbers(settled.failed) == numbers(outcomes_of(true).failed)
    assert not settled.unknown


def numbers(ranges: object) -> set[int]:
    assert isinstance(ranges, (list, tuple))
    return {number for first, last in ranges for number in range(first, last + 1)}

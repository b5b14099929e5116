"""A column that is added in mid-run: new rows carry it, older ones have NULL there, and nothing
else changes.
"""

from __future__ import annotations

from cdc_users.measure.ledger.probe import Operation, parse_probe
from cdc_users.users.producer.added_column import VALUE, Widening
from cdc_users.users.workload.keyspace import RowChange
from cdc_users.users.workload.workload import Workload, Writer


def changes_of(writer: Writer, count: int) -> list[RowChange]:
    changes: list[RowChange] = []
    for _ in range(count):
        transaction = writer.transaction(1, 1_795_503_852_810_042)
        writer.settle(transaction, "acked")
        changes += transaction.changes
    return changes


def test_only_rows_that_were_written_since_carry_the_column() -> None:
    writer = Writer("abcd1234", 10_001, Workload(mix=(50, 40, 10), live_keys=5))
    before, widening = changes_of(writer, 20), Widening()
    plain = changes_of(writer, 60)
    wide = [widening.change(change) for change in plain]

    assert {change.operation for change in wide} >= {
        Operation.INSERT,
        Operation.UPDATE,
        Operation.DELETE,
    }
    written = {change.sequence for change in before}
    for narrow, change in zip(plain, wide, strict=True):
        for old, row in ((narrow.row, change.row), (narrow.before, change.before)):
            if old is None:
                assert row is None
                continue
            assert row is not None
            assert list(row)[:-1] == list(old)
            assert row[-1] == (None if parse_probe(str(old[-1])).sequence in written else VALUE)


def test_every_writer_has_its_own_moment_of_addition() -> None:
    early, late, widening = (
        (Writer("abcd1234", number, Workload()) for number in (10_001, 10_002)),
        [],
        Widening(),
    )
    for writer in early:
        changes_of(writer, writer.number - 10_000)
        late.append(widening.change(changes_of(writer, 1)[0]))

    assert [change.row[-1] for change in late if change.row is not None] == [VALUE, VALUE]

"""A column that is added in mid-run: new rows carry it, older ones have NULL there, and checksums stay right."""

from __future__ import annotations

from cdc_users.keyspace import Change
from cdc_users.measure.probe import Operation, checksum, parse_probe
from cdc_users.widening import VALUE, Widening
from cdc_users.workload import Workload, Writer


def changes_of(writer: Writer, count: int) -> list[Change]:
    changes: list[Change] = []
    for _ in range(count):
        transaction = writer.transaction(1, 1_795_503_852_810_042)
        writer.settle(transaction, "acked")
        changes += transaction.changes
    return changes


def test_rows_and_checksums_after_the_addition_include_the_column() -> None:
    writer = Writer("abcd1234", 10_001, Workload(mix=(50, 40, 10), live_keys=5))
    before, widening = changes_of(writer, 20), Widening()
    after = [widening.change(change) for change in changes_of(writer, 60)]

    assert {change.operation for change in after} >= {Operation.INSERT, Operation.UPDATE, Operation.DELETE}
    written = {change.sequence for change in before}
    for change in after:
        for row in (change.row, change.before):
            if row is None:
                continue
            *columns, probe_text, added = row
            probe = parse_probe(str(probe_text))
            old = probe.sequence in written
            assert added == (None if old else VALUE)
            values = columns[1:] if old else [*columns[1:], VALUE]
            assert probe.checksum == checksum(change.key, probe.key_version, values)


def test_every_writer_has_its_own_moment_of_addition() -> None:
    early, late, widening = (Writer("abcd1234", number, Workload()) for number in (10_001, 10_002)), [], Widening()
    for writer in early:
        changes_of(writer, writer.number - 10_000)
        late.append(widening.change(changes_of(writer, 1)[0]))

    assert [change.row[-1] for change in late if change.row is not None] == [VALUE, VALUE]

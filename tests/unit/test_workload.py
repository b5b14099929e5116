"""Writers: dense sequences, keys of their own, checksums that hold."""

from __future__ import annotations

from cdc_users.measure.probe import checksum, parse_probe
from cdc_users.workload import KEYS_PER_WRITER, Writer, writer_number


def test_sequences_are_dense_over_transactions() -> None:
    writer = Writer("abcd1234", writer_number(1, 2))

    rows = [row for size in (1, 3, 2) for row in writer.transaction(size, 0)]

    probes = [parse_probe(row[-1]) for row in rows]
    assert [probe.sequence for probe in probes] == [1, 2, 3, 4, 5, 6]
    assert [(probe.transaction, probe.index, probe.size) for probe in probes] == [
        (1, 0, 1),
        (2, 0, 3),
        (2, 1, 3),
        (2, 2, 3),
        (3, 0, 2),
        (3, 1, 2),
    ]


def test_no_two_writers_share_a_key() -> None:
    keys = [row[0] for lane in (0, 1) for row in Writer("abcd1234", writer_number(1, lane)).transaction(100, 0)]

    assert len(set(keys)) == 200


def test_the_probe_carries_the_checksum_of_its_row() -> None:
    (row,) = Writer("abcd1234", 10_000, row_bytes=50).transaction(1, 1_700_000_000_000_000)

    assert parse_probe(row[-1]).checksum == checksum(row[0], 1, row[1:-1])
    assert row[7] is not None
    assert len(row[7]) == 50


def test_outcomes_are_kept_as_runs() -> None:
    writer = Writer("abcd1234", 10_000)
    for outcome in ("acked", "acked", "failed", "acked"):
        writer.settle(writer.transaction(2, 0), outcome)

    assert writer.ranges.runs == {"acked": [[1, 4], [7, 8]], "failed": [[5, 6]]}
    assert KEYS_PER_WRITER > 10**7

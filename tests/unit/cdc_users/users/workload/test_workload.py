"""Writers: dense sequences, keys of their own, checksums that hold, versions that follow the
outcomes.
"""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.ledger.checksum import checksum
from cdc_users.measure.ledger.probe import Operation, Probe, format_probe, parse_probe
from cdc_users.measure.wire import decode, encode
from cdc_users.users.workload.customer import Formatter, columns
from cdc_users.users.workload.keyspace import Outcome, RowChange
from cdc_users.users.workload.workload import (
    KEYS_PER_WRITER,
    Workload,
    WorkloadError,
    Writer,
    WriteTransaction,
    parse_mix,
    parse_skew,
    writer_number,
)

RUN = "abcd1234"
MIXED = Workload(mix=(50, 30, 20), live_keys=20)
outcomes = st.lists(
    st.sampled_from(["acked", "acked", "acked", "failed", "unknown"]), min_size=1, max_size=60
)


def carry_out(
    writer: Writer, ends: list[Outcome], size: int = 3
) -> list[tuple[WriteTransaction, Outcome]]:
    done = []
    for number, outcome in enumerate(ends):
        transaction = writer.transaction(size, 1_700_000_000_000_000 + number)
        writer.settle(transaction, outcome)
        done.append((transaction, outcome))
    return done


def test_sequences_are_dense_over_transactions() -> None:
    writer = Writer(RUN, writer_number(1, 2))

    rows = [change.row for size in (1, 3, 2) for change in writer.transaction(size, 0).changes]

    probes = [parse_probe(row[-1]) for row in rows if row is not None]
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
    writers = [Writer(RUN, writer_number(1, lane)) for lane in (0, 1)]
    keys = [change.key for writer in writers for change in writer.transaction(100, 0).changes]

    assert len(set(keys)) == 200


@given(
    key=st.integers(1, 10**15),
    version=st.integers(1, 10**6),
    intended_us=st.integers(0, 4 * 10**15),
    payload=st.sampled_from(["", "x", "a payload of some length"]),
)
def test_the_fast_formatter_makes_the_rows_that_the_plain_functions_make(
    key: int, version: int, intended_us: int, payload: str
) -> None:
    formatter = Formatter(RUN, 10_007, payload)
    formatter.begin(3, 9, intended_us)

    row = formatter.row(key, version, "u", 17, 4)

    values = columns(key, intended_us, payload, version)
    probe = Probe(
        RUN, 10_007, 17, 3, 4, 9, version, "u", intended_us, checksum(key, version, values)
    )
    assert row == (key, *values, format_probe(probe))


@given(outcomes)
def test_every_row_carries_its_own_checksum_and_place(ends: list[Outcome]) -> None:
    for transaction, _ in carry_out(Writer(RUN, 10_000, MIXED), ends):
        assert [change.sequence for change in transaction.changes] == [
            *range(transaction.first, transaction.last + 1)
        ]
        for index, change in enumerate(transaction.changes):
            if change.row is None:
                continue
            probe = parse_probe(change.row[-1])
            assert probe.checksum == checksum(change.key, change.key_version, change.row[1:-1])
            assert (probe.operation, probe.sequence, probe.key_version) == (
                change.operation,
                change.sequence,
                change.key_version,
            )
            assert (probe.transaction, probe.index, probe.size) == (
                transaction.number,
                index,
                len(transaction.changes),
            )


@given(outcomes)
def test_versions_and_previous_rows_follow_the_outcomes(ends: list[Outcome]) -> None:
    table: dict[int, RowChange] = {}
    doubtful: set[int] = set()
    for transaction, outcome in carry_out(Writer(RUN, 10_000, MIXED), ends):
        inside = dict(table)
        for change in transaction.changes:
            assert change.key not in doubtful
            last = inside.get(change.key)
            assert (change.operation is Operation.INSERT) == (last is None)
            assert change.before == (last.row if last is not None else None)
            assert change.key_version == (last.key_version + 1 if last is not None else 1)
            inside[change.key] = change
            if change.operation is Operation.DELETE:
                del inside[change.key]
        if outcome == "acked":
            table = inside
        elif outcome == "unknown":
            doubtful |= {change.key for change in transaction.changes}


@given(outcomes)
def test_a_delete_is_a_stamp_and_a_delete_in_one_transaction(ends: list[Outcome]) -> None:
    for transaction, _ in carry_out(Writer(RUN, 10_000, MIXED), ends):
        changes = transaction.changes
        for stamp, delete in itertools.pairwise(changes):
            if delete.operation is Operation.DELETE:
                assert stamp.operation is Operation.STAMP
                assert delete.before == stamp.row
                assert delete.key == stamp.key


def test_the_same_seed_writes_the_same_and_another_seed_something_else() -> None:
    ends: list[Outcome] = ["acked", "failed", "acked", "unknown", "acked"] * 5
    first, again = (carry_out(Writer(RUN, 10_000, MIXED), ends) for _ in range(2))
    other = carry_out(Writer(RUN, 10_000, Workload(mix=MIXED.mix, live_keys=20, seed=2)), ends)

    assert first == again
    assert first != other


def test_the_mix_is_what_was_asked_for_within_chance() -> None:
    writer = Writer(RUN, 10_000, Workload(mix=(80, 15, 5)))
    counts = Counter(
        change.operation
        for done, _ in carry_out(writer, ["acked"] * 1000, 10)
        for change in done.changes
    )

    # 10,000 draws: five standard deviations are 2 points for insert and 1.1 for delete.
    assert abs(counts[Operation.INSERT] / 10_000 - 0.80) < 0.02
    assert abs(counts[Operation.UPDATE] / 10_000 - 0.15) < 0.02
    assert counts[Operation.STAMP] == counts[Operation.DELETE]
    assert abs(counts[Operation.DELETE] / 10_000 - 0.05) < 0.011


@pytest.mark.parametrize("skew", [0.0, 1.2])
def test_skew_says_how_often_the_hottest_key_is_written(skew: float) -> None:
    writer = Writer(RUN, 10_000, Workload(mix=(1, 9999, 0), skew=skew, live_keys=10))
    carry_out(writer, ["acked"], 10)  # nothing to update yet: ten inserts

    written = [
        change for done, _ in carry_out(writer, ["acked"] * 4000, 1) for change in done.changes
    ]

    updates = Counter(change.key for change in written if change.operation is Operation.UPDATE)
    expected = 1 / sum(rank**-skew for rank in range(1, 11))
    assert max(updates.values()) / updates.total() == pytest.approx(expected, rel=0.15)


def test_live_keys_are_bounded_and_the_newest() -> None:
    writer = Writer(RUN, 10_000, Workload(mix=(60, 40, 0), live_keys=10))
    inserted: list[int] = []
    for transaction, _ in carry_out(writer, ["acked"] * 300, 1):
        (change,) = transaction.changes
        if change.operation is Operation.INSERT:
            inserted.append(change.key)
        else:
            assert change.key in inserted[-10:]


def test_tables_share_the_keys_and_a_key_stays_in_its_table() -> None:
    writer = Writer(RUN, 10_000, Workload(mix=(50, 50, 0), tables=3))
    tables: dict[int, int] = {}
    for transaction, _ in carry_out(writer, ["acked"] * 100):
        for change in transaction.changes:
            assert tables.setdefault(change.key, change.table) == change.table

    assert set(tables.values()) == {0, 1, 2}


def test_a_payload_is_as_long_as_asked_for() -> None:
    (change,) = Writer(RUN, 10_000, Workload(row_bytes=50)).transaction(1, 0).changes

    assert change.row is not None
    assert change.row[7] is not None
    assert len(change.row[7]) == 50


def test_outcomes_are_kept_as_runs() -> None:
    writer = Writer(RUN, 10_000)
    carry_out(writer, ["acked", "acked", "failed", "acked"], 2)

    assert writer.ranges.runs == {"acked": [[1, 4], [7, 8]], "failed": [[5, 6]]}
    assert KEYS_PER_WRITER > 10**7


def test_a_workload_survives_the_wire() -> None:
    workload = Workload((1, 2, 3), 1.2, 50, 4, 100, "copy", 9)

    assert decode(encode(workload), Workload, "the master") == workload
    assert decode("{}", Workload, "the master") == Workload()


def test_a_mix_is_read() -> None:
    assert parse_mix("insert=80, update=15,delete=5") == (80, 15, 5)
    assert parse_mix("insert=1") == (1, 0, 0)


@pytest.mark.parametrize(
    "text", ["", "insert", "insert=x", "upsert=5", "insert=-1", "update=5", "insert=1,delete=2"]
)
def test_a_mix_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(WorkloadError, match=r"mix|insert"):
        parse_mix(text)


def test_a_skew_is_read() -> None:
    assert parse_skew("uniform") == 0.0
    assert parse_skew("zipf:1.2") == 1.2


@pytest.mark.parametrize(
    "text", ["", "zipf", "zipf:0", "zipf:-1", "zipf:nan", "zipf:9", "normal:1"]
)
def test_a_skew_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(WorkloadError, match="skew"):
        parse_skew(text)

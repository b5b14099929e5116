"""The meter finds every record's probe and key, and its stages make up each event's whole
latency.
"""

from __future__ import annotations

import pytest

from cdc_users.measure.ledger.probe import Probe, format_probe
from infra.platform.wal.encode import JsonEncoder
from infra.platform.wal.meter import WalMeter, key_number
from infra.platform.wal.replication.pump import TransactionChunk, TransactionPart
from infra.platform.wal.serialise.commit_source import CommitSource
from tests.unit.infra.replication.pgoutput import wire

RUN = "meter123"


def probe(sequence: int, operation: str = "i", version: int = 1, intended_us: int = 1_000) -> str:
    return format_probe(
        Probe(RUN, 10_001, sequence, sequence, 0, 1, version, operation, intended_us, 0)
    )


def row(text: str) -> tuple[str, str, str]:
    return "7", 'say "probe":"x"', text


RELATION = wire.relation(
    9, [("id", 20, True), ("note", 25, True), ("probe", 25, True)], "s", "t", "f"
)


def observe(meter: WalMeter, *parts: tuple[int, list[bytes]], read_us: int = 3_000) -> None:
    """Messages through the encoder that the reader has, so that both sides agree on the probe."""
    chunk = TransactionChunk(
        [
            TransactionPart(CommitSource(lsn, 2_000 + lsn, 1), [RELATION, *messages])
            for lsn, messages in parts
        ],
        sum(len(messages) for _, messages in parts),
        0,
        read_us,
    )
    encoded = JsonEncoder(lambda _, table: table, lambda _: ("id",), "probe").encode(chunk)
    meter.durable(chunk, encoded, started_us=4_000, done_us=5_000)


def test_events_are_counted_by_step_and_stages_sum_to_the_whole() -> None:
    meter = WalMeter("list", RUN)
    observe(
        meter,
        (1, [wire.insert(9, row(probe(1)))]),
        (2, [wire.update(9, row(probe(2, "u", 2)), row(probe(1)))]),
    )

    series = meter.steps[1].recorder.series
    assert meter.ledger.delivered()[1].delivered == 2
    assert series["end_to_end"].sum_us == 8_000
    assert sum(series[name].sum_us for name in ("commit", "read", "queue", "publish")) == 8_000
    assert series["commit"].sum_us == (2_001 - 1_000) + (2_002 - 1_000)


def test_a_delete_is_the_event_after_its_stamp() -> None:
    meter = WalMeter("list", RUN)
    stamp = format_probe(Probe(RUN, 10_001, 1, 1, 0, 2, 1, "s", 1_000, 0))
    observe(meter, (1, [wire.update(9, row(stamp)), wire.delete(9, row(stamp), "O")]))

    assert meter.ledger.delivered()[1].delivered == 2
    assert meter.ledger.delivered()[1].duplicated == 0


def test_rows_without_a_probe_are_foreign_and_measured_by_nobody() -> None:
    meter = WalMeter("list", RUN)
    foreign = wire.relation(8, [("id", 20, True)], "s", "other")
    observe(meter, (1, [foreign, wire.insert(8, ("7",)), wire.insert(9, row("short"))]))

    assert meter.steps == {}
    assert meter.ledger.arrivals().foreign == 2
    assert meter.durable_events == 2


@pytest.mark.parametrize(
    ("key", "number"),
    [
        (b"7", 7),
        (b"-9", -9),
        (b"0", 0),
        (b"9223372036854775807", 2**63 - 1),
        (b"-9223372036854775808", -(2**63)),
    ],
)
def test_whole_numbers_are_their_own_key(key: bytes, number: int) -> None:
    assert key_number(key) == number


@pytest.mark.parametrize("key", [b"", b"a\x00b", b"99999999999999999999999", b"\xff"])
def test_other_keys_are_hashed_into_64_bits(key: bytes) -> None:
    assert -(2**63) <= key_number(key) < 2**63


@pytest.mark.parametrize("key", [b"007", b"+7", b" 7", b"7 ", b"0_7", b"7\n", b"-0", b"00"])
def test_texts_that_only_mean_a_number_are_keys_of_their_own(key: bytes) -> None:
    assert key_number(key) not in {key_number(str(int(key)).encode()), int(key)}


def test_many_rows_alike_give_the_probes_that_single_rows_give() -> None:
    """Rows that are alike are written many at a time, by another way."""
    together, alone = WalMeter("list", RUN), WalMeter("list", RUN)
    messages = [wire.insert(9, row(probe(number, intended_us=number))) for number in range(1, 100)]
    observe(together, (1, messages))
    for message in messages:
        observe(alone, (1, [message]))

    assert together.ledger.delivered()[1].delivered == 99
    assert together.ledger.arrivals().encode() == alone.ledger.arrivals().encode()

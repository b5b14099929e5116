"""The meter finds every record's probe and key, and its stages make up each event's whole
latency.
"""

from __future__ import annotations

import pytest

from cdc_users.measure.ledger.probe import Probe, format_probe
from infra.platform.transports.transport import Record
from infra.platform.wal.meter import WalMeter, key_number
from infra.platform.wal.replication.pump import TransactionChunk, TransactionPart
from infra.platform.wal.serialise.change_json import CommitSource

RUN = "meter123"


def probe(sequence: int, operation: str = "i", version: int = 1, intended_us: int = 1_000) -> str:
    return format_probe(
        Probe(RUN, 10_001, sequence, sequence, 0, 1, version, operation, intended_us, 0)
    )


def change(op: str, *, before: str | None = None, after: str | None = None) -> bytes:
    def row(text: str | None) -> str:
        return (
            "null"
            if text is None
            else f'{{"id":7,"note":"say \\"probe\\":\\"x\\"","probe":"{text}"}}'
        )

    text = (
        f'{{"op":"{op}","schema":"s","table":"t","before":{row(before)},'
        f'"after":{row(after)},"source":{{}}}}'
    )
    return text.encode()


def observe(meter: WalMeter, *parts: tuple[int, list[bytes]], read_us: int = 3_000) -> None:
    chunk = TransactionChunk(
        [TransactionPart(CommitSource(lsn, 2_000 + lsn, 1), values) for lsn, values in parts],
        sum(len(values) for _, values in parts),
        0,
        read_us,
        9,
    )
    encoded = [[Record("s", b"7", value) for value in values] for _, values in parts]
    meter.durable(chunk, encoded, started_us=4_000, done_us=5_000)


def test_events_are_counted_by_step_and_stages_sum_to_the_whole() -> None:
    meter = WalMeter("list", RUN, "probe")
    observe(
        meter,
        (1, [change("c", after=probe(1))]),
        (2, [change("u", before=probe(1), after=probe(2, "u", 2))]),
    )

    series = meter.steps[1].recorder.series
    assert meter.ledger.delivered()[1].delivered == 2
    assert series["end_to_end"].sum_us == 8_000
    assert sum(series[name].sum_us for name in ("commit", "read", "queue", "publish")) == 8_000
    assert series["commit"].sum_us == (2_001 - 1_000) + (2_002 - 1_000)


def test_a_delete_is_the_event_after_its_stamp() -> None:
    meter = WalMeter("list", RUN, "probe")
    stamp = format_probe(Probe(RUN, 10_001, 1, 1, 0, 2, 1, "s", 1_000, 0))
    observe(meter, (1, [change("u", before=None, after=stamp), change("d", before=stamp)]))

    assert meter.ledger.delivered()[1].delivered == 2
    assert meter.ledger.delivered()[1].duplicated == 0


def test_rows_without_a_probe_are_foreign_and_measured_by_nobody() -> None:
    meter = WalMeter("list", RUN, "probe")
    observe(meter, (1, [b'{"op":"c","before":null,"after":{"id":7}}', change("c", after="short")]))

    assert meter.steps == {}
    assert meter.ledger.arrivals().foreign == 2
    assert meter.durable_events == 2


@pytest.mark.parametrize(
    ("key", "number"), [(b"7", 7), (b"-9", -9), (b"9223372036854775807", 2**63 - 1)]
)
def test_whole_numbers_are_their_own_key(key: bytes, number: int) -> None:
    assert key_number(key) == number


@pytest.mark.parametrize("key", [b"", b"a\x00b", b"99999999999999999999999", b"\xff"])
def test_other_keys_are_hashed_into_64_bits(key: bytes) -> None:
    assert -(2**63) <= key_number(key) < 2**63

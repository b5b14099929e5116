"""Probes: one text, read singly and in bulk, with a checksum that does not depend on what carried
the row.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.ledger.probe import (
    PROBE_BYTES,
    Operation,
    Probe,
    ProbeError,
    checksum,
    format_probe,
    parse_probe,
    parse_probes,
)

RUN = "abcd1234"
probes = st.builds(
    Probe,
    run=st.just(RUN),
    writer=st.integers(0, 9_999_999),
    sequence=st.integers(0, 10**10 - 1),
    transaction=st.integers(0, 10**10 - 1),
    index=st.integers(0, 99_999),
    size=st.integers(0, 99_999),
    key_version=st.integers(0, 10**8 - 1),
    operation=st.sampled_from([str(operation) for operation in Operation]),
    intended_us=st.integers(0, 10**16 - 1),
    checksum=st.integers(0, 2**32 - 1),
)


@given(probes)
def test_parsing_gives_back_what_was_formatted(probe: Probe) -> None:
    text = format_probe(probe)

    assert len(text) == PROBE_BYTES
    assert text.isascii()
    assert parse_probe(text) == probe


@given(st.lists(probes, min_size=1, max_size=20))
def test_bulk_parsing_agrees_with_single_parsing(many: list[Probe]) -> None:
    batch = parse_probes([format_probe(probe).encode() for probe in many], RUN)

    assert batch.valid.all()
    for name in ("writer", "sequence", "key_version", "intended_us"):
        assert getattr(batch, name).tolist() == [getattr(probe, name) for probe in many]
    assert [chr(code) for code in batch.operation] == [probe.operation for probe in many]


@given(probes, st.binary(max_size=100))
def test_what_is_no_probe_of_this_run_is_not_valid_and_never_an_error(
    probe: Probe, junk: bytes
) -> None:
    other = format_probe(probe).replace(RUN, "zzzz9999").encode()

    batch = parse_probes([junk, other, format_probe(probe).encode()], RUN)

    assert batch.valid.tolist() == [False, False, True]


@pytest.mark.parametrize("text", ["", "P1", "x" * PROBE_BYTES, "P1" + "?" * (PROBE_BYTES - 2)])
def test_text_that_is_no_probe_is_refused_with_the_text(text: str) -> None:
    with pytest.raises(ProbeError, match="is not a probe"):
        parse_probe(text)


def test_the_checksum_does_not_depend_on_how_a_value_is_written() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    elsewhere = moment.astimezone(timezone(timedelta(hours=5, minutes=30)))

    assert checksum(1, 1, [Decimal("1.50"), moment]) == checksum(1, 1, [Decimal("1.5"), elsewhere])


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ([None], ["null"]),
        ([None], [""]),
        (["ab", "c"], ["a", "bc"]),
        (["1"], [1]),
        ([Decimal("0.1")], [Decimal("0.10000001")]),
        (["a" * 255], ["a" * 256]),
        ([b"a"], ["a"]),
    ],
)
def test_the_checksum_tells_values_apart(left: list[object], right: list[object]) -> None:
    assert checksum(1, 1, left) != checksum(1, 1, right)


def test_the_checksum_covers_key_and_version() -> None:
    assert len({checksum(1, 1, ["a"]), checksum(2, 1, ["a"]), checksum(1, 2, ["a"])}) == 3

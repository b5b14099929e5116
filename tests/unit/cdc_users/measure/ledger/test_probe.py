"""Probes: one text, read singly and in bulk, with a checksum that does not depend on what carried
the row.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc_users.measure.ledger.probe import (
    LANES_PER_STEP,
    LAYOUT,
    PROBE_BYTES,
    Operation,
    Probe,
    ProbeError,
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
    for name in set(LAYOUT) - {"run", "operation"}:
        assert getattr(batch, name).tolist() == [getattr(probe, name) for probe in many], name
    assert [chr(code) for code in batch.operation] == [probe.operation for probe in many]
    assert batch.step.tolist() == [probe.writer // LANES_PER_STEP for probe in many]


@settings(max_examples=300)
@given(probes, st.integers(0, PROBE_BYTES - 1), st.integers(0, 255))
def test_both_ways_of_reading_agree_on_what_a_damaged_probe_is(
    probe: Probe, place: int, byte: int
) -> None:
    text = bytearray(format_probe(probe).encode())
    text[place] = byte
    try:
        alone: Probe | None = parse_probe(bytes(text))
    except ProbeError:
        alone = None

    batch = parse_probes([bytes(text)], RUN)

    assert batch.valid[0] == (alone is not None and alone.run == RUN)
    if batch.valid[0]:
        assert batch.checksum[0] == alone.checksum  # type: ignore[union-attr]
        assert batch.transaction[0] == alone.transaction  # type: ignore[union-attr]


@pytest.mark.parametrize("digit", "\u0662²/:")
def test_only_ascii_digits_are_digits(digit: str) -> None:
    text = format_probe(Probe(RUN, 1, 2, 3, 0, 1, 1, "i", 5, 6))
    broken = text[:16] + digit + text[17:]

    with pytest.raises(ProbeError, match="its writer cannot be read"):
        parse_probe(broken)


def test_a_probe_says_everything_that_is_wrong_with_it() -> None:
    text = format_probe(Probe(RUN, 1, 2, 3, 0, 1, 1, "x", 5, 6)).replace("00000006", "0000000G")

    with pytest.raises(ProbeError, match="its operation, checksum cannot be read"):
        parse_probe(text)


def of_run(run: str) -> bytes:
    return format_probe(Probe(run, 1, 2, 3, 0, 1, 1, "i", 5, 6)).encode()


def test_a_short_run_is_padded_and_no_other_run_that_begins_like_it() -> None:
    batch = parse_probes([of_run("abc"), of_run("abcd"), of_run("ab")], "abc")

    assert batch.valid.tolist() == [True, False, False]


def test_nothing_at_all_is_a_batch_too() -> None:
    assert len(parse_probes([], RUN)) == 0


@given(st.lists(probes, min_size=1, max_size=12), st.data())
def test_a_delete_is_the_event_after_its_stamp(many: list[Probe], data: st.DataObject) -> None:
    deleted = data.draw(st.lists(st.booleans(), min_size=len(many), max_size=len(many)))
    batch = parse_probes([format_probe(probe).encode() for probe in many], RUN)

    found = batch.after_deletes(np.array(deleted))

    for row, (probe, gone) in enumerate(zip(many, deleted, strict=True)):
        stamped = probe.operation == Operation.STAMP
        step = int(gone and stamped)
        assert found.valid[row] == (stamped or not gone)
        assert found.sequence[row] == probe.sequence + step
        assert found.index[row] == probe.index + step
        assert found.key_version[row] == probe.key_version + step
        assert chr(found.operation[row]) == ("d" if gone else probe.operation)
        assert found.transaction[row] == probe.transaction


def test_rows_are_put_in_the_place_of_others_and_the_batch_stays_as_it_was() -> None:
    batch = parse_probes([of_run(RUN), b"", of_run(RUN)], RUN)
    other = parse_probes([format_probe(Probe(RUN, 9, 8, 7, 6, 5, 4, "s", 3, 2)).encode()], RUN)

    found = batch.with_rows({1: other})

    assert found.valid.tolist() == [True, True, True]
    assert found.writer.tolist() == [1, 9, 1]
    assert batch.valid.tolist() == [True, False, True]
    assert batch[np.array([2, 1])].valid.tolist() == [True, False]


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

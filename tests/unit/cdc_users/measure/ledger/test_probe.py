"""Probes: one text, read singly and in bulk, with a checksum that does not depend on what carried
the row.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc_users.measure.ledger.probe import (
    LANES_PER_STEP,
    LAYOUT,
    PROBE_BYTES,
    Json,
    Operation,
    Probe,
    ProbeError,
    canonical,
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


#: docs/probe.md has the forms: each value, and the bytes that stand for it.
FORMS = [
    (None, b"n;"),
    ("", b"t0:;"),
    ("\u00e4", b"t2:\xc3\xa4;"),
    (True, b"b1;"),
    (False, b"b0;"),
    (0, b"d0;"),
    (-7, b"d-7;"),
    (1.0, b"d1;"),
    (-0.0, b"d0;"),
    (1e21, b"d1000000000000000000000;"),
    (float("nan"), b"dnan;"),
    (float("-inf"), b"d-infinity;"),
    (Decimal("1.500"), b"d1.5;"),
    (Decimal("-0.00"), b"d0;"),
    (Decimal("1E+3"), b"d1000;"),
    (
        Decimal("1234567890123456789012345678901234567890.10"),
        b"d1234567890123456789012345678901234567890.1;",
    ),
    (b"\x00a", b"x2:\x00a;"),
    (bytearray(b"a"), b"x1:a;"),
    (memoryview(b"a"), b"x1:a;"),
    (date(1969, 12, 31), b"e-1;"),
    (datetime(1970, 1, 1, 0, 0, 0, 1), b"z1;"),
    (datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), b"z-1;"),
    (time(1, 2, 3, 4), b"h3723000004;"),
    (time(1, 0, tzinfo=timezone(timedelta(hours=2))), b"h82800000000;"),
    (timedelta(days=-1, microseconds=1), b"i-86399999999;"),
    (UUID(int=1), b"t36:00000000-0000-0000-0000-000000000001;"),
    ([1, None, "a"], b"a3:d1;n;t1:a;;"),
    ((), b"a0:;"),
    ({"b": 1.0, "a": [True, None, "x"]}, b'j32:{"a":[true,null,"x"],"b":1};'),
]


@pytest.mark.parametrize(("value", "form"), FORMS)
def test_a_value_has_the_form_of_the_page(value: object, form: bytes) -> None:
    if form.startswith(b"j"):
        form = b"j%d:" % (len(form) - len(b"j32:;")) + form[4:]
    assert canonical(value) == form


@given(st.lists(st.none() | st.text(max_size=3) | st.binary(max_size=3) | st.integers(-9, 9)))
def test_nothing_that_differs_runs_together(values: list[object]) -> None:
    joined = b"".join(map(canonical, values))

    assert canonical(values) == b"a%d:%s;" % (len(values), joined)
    for place in range(len(values)):
        for other in (None, "", "n;", 10, b"t0:"):
            if other != values[place] or type(other) is not type(values[place]):
                changed = [*values[:place], other, *values[place + 1 :]]
                assert b"".join(map(canonical, changed)) != joined


def test_a_json_document_is_its_content() -> None:
    one = Json.parse('{"a": 1.50, "b": [1e2, "x"]}')

    assert canonical(one) == canonical({"b": [100, "x"], "a": Decimal("1.5")})
    assert canonical(Json("x")) != canonical("x")
    assert canonical(Json(1)) != canonical(1)


def test_what_has_no_form_is_refused_by_its_type() -> None:
    with pytest.raises(TypeError, match="complex has no canonical form"):
        canonical(1j)
    with pytest.raises(ValueError, match="1000000000 digits has no canonical form"):
        canonical(Decimal("1e1000000000"))


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

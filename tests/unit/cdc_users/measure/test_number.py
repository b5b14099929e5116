"""Numbers as people write them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.judgement.threshold import parse_threshold
from cdc_users.measure.number import number, shown, whole
from cdc_users.measure.schedule.plan import LoadStage, parse_duration, parse_rate, parse_stages
from cdc_users.options.parse import Counts, factor
from cdc_users.users.workload.workload import parse_mix, parse_skew


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1000", 1000),
        ("1_000", 1000),
        ("10k", 10_000),
        ("1.5M", 1_500_000),
        ("2G", 2 * 10**9),
        ("1e6", 10**6),
        ("1E+3", 1000),
        ("0.1k", 100),
        (".5k", 500),
        ("-3", -3),
        (" 7 ", 7),
    ],
)
def test_one_number_can_be_written_in_several_ways(text: str, value: int) -> None:
    assert whole(text) == number(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "k", "1K", "1 k", "_1", "1_", "1__0", "²", "nan", "inf", "0x10", "1,000", "1e", "--1"],
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        number(text)


def test_a_fraction_is_no_whole_number() -> None:
    with pytest.raises(ValueError, match=r"'1.5' is not a whole number"):
        whole("1.5")


def test_a_number_of_a_million_digits_is_read_in_no_time() -> None:
    assert whole("9" * 1_000_000) == whole("1e999") == 10**30
    assert whole("-1e999") == -(10**30)


@given(st.integers(min_value=-(10**29), max_value=10**29))
def test_plain_digits_mean_what_int_says(value: int) -> None:
    assert whole(str(value)) == whole(f"{value:_}") == value
    assert number(str(value)) == Decimal(value)


def test_every_reader_of_numbers_takes_them_all() -> None:
    assert parse_rate("10k/s") == parse_rate("1e4") == parse_rate("10_000") == 10_000
    assert parse_duration("1_000ms") == parse_duration("0.001e3s") == 1
    assert parse_stages("1k->2k/s:1e1s") == (LoadStage(1000, 2000, 10),)
    assert Counts(10**6)("1k,1e3,1_000") == (1000,) * 3
    assert factor("0.01k") == 10
    assert parse_mix("insert=1e1,update=1_0") == (10, 10, 0)
    assert parse_skew("zipf:12e-1") == 1.2
    for text in (
        "throughput > 2_000/s",
        "throughput > 2e3",
        "throughput > 2k/s",
        "throughput > 2k",
    ):
        assert parse_threshold(text).value == 2000
    assert parse_threshold("lost <= 1_0k").value == 10_000
    assert parse_threshold("end_to_end.p99 < 1e-3s").value == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9" * 30, 10**30 - 1),
        ("1" + "0" * 30, 10**30),
        ("1e30", 10**30),
        ("-1e30", -(10**30)),
        ("1e20G", 10**29),
        ("1e21G", 10**30),
        ("0e999", 0),
        ("-0", 0),
        ("+5", 5),
        ("1.50k", 1500),
        ("0.001M", 1000),
        ("1500e-1", 150),
    ],
)
def test_a_whole_number_is_exact_up_to_thirty_digits(text: str, value: int) -> None:
    assert whole(text) == value


@pytest.mark.parametrize("text", ["0.5", "1.5e0", "0.0001k", "1e-1", "1e-999", "1.0000000001"])
def test_what_is_left_after_the_point_makes_no_whole_number(text: str) -> None:
    with pytest.raises(ValueError, match="is not a whole number"):
        whole(text)


def test_what_is_no_number_at_all_is_no_whole_number_by_the_same_words() -> None:
    with pytest.raises(ValueError, match=r"^'ten' is not a whole number$"):
        whole("ten")


@pytest.mark.parametrize(
    ("length", "told"), [(40, "'" + "x" * 40 + "'"), (41, "'" + "x" * 40 + "…'")]
)
def test_a_text_is_shown_up_to_forty_characters(length: int, told: str) -> None:
    assert shown("x" * length) == told
    with pytest.raises(ValueError, match="is not a number") as caught:
        number("x" * length)
    assert str(caught.value).startswith(told)


def test_more_digits_than_arithmetic_keeps_are_kept() -> None:
    text = "1234567890123456789012345678901234567890.5"

    assert number(f"{text}k") == Decimal("1234567890123456789012345678901234567890500")

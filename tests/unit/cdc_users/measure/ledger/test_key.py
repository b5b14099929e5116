"""One number for a key, whatever carried it."""

from __future__ import annotations

import hashlib
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cdc_users.measure.ledger.key import SEPARATOR, key_number, key_of_columns


@given(number=st.integers(-(2**63), 2**63 - 1))
@example(number=2**63 - 1)
@example(number=-(2**63))
@example(number=10**18)
def test_a_number_is_itself_also_as_text(number: int) -> None:
    assert key_number(number) == key_number(str(number)) == number


@given(text=st.text())
def test_any_text_has_a_number_of_64_bits(text: str) -> None:
    assert -(2**63) <= key_number(text) < 2**63


def test_a_uuid_is_its_text() -> None:
    key = UUID(int=7)

    assert key_number(key) == key_number(str(key))


def test_several_columns_are_one_text_with_a_sign_between_them() -> None:
    text = SEPARATOR.join(("1", "a"))
    first = hashlib.sha256(text.encode()).digest()[:8]

    assert key_of_columns([1, "a"]) == int.from_bytes(first, "big", signed=True)
    assert key_of_columns([5]) == 5


def digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**19, 10**30])
def test_a_number_of_more_than_64_bits_is_known_by_its_text(number: int) -> None:
    assert key_number(number) == key_number(str(number)) == digest(str(number))


@pytest.mark.parametrize(
    ("text", "number"), [("-0", 0), ("007", 7), ("-007", -7), ("0000000000000000001", 1)]
)
def test_a_text_of_digits_is_the_number_that_postgresql_casts_it_to(text: str, number: int) -> None:
    assert key_number(text) == number


@pytest.mark.parametrize(
    "text", ["", "-", "--5", "+5", " 5", "5 ", "1_000", "1.0", "0x1", "²", "٣", "0" * 20]
)
def test_any_other_text_is_no_number(text: str) -> None:
    assert key_number(text) == digest(text)


def test_a_truth_value_is_a_text() -> None:
    assert key_number(True) == digest("True")
    assert key_number(None) == digest("None")


def test_columns_are_kept_apart_in_their_order() -> None:
    found = {
        key_of_columns(columns) for columns in (["ab", "c"], ["a", "bc"], ["c", "ab"], ["ab\x1f"])
    }

    assert len(found) == 4
    assert key_of_columns([1, 2]) == key_of_columns(["1", "2"])

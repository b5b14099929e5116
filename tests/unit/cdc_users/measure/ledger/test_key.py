"""One number for a key, whatever carried it."""

from __future__ import annotations

import hashlib
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from cdc_users.measure.ledger.key import SEPARATOR, key_number, key_of_columns


@given(number=st.integers(-(10**17), 10**17))
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

"""Messages are decoded once, and another protocol is one clear error."""

from __future__ import annotations

import pytest

from cdc_users.measure.wire import PROTOCOL, Versioned, WireError, decode, encode


class Question(Versioned, kw_only=True, frozen=True):
    """A message of this test."""

    number: int


def test_a_message_comes_as_it_went() -> None:
    assert decode(encode(Question(number=3)), Question, "it") == Question(number=3)


@pytest.mark.parametrize("line", ['{"protocol": 99, "number": 3}', '{"protocol": 99}'])
def test_another_protocol_is_told_before_anything_else(line: str) -> None:
    with pytest.raises(WireError, match=f"it speaks protocol 99 and this process {PROTOCOL}"):
        decode(line, Question, "it")


def test_what_is_missing_is_named() -> None:
    with pytest.raises(WireError, match=r"it sent something else than a Question: .*`number`"):
        decode("{}", Question, "it")

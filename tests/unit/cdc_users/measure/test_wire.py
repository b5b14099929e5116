"""Messages are decoded once, and another protocol is one clear error."""

from __future__ import annotations

import msgspec
import pytest

from cdc_users.measure.wire import PROTOCOL, Versioned, WireError, decode, encode


class Question(Versioned, kw_only=True, frozen=True):
    """A message of this test."""

    number: int


class Note(Versioned, kw_only=True, frozen=True):
    """Another, with a text."""

    number: int = 0
    text: str = ""


class Plain(msgspec.Struct):
    """One that does not say by which protocol it was made."""

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


@pytest.mark.parametrize(
    "data",
    [
        b'{"number": 3, "text": "\xff"}',
        b"\xff\xfe",
        b'{"number": 3, "text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        '{"number": 3, "text": "\ud800"}',
        b"",
        b"null",
        b'{"number": 3} and more',
        b'{"number": 3.5}',
    ],
    ids=["text", "bytes", "depth", "surrogate", "nothing", "null", "more", "fraction"],
)
def test_what_is_no_message_is_one_error_that_names_its_sender(data: bytes | str) -> None:
    with pytest.raises(WireError, match="the platform sent something else than a Note"):
        decode(data, Note, "the platform")


def test_another_protocol_is_told_also_where_the_rest_cannot_be_read() -> None:
    with pytest.raises(WireError, match="speaks protocol 99"):
        decode(b'{"text": 5, "protocol": 99}', Note, "it")


@pytest.mark.parametrize("protocol", ['"two"', "null", "1.5"])
def test_a_protocol_that_is_no_number_is_no_other_protocol(protocol: str) -> None:
    with pytest.raises(WireError, match="something else than a Note"):
        decode(f'{{"number": 3, "protocol": {protocol}}}', Note, "it")


def test_a_message_without_a_version_is_of_any() -> None:
    assert decode('{"number": 3, "protocol": 99}', Plain, "it") == Plain(number=3)
    with pytest.raises(WireError, match="speaks protocol 99"):
        decode('{"protocol": 99}', Plain, "it")


def test_a_message_is_one_line_and_says_its_protocol() -> None:
    line = encode(Note(number=3, text="a\nb"))

    assert b"\n" not in line
    assert f'"protocol":{PROTOCOL}'.encode() in line


def test_what_is_no_struct_travels_too() -> None:
    assert decode(encode({"a": [1]}), dict[str, list[int]], "it") == {"a": [1]}
    with pytest.raises(WireError, match="it sent something else than a dict"):
        decode(b'{"a": 1}', dict[str, list[int]], "it")

"""Options: each is checked where it was given, and everything wrong is told at once."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from infra.platform.process import argument
from infra.platform.process.argument import Argument, argument_parser, missing, text_mistakes

LIMIT = Argument("--a-limit", "how much, at 100% of it", "5", argument.whole(1))
PLACE = Argument("--place", "where", "", argument.url)
NEEDED = Argument("--needed", "what", None, argument.topic)
ALL = (LIMIT, PLACE, NEEDED)


def given(*texts: str) -> argparse.Namespace:
    return argument_parser("it", "Does it.", ALL).parse_args(texts)


def test_options_stay_texts_and_have_their_defaults() -> None:
    options = given("--needed", "t")

    assert (options.a_limit, options.place, options.needed) == ("5", "", "t")
    assert LIMIT.name == "a_limit"


def test_all_that_is_wrong_is_told_together_in_the_order_of_the_options() -> None:
    options = given("--needed", "no topic", "--place", "nowhere", "--a-limit", "0")

    found = text_mistakes(ALL, options, {})

    assert [mistake.split()[0] for mistake in found] == ["--a-limit", "--place", "--needed"]


def test_an_option_that_was_left_out_is_not_checked_and_one_that_is_empty_is() -> None:
    assert text_mistakes(ALL, given("--needed", "t", "--place", ""), {}) == []
    assert text_mistakes(ALL, given("--needed", "t", "--a-limit", ""), {}) == [
        "--a-limit '' is not a whole number of at least 1"
    ]
    assert text_mistakes(ALL, given("--needed", ""), {}) == ["--needed '' is no name of a topic"]


def test_help_can_have_a_percent_sign_and_says_what_holds() -> None:
    shown = " ".join(argument_parser("it", "Does it.", ALL).format_help().split())

    assert "how much, at 100% of it (default: 5)" in shown
    assert "where (default: none)" in shown
    assert "what (default" not in shown


def test_what_is_needed_and_was_left_out_is_named_with_the_reason() -> None:
    options = argparse.Namespace(one_thing="", other_thing="x")

    assert missing(options, "--sink it", ["--one-thing", "--other-thing"]) == [
        "--sink it needs --one-thing"
    ]


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (argument.whole(0), ["0", "1", "9" * 12], ["-1", "", "1.0", "1e3", " 1", "٣", "0x1", "+1"]),
        (argument.whole(2), ["2", "3"], ["1", "0"]),
        (argument.one_of("a", "b"), ["a", "b"], ["", "A", "a,b", "c"]),
        (argument.yes_or_no, ["yes", "no"], ["", "Yes", "true", "1"]),
        (argument.listening_port, ["0", "1", "65535"], ["65536", "-1", "", "http"]),
        (argument.brokers, ["h:1", "h:1,i:65535", "[::1]:9092"], ["", "h", "h:0", "h:1,", ",h:1"]),
        (argument.topics, ["a", "a,b.c_d-e"], ["", "a,", ",a", "a b", "a,,b", "ä"]),
        (argument.topic, ["a", "x" * 249], ["", "x" * 250, ".", "..", "a/b", "a,b", "a\n"]),
        (argument.table, ["s.t"], ["", "t", "s.", ".t", "a.b.c", "."]),
        (argument.column, ["probe", "p_1"], ["", "a b", 'a"b', "a.b"]),
    ],
)
def test_what_is_right_and_what_is_wrong(
    check: argument.Check, right: list[str], wrong: list[str]
) -> None:
    assert [text for text in right if check("--it", text, {})] == []
    assert [text for text in wrong if not check("--it", text, {})] == []
    assert all(mistake.startswith("--it ") for text in wrong for mistake in check("--it", text, {}))


def test_each_wrong_topic_is_told_by_its_name() -> None:
    found = argument.topics("--topic", "good,b d,,also.good", {})

    assert len(found) == 2
    assert "'b d'" in found[0]


@pytest.mark.parametrize("text", ["http://bob:secret@h/", "http://secret@h/", "ftp://secret", "s"])
def test_an_address_with_a_login_is_refused_and_not_repeated(text: str) -> None:
    (mistake,) = argument.url("--it", text, {})

    assert "secret" not in mistake


def test_a_place_to_write_to_is_a_directory(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x", encoding="utf-8")

    assert argument.writable("--it", str(tmp_path), {}) == []
    assert argument.writable("--it", str(tmp_path / "new" / "deeper"), {}) == []
    assert len(argument.writable("--it", str(file), {})) == 1
    assert argument.file("--it", str(file), {}) == []
    assert len(argument.file("--it", str(tmp_path), {})) == 1

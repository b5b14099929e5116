"""A worker that is given many options makes Locust's parser once."""

from __future__ import annotations

from typing import Any

import pytest
from locust import argument_parser

from cdc_users.run.locust.worker_options import DERIVED, derive_once, know_locusts_options

pytestmark = pytest.mark.gevent


def test_locusts_own_options_are_asked_for_once_and_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = getattr(argument_parser.default_args_dict, "__wrapped__", None)
    original = original or argument_parser.default_args_dict
    monkeypatch.setattr(argument_parser, "default_args_dict", original)
    expected, made = original(), []
    make = argument_parser.get_empty_argument_parser

    def counted() -> object:
        made.append(1)
        return make()

    monkeypatch.setattr(argument_parser, "get_empty_argument_parser", counted)
    know_locusts_options()
    know_locusts_options()

    assert [argument_parser.default_args_dict() for _ in range(50)] == [expected] * 50
    assert len(made) == 1


def test_what_the_form_asks_of_a_parser_is_derived_once_and_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parser_class = argument_parser.LocustArgumentParser
    looks = []
    for name in DERIVED:
        derived = vars(parser_class)[name]
        original = getattr(derived, "fget", None) or derived.func

        def counted(
            parser: argument_parser.LocustArgumentParser, original: Any = original
        ) -> object:
            looks.append(1)
            return original(parser)

        monkeypatch.setattr(parser_class, name, property(counted))
    expected = argument_parser.ui_extra_args_dict([])
    before = len(looks)
    looks.clear()
    derive_once()
    derive_once()

    assert argument_parser.ui_extra_args_dict([]) == expected
    assert len(looks) <= len(DERIVED) < before

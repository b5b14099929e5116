"""The form's groups: every option once, none of those that belong to the command line."""

from __future__ import annotations

from collections import Counter

from cdc_users.options import OPTIONS
from cdc_users.web import form


def test_every_option_stands_in_exactly_one_group() -> None:
    counts = Counter(option.name for options in form.grouped().values() for option in options)

    assert counts == {option.name: 1 for option in OPTIONS if option.name not in form.NOT_IN_FORM}


def test_what_is_kept_out_of_the_form_exists() -> None:
    assert set(form.NOT_IN_FORM) <= {option.name for option in OPTIONS}


def test_a_value_that_the_command_line_gave_may_come_back_from_the_form() -> None:
    assert form.forbidden({"platform": "reference"}, {"platform": "reference"}, frozenset()) == []
    assert form.forbidden({"platform": ""}, {"platform": None}, frozenset()) == []
    assert form.forbidden({"platform": "rm -rf /"}, {"platform": "reference"}, frozenset()) == ["--platform"]

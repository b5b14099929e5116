"""The groups: every option once, none of those that belong to the command line."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields

from cdc_users.options import groups
from cdc_users.options.options import OPTIONS, Options


def test_every_option_stands_in_exactly_one_group() -> None:
    counts = Counter(option.name for options in groups.grouped().values() for option in options)

    assert counts == {option.name: 1 for option in OPTIONS} == dict.fromkeys(field_names(), 1)


def test_what_could_run_a_command_or_write_is_kept_out_of_the_form() -> None:
    shown = {option.name for options in groups.form_groups().values() for option in options}

    assert {"platform", "results", "allow_target"} <= set(groups.NOT_IN_FORM)
    assert shown == set(field_names()) - set(groups.NOT_IN_FORM)


def field_names() -> list[str]:
    """All but what parts and scenarios bring along, which has groups of its own."""
    return [field.name for field in fields(Options) if field.name != "own"]

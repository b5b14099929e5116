"""The groups: every option once, none of those that belong to the command line."""

from __future__ import annotations

from collections import Counter

from cdc_users.options import groups
from cdc_users.options.options import OPTIONS


def test_every_option_stands_in_exactly_one_group() -> None:
    counts = Counter(option.name for options in groups.grouped().values() for option in options)

    assert counts == {option.name: 1 for option in OPTIONS if option.name not in groups.NOT_IN_FORM}


def test_what_is_kept_out_of_the_form_exists() -> None:
    assert set(groups.NOT_IN_FORM) <= {option.name for option in OPTIONS}

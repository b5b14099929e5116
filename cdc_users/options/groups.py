"""The groups of options in form and page, and the options that the form may not set."""

from __future__ import annotations

from collections.abc import Iterable

from cdc_users.options.options import OPTIONS
from cdc_users.options.table.record import Option

#: The options for the command line only, each with the reason.
NOT_IN_FORM = {option.name: option.kept_from_form for option in OPTIONS if option.kept_from_form}


def grouped(options: Iterable[Option] = OPTIONS) -> dict[str, list[Option]]:
    """Options by the title of their group, in the table's order."""
    groups: dict[str, list[Option]] = {}
    for option in options:
        groups.setdefault(option.group, []).append(option)
    return groups


def form_groups() -> dict[str, list[Option]]:
    """The options that the form may set, by group."""
    return grouped(option for option in OPTIONS if option.name not in NOT_IN_FORM)

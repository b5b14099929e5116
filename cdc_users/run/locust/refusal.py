"""Reports mistakes in options, for every part of the start that finds some."""

from __future__ import annotations

import sys
from typing import NoReturn

from cdc_users.error import OptionsError


def refuse(error: OptionsError) -> NoReturn:
    """Report all mistakes and end the process."""
    explain(error)
    sys.exit(error.exit_code)


def explain(error: OptionsError) -> None:
    """Report all mistakes."""
    print("These options cannot be used:", file=sys.stderr)
    for mistake in error.mistakes:
        print(f"  {mistake}", file=sys.stderr)

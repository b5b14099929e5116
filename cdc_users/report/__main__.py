"""`python -m cdc_users.report DIR...` prints the tables of runs, and makes their reports again."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from cdc_users.error import ResultError
from cdc_users.report.remake import read, write
from cdc_users.report.table import render, terminal_width


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m cdc_users.report",
        description=(
            "Print the tables of runs that have ended, and make their report.html and"
            " statistics.csv again."
        ),
        epilog="for example: python -m cdc_users.report results/*/",
    )
    top.add_argument(
        "place",
        metavar="DIR",
        nargs="+",
        type=Path,
        help="a run's directory: the one with result.json",
    )
    return top


def main(arguments: Sequence[str]) -> int:
    """Print the reports of result directories, and make their files again."""
    try:
        for place in parser().parse_args(arguments).place:
            result = read(place)
            write(place, result)
            print(render(result, place, terminal_width()))
    except ResultError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as any program that `| head` ends
    sys.exit(main(sys.argv[1:]))

"""One option of a process of the platform, declared once: `--help`, default and check come from the
same record.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.platform.process.address import url_mistakes
from infra.schemas.envelope import is_probe_column
from infra.validate import MOST_PORT, are_addresses, dsn_mistakes, is_topic, is_whole, unwritable

#: Takes an option's flag and text, and returns the mistakes as sentences.
Check = Callable[[str, str, Mapping[str, str]], list[str]]


def anything(flag: str, text: str, environ: Mapping[str, str]) -> list[str]:  # noqa: ARG001 - a check that finds nothing
    """Accept every text."""
    return []


@dataclass(frozen=True, slots=True)
class Argument:
    """An option of a platform process.

    A `default` of None means that the option is required. `check` gets every text except an empty
    default, which stands for "not given".
    """

    flag: str
    help: str
    default: str | None = ""
    check: Check = anything

    @property
    def name(self) -> str:
        """The attribute that argparse gives it."""
        return self.flag.removeprefix("--").replace("-", "_")


class _DefaultsShown(argparse.HelpFormatter):
    """Shows the default of every option that may be left out."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.required or action.default == argparse.SUPPRESS:
            return action.help
        return f"{action.help} (default: {action.default or 'none'})"


def argument_parser(
    program: str, description: str, arguments: Iterable[Argument]
) -> argparse.ArgumentParser:
    """The command line. All options stay texts here; `text_mistakes` checks them together."""
    top = argparse.ArgumentParser(
        prog=program, description=description, formatter_class=_DefaultsShown
    )
    for argument in arguments:
        text = argument.help.replace("%", "%%")
        if argument.default is None:
            top.add_argument(argument.flag, required=True, help=text)
        else:
            top.add_argument(argument.flag, default=argument.default, help=text)
    return top


def text_mistakes(
    arguments: Iterable[Argument], options: argparse.Namespace, environ: Mapping[str, str]
) -> list[str]:
    """The mistakes in each option by itself."""
    return [
        mistake
        for argument in arguments
        if (text := getattr(options, argument.name)) or text != argument.default
        for mistake in argument.check(argument.flag, text, environ)
    ]


def missing(options: argparse.Namespace, why: str, flags: Iterable[str]) -> list[str]:
    """A mistake for each of these options that was left out."""
    return [
        f"{why} needs {flag}"
        for flag in flags
        if not getattr(options, flag.removeprefix("--").replace("-", "_"))
    ]


def whole(least: int) -> Check:
    """A whole number of at least so much."""

    def check(flag: str, text: str, _: Mapping[str, str]) -> list[str]:
        if is_whole(text, least):
            return []
        return [f"{flag} {text!r} is not a whole number of at least {least}"]

    return check


def one_of(*words: str) -> Check:
    """One of these words."""

    def check(flag: str, text: str, _: Mapping[str, str]) -> list[str]:
        return [] if text in words else [f"{flag} {text!r} is not one of {', '.join(words)}"]

    return check


def yes_or_no(flag: str, text: str, _: Mapping[str, str]) -> list[str]:
    """Yes or no."""
    return [] if text in ("yes", "no") else [f"{flag} {text!r} is neither yes nor no"]


def listening_port(flag: str, text: str, _: Mapping[str, str]) -> list[str]:
    """A port to listen on, or 0."""
    if is_whole(text, 0, MOST_PORT):
        return []
    return [f"{flag} {text!r} is not a port, at most {MOST_PORT}, or 0 for a free one"]


def column(flag: str, text: str, _: Mapping[str, str]) -> list[str]:
    """A column's name that every sink can have."""
    return [] if is_probe_column(text) else [f"{flag} {text!r} is not a plain column name"]


def brokers(flag: str, text: str, _: Mapping[str, str]) -> list[str]:
    """Kafka's addresses."""
    return [] if are_addresses(text) else [f"{flag} {text!r} is not HOST:PORT[,HOST:PORT...]"]


def url(flag: str, text: str, _: Mapping[str, str]) -> list[str]:
    """An HTTP address without a login; it is not repeated."""
    return url_mistakes(flag, text)


def topic(flag: str, text: str, _: Mapping[str, str]) -> list[str]:
    """The name of a Kafka topic."""
    return [] if is_topic(text) else [f"{flag} {text!r} is no name of a topic"]


def topics(flag: str, text: str, _: Mapping[str, str]) -> list[str]:
    """Names of Kafka topics, by comma."""
    return [
        f"{flag} {name!r} is no name of a topic; write names by comma"
        for name in text.split(",")
        if not is_topic(name)
    ]


def dsn(flag: str, text: str, environ: Mapping[str, str]) -> list[str]:
    """Where a PostgreSQL is, without a password; it is not repeated."""
    return [f"{flag} {mistake}" for mistake in dsn_mistakes(text, environ)]


def table(flag: str, text: str, _: Mapping[str, str]) -> list[str]:
    """Two names with a dot between them."""
    if len([part for part in text.split(".") if part]) == 2:
        return []
    return [f"{flag} {text!r} is not two names with a dot between them"]


def writable(flag: str, text: str, _: Mapping[str, str]) -> list[str]:
    """A directory, there or not yet, that can be written to."""
    why = unwritable(Path(text))
    return [f"{flag} {text!r}: {why}; name a directory that can be written to"] if why else []


def file(flag: str, text: str, _: Mapping[str, str]) -> list[str]:
    """A file that is there."""
    return [] if Path(text).is_file() else [f"{flag} {text!r} is no file"]

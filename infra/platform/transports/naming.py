"""Names of topics and streams: from prefix, schema and table to a name that a service allows, and
back.

A name is `prefix.schema.table`. Letters, digits and underscores stand for themselves; every run of
other characters is written as `-`, its UTF-8 bytes in hexadecimal, `-`: the table `order-items` of
`public` becomes `cdc.public.order-2d-items`. So any identifier that Postgres allows can be named
and read back, within the service's limit on length.

Limits: Kafka, clients/.../internals/Topic.java (which also refuses topics that differ only in dots
and underscores, so underscores of prefix and schema are escaped there); Kinesis, API reference of
CreateStream; Pub/Sub, "Guidelines to name a topic".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from infra.platform.process.error import PlatformError

_OTHER = re.compile(r"[^A-Za-z0-9_]+")
_OTHER_OR_UNDERSCORE = re.compile(r"[^A-Za-z0-9]+")
_UNESCAPED = re.compile(r"-((?:[0-9a-f]{2})+)-")


class NamingError(PlatformError, ValueError):
    """A table that the service cannot name, or a name that this module did not make; the message
    says why.
    """


@dataclass(frozen=True, slots=True)
class TableName:
    """The table that a name stands for."""

    prefix: str
    schema: str
    table: str


@dataclass(frozen=True, slots=True)
class Naming:
    """A service's rules: lengths in characters, and the starts that it refuses."""

    service: str
    most: int
    least: int = 1
    letter_first: bool = False
    refused_start: str = ""
    dots_are_underscores: bool = False

    def name(self, prefix: str, schema: str, table: str) -> str:
        """The name of a table's topic or stream; raises NamingError if the service allows none."""
        if not (prefix and schema and table) or "\0" in prefix + schema + table:
            raise NamingError(
                f"prefix {prefix!r}, schema {schema!r} and table {table!r} must not be empty or"
                " hold zeros"
            )
        outer = _OTHER_OR_UNDERSCORE if self.dots_are_underscores else _OTHER
        name = ".".join((_escape(prefix, outer), _escape(schema, outer), _escape(table, _OTHER)))
        self._check(name)
        return name

    def table(self, name: str) -> TableName:
        """The table with this name; raises NamingError for a name that `name` does not make."""
        parts = name.split(".")
        if len(parts) != 3:
            raise NamingError(f"{name!r} is not prefix.schema.table")
        try:
            read = TableName(*map(_unescape, parts))
        except UnicodeDecodeError as error:
            raise NamingError(f"{name!r} has escapes that are no UTF-8: {error}") from error
        # A name in another form (capital hexadecimal, a needless escape) would be a second name of
        # the same table.
        if self.name(read.prefix, read.schema, read.table) != name:
            raise NamingError(f"{name!r} is not written as {self.service} names are written here")
        return read

    def _check(self, name: str) -> None:
        if not self.least <= len(name) <= self.most:
            raise NamingError(
                f"{name!r} has {len(name)} characters, {self.service} allows {self.least} to"
                f" {self.most}; choose another prefix or leave the table out of the publication"
            )
        if self.letter_first and not name[0].isalpha():
            raise NamingError(
                f"{name!r} does not start with a letter, which {self.service} asks for; choose"
                " another prefix"
            )
        if self.refused_start and name.lower().startswith(self.refused_start):
            raise NamingError(
                f"{name!r} starts with {self.refused_start!r}, which {self.service} reserves;"
                " choose another prefix"
            )


KAFKA = Naming("Kafka", most=249, dots_are_underscores=True)
KINESIS = Naming("Kinesis", most=128)
PUBSUB = Naming("Pub/Sub", most=255, least=3, letter_first=True, refused_start="goog")


def _escape(part: str, other: re.Pattern[str]) -> str:
    # Nearly no name needs an escape, and an unsuccessful search is the cheapest test for that.
    if other.search(part) is None:
        return part
    try:
        return other.sub(lambda run: f"-{run.group().encode().hex()}-", part)
    except UnicodeEncodeError as error:
        raise NamingError(f"{part!r} is no text that Postgres can hold: {error}") from error


def _unescape(part: str) -> str:
    return (
        _UNESCAPED.sub(lambda run: bytes.fromhex(run.group(1)).decode(), part)
        if "-" in part
        else part
    )

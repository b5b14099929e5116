"""Reads the conditions of CHECK constraints on single columns, if they have no other ones. Pure.

It reads comparisons of a column or its length with a constant, lists of allowed values, and several
of these joined by AND, in the form of pg_get_constraintdef. Any other CHECK needs a row maker by
somebody who knows its meaning.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from decimal import Decimal

_TEXT = r"'(?:[^']|'')*'"
#: The casts that PostgreSQL adds to constants, and to columns of other types than the operator's;
#: what stands in quotes is no cast.
_CAST = re.compile(
    rf"({_TEXT}|\"(?:[^\"]|\"\")*\")"
    r"|::(?:character varying|double precision|[a-z_0-9]+)(?:\(\d+(?:,\d+)?\))?(?:\[\])?"
)
_NAME = r'("(?:[^"]|"")+"|\w+)'
_NUMBER = r"\(?'?(-?\d+(?:\.\d+)?)'?\)?"
_COMPARED = re.compile(rf"^\(?{_NAME}\)? (>=|<=|<>|>|<|=) {_NUMBER}$")
_LENGTH = re.compile(
    rf"^(?:length|char_length|character_length)\(\(?{_NAME}\)?\) (>=|<=|>|<|=) {_NUMBER}$"
)
_CONSTANT = rf"(?:{_TEXT}|\(?-?\d+(?:\.\d+)?\)?)"
_ONE_OF = re.compile(rf"^\(?{_NAME}\)? = ANY \(\(?ARRAY\[({_CONSTANT}(?:, {_CONSTANT})*)\]\)?\)$")
_IS = re.compile(rf"^\(?{_NAME}\)? = ({_TEXT})$")
_NOT_EMPTY = re.compile(rf"^\(?{_NAME}\)? <> ''$")
_NOT_NULL = re.compile(rf"^\(?{_NAME}\)? IS NOT NULL$")
_LITERAL = re.compile(r"'((?:[^']|'')*)'|(-?\d+(?:\.\d+)?)")
_FLIPPED = re.compile(rf"^{_NUMBER} (>=|<=|>|<) \(?{_NAME}\)?$")
_OTHER_WAY = {">": "<", "<": ">", ">=": "<=", "<=": ">="}


@dataclass(frozen=True, slots=True)
class Demand:
    """The condition on a column: bounds of its number or its length, or one of some texts.

    With `above` or `below` the bound itself is not allowed.
    """

    low: Decimal | None = None
    high: Decimal | None = None
    above: bool = False
    below: bool = False
    labels: tuple[str, ...] = ()
    of_length: bool = False
    required: bool = False

    def least(self, unit: int) -> int | None:
        """The smallest allowed value, in units of which `unit` make 1."""
        if self.low is None:
            return None
        least = self.low * unit
        return math.floor(least) + 1 if self.above else math.ceil(least)

    def most(self, unit: int) -> int | None:
        """The largest allowed value, in the same units as `least`."""
        if self.high is None:
            return None
        most = self.high * unit
        return math.ceil(most) - 1 if self.below else math.floor(most)


def demands(definition: str) -> list[tuple[str, Demand]] | None:
    """A CHECK's demands by column; None if it has conditions that this module does not read.

    A domain's column is called VALUE.
    """
    body = definition.removeprefix("CHECK ").removesuffix(" NOT VALID").removesuffix(" NO INHERIT")
    found = []
    for part in _conjuncts(_CAST.sub(lambda cast: cast[1] or "", body)):
        demand = _demand(part)
        if demand is None:
            return None
        found.append(demand)
    return found


def _conjuncts(text: str) -> list[str]:
    text = _bare(text)
    parts, depth, quoted, start = [], 0, False, 0
    for place, letter in enumerate(text):
        if letter == "'":
            quoted = not quoted
        elif not quoted:
            depth += {"(": 1, ")": -1}.get(letter, 0)
            if depth == 0 and text.startswith(" AND ", place):
                parts.append(text[start:place])
                start = place + 5
    if not parts:
        return [text]
    return [one for part in (*parts, text[start:]) for one in _conjuncts(part)]


def _bare(text: str) -> str:
    """The text without brackets that enclose all of it."""
    text = text.strip()
    while text.startswith("(") and _closing(text) == len(text) - 1:
        text = text[1:-1].strip()
    return text


def _closing(text: str) -> int:
    depth, quoted = 0, False
    for place, letter in enumerate(text):
        if letter == "'":
            quoted = not quoted
        elif not quoted:
            depth += {"(": 1, ")": -1}.get(letter, 0)
            if depth == 0:
                return place
    return -1


def _demand(text: str) -> tuple[str, Demand] | None:
    if found := _FLIPPED.match(text):
        number, operator, name = found.groups()
        text = f"{name} {_OTHER_WAY[operator]} {number}"
    if found := _COMPARED.match(text):
        name, operator, number = found.groups()
        return _plain(name), _bounds(operator, number)
    if found := _LENGTH.match(text):
        name, operator, number = found.groups()
        bounds = _bounds(operator, number)
        return _plain(name), replace(bounds, of_length=True)
    if found := _ONE_OF.match(text) or _IS.match(text):
        texts = [text.replace("''", "'") or number for text, number in _LITERAL.findall(found[2])]
        return _plain(found[1]), Demand(labels=tuple(texts))
    if found := _NOT_EMPTY.match(text):
        return _plain(found[1]), Demand(low=Decimal(1), of_length=True)
    if found := _NOT_NULL.match(text):
        return _plain(found[1]), Demand(required=True)
    return None


def _plain(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _bounds(operator: str, text: str) -> Demand:
    number = Decimal(text)
    match operator:
        case ">" | "<>":
            return Demand(low=number, above=True)
        case ">=":
            return Demand(low=number)
        case "<":
            return Demand(high=number, below=True)
        case "<=":
            return Demand(high=number)
    return Demand(low=number, high=number)

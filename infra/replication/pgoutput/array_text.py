"""The text forms of arrays and ranges (PostgreSQL documentation, "Array Input and Output Syntax",
"Range Types").
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

#: A quoted element, a bare one, or a mark; everything between the outer braces consists of these.
_ARRAY = re.compile(r'"((?:[^"\\]|\\.)*)"|([^{},"\\]+)|([{},])', re.DOTALL)
_DIMENSIONS = re.compile(r"(?:\[[+-]?\d+:[+-]?\d+\])+=")
_BOUND = r'(?:"((?:[^"\\]|\\.|"")*)"|([^"(),\[\]\\]*))'
_RANGE = re.compile(rf"[\[(]{_BOUND},{_BOUND}[\])]", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED_BOUND = re.compile(r'\\(.)|"(")', re.DOTALL)
DEEPEST = 6


def read_array(text: str, convert: Callable[[str], Any]) -> list[Any]:
    """The elements, in nested lists for several dimensions; raises ValueError for malformed
    text.
    """
    bounds = _DIMENSIONS.match(text)
    position = bounds.end() if bounds else 0
    root: list[Any] = []
    open_lists = [root]
    value_may_follow = True
    # One regular expression finds the next piece of any kind. A loop over characters would be a
    # step of the interpreter for each; a regular expression for the whole text cannot count braces.
    while position < len(text):
        token = _ARRAY.match(text, position)
        if token is None or len(open_lists) > DEEPEST + 1:
            raise ValueError(f"the array cannot be read at character {position}")
        position = token.end()
        mark = token.group(3)
        if mark is None or mark == "{":
            if not value_may_follow or (mark is None and len(open_lists) == 1):
                raise ValueError(f"an element stands where none may, before character {position}")
            value_may_follow = mark == "{"
        elif value_may_follow and (mark == "," or open_lists[-1]):
            raise ValueError(f"an element is missing before character {position}")
        if mark is None:
            open_lists[-1].append(_element(token, convert))
        elif mark == "{":
            open_lists[-1].append([])
            open_lists.append(open_lists[-1][-1])
        elif mark == "}":
            open_lists.pop()
            value_may_follow = False
        else:
            value_may_follow = True
        if not open_lists or (mark == "," and len(open_lists) == 1):
            raise ValueError(f"the array ends before character {position}")
    if len(open_lists) != 1 or len(root) != 1:
        raise ValueError("the array does not end")
    array: list[Any] = root[0]
    return array


def _element(token: re.Match[str], convert: Callable[[str], Any]) -> Any:
    quoted, bare = token.group(1), token.group(2)
    if quoted is not None:
        return convert(_ESCAPED.sub(r"\1", quoted) if "\\" in quoted else quoted)
    # A bare NULL is no value; Postgres quotes a text that reads NULL (array_out).
    return None if bare == "NULL" else convert(bare)


def read_range(text: str) -> tuple[str | None, str | None] | None:
    """The bounds as text, None for a missing bound; None for the empty range. Raises ValueError."""
    if text == "empty":
        return None
    found = _RANGE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:100]!r} is no range")
    return _bound(*found.group(1, 2)), _bound(*found.group(3, 4))


def _bound(quoted: str | None, bare: str | None) -> str | None:
    # A quote in a bound is doubled, unlike in an array's element (range_bound_escape).
    if quoted is not None:
        return _ESCAPED_BOUND.sub(lambda escape: escape.group(1) or escape.group(2), quoted)
    return bare or None

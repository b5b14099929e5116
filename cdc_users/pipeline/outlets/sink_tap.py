"""The places where the user's own pipeline is watched (`--sink-tap`), as data.

Several stand by semicolon, each as KIND:PLACE or NAME=KIND:PLACE. Taps are beside each other:
events reach each of them by a way of its own. With `>` in place of the semicolon a tap is behind
the one before it: its events have passed that one.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cdc_users.pipeline.declaration import OutletDeclaration, outlets
from infra.stack.pipeline_file.section import TAP_NAME

#: The last tap's name if it has none: its figures stand in tables and charts.
LAST = "sink"
#: Names of taps that the run has of its own.
TAKEN = ("topic", "platform")
BESIDE, BEHIND = "; ", " > "


@dataclass(frozen=True, slots=True)
class SinkTap:
    """One place; `behind` says whether its events come through the tap before it."""

    name: str
    kind: str
    place: str
    behind: bool = False

    @property
    def outlet(self) -> OutletDeclaration:
        """Its kind's declaration."""
        return outlets().by_name[self.kind]


def checked(text: str) -> str:
    """The text, if it names taps that can exist; raises ValueError."""
    taps = _read(text)
    for tap in taps:
        if tap.kind not in outlets().by_name:
            raise ValueError(f"{tap.place!r} is not one of {forms()}")
        tap.outlet.check(tap.place)
    names = [tap.name for tap in taps if tap.name]
    for name in dict.fromkeys(names):
        if name in TAKEN:
            raise ValueError(f"a tap named {name!r} is the run's own; choose another name")
        if names.count(name) > 1:
            raise ValueError(f"{names.count(name)} taps are named {name!r}; name them apart")
    for place in dict.fromkeys(f"{tap.kind}:{tap.place}" for tap in taps):
        if (count := [f"{tap.kind}:{tap.place}" for tap in taps].count(place)) > 1:
            raise ValueError(f"{place} is named {count} times; one tap is enough")
    if taps[0].behind:
        raise ValueError(f"{text!r} begins with a tap that is behind another; name that one first")
    return text


@functools.cache
def sink_taps(text: str) -> tuple[SinkTap, ...]:
    """The taps in a text that is `checked`, each with a name; none in an empty one."""
    return tuple(_named(_read(text))) if text else ()


def beside(taps: Sequence[SinkTap]) -> Mapping[str, frozenset[str]]:
    """By tap: the taps before it in the text that its events do not pass."""
    found, branch = {}, 0
    for number, tap in enumerate(taps):
        branch = branch if tap.behind else number
        found[tap.name] = frozenset(other.name for other in taps[:branch])
    return found


def readable(text: str) -> list[SinkTap]:
    """The taps in a text that may not be checked yet; what cannot be read is left out."""
    return [tap for tap in _read(text) if tap.kind in outlets().by_name]


def forms() -> str:
    """The forms of one tap, for messages."""
    *others, last = (f"{one.name}:{one.place}" for one in outlets().by_name.values())
    return f"{', '.join(others)} or {last}"


def _read(text: str) -> list[SinkTap]:
    """The taps; one that cannot be read has no kind, and its text as place."""
    # Places may hold any of these signs, so only those before another tap divide.
    kinds = "|".join(map(re.escape, outlets().by_name))
    form = rf"(?:({TAP_NAME})=)?({kinds}):"
    parts = ["", *re.split(rf"\s*([;>])\s*(?=(?:{TAP_NAME}=)?(?:{kinds}):)", text.strip())]
    signs, taps = (parts[0::2], parts[1::2]) if parts[1] else (parts[2::2], parts[3::2])
    return [
        _one(re.match(form, tap), tap, sign == ">") for sign, tap in zip(signs, taps, strict=True)
    ]


def _one(match: re.Match[str] | None, text: str, behind: bool) -> SinkTap:
    if match is None or match.end() == len(text):
        return SinkTap("", "", text, behind)
    return SinkTap(match[1] or "", match[2], text[match.end() :], behind)


def _named(taps: Sequence[SinkTap]) -> Iterator[SinkTap]:
    names = {*TAKEN, *(tap.name for tap in taps)}
    for number, tap in enumerate(taps, start=1):
        free = LAST if number == len(taps) else _free(tap.kind, names)
        name = tap.name or (free if free not in names else _free(tap.kind, names))
        names.add(name)
        yield SinkTap(name, tap.kind, tap.place, tap.behind)


def _free(kind: str, names: set[str]) -> str:
    """The kind as a name, with a number if it is taken."""
    if kind not in names:
        return kind
    return next(name for count in range(2, 100) if (name := f"{kind}-{count}") not in names)

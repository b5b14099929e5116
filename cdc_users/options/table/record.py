"""The record of one option, with everything that is known about it. Every list of options is
derived from these records.

A group of options is a frozen dataclass. Each field is one option: its annotation is the type of
its value, and `option(...)` has everything else. The groups together are `Options`
(cdc_users.options.options), so no list can lack an option.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from cdc_users.options import parse
from cdc_users.options.conflict.rule import Rule

#: The kinds of shape (cdc_users.shapes); a record names those in which its option has no effect.
VOLUME, PER_SINK, PRESSURE, SCALING = "volume", "per_sink", "pressure", "scaling"
CAPACITY, FAULTS = "capacity", "faults"
KINDS = (VOLUME, PER_SINK, PRESSURE, SCALING, CAPACITY, FAULTS)
LEAVE = "leave it out"
_RECORD = "option"
_REQUIRED: Final = object()


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    `read` turns its text into a value, and raises ValueError with the value and the remedy; `takes`
    says what it reads, with unit and bounds. `unset` is its value where neither the user nor a
    default gives one.
    """

    read: Callable[[str], Any]
    help: str
    default: str
    unset: Any
    takes: str
    #: Its attribute in Locust's namespace and in `Options`.
    name: str = ""
    #: Its group in form and page.
    group: str = ""
    #: Why the form may not set it; empty where the form may.
    kept_from_form: str = ""
    #: The kinds of shape that do not read it, each with what to use instead.
    not_in: Mapping[str, str] = field(default_factory=dict)
    #: The only kinds of shape that read it; empty: all kinds that `not_in` does not name.
    only_in: tuple[str, ...] = ()
    #: The only sinks that read it, by comma; empty: any.
    sink: str = ""
    #: Whether only an open loop reads it.
    paced: bool = False
    #: Whether the direct reader reads it.
    direct: bool = True
    #: The rules that say what it needs and excludes.
    rules: tuple[Rule, ...] = ()

    @property
    def flag(self) -> str:
        """Its flag on the command line."""
        return flag_of(self.name)

    @property
    def variable(self) -> str:
        """Its variable in the environment."""
        return f"CDC_{self.name.rstrip('_').upper()}"

    @property
    def switch(self) -> bool:
        """Whether the flag alone means yes."""
        return self.read is parse.flag

    @property
    def choices(self) -> tuple[str, ...]:
        """The words of which it takes one; empty where it takes other values."""
        read = self.read
        return read.allowed if isinstance(read, parse.Choice | parse.Alternatives) else ()

    @property
    def several(self) -> tuple[str, ...]:
        """The words of which it takes several; empty where it takes other values."""
        return self.read.allowed if isinstance(self.read, parse.Choices) else ()

    def value(self, text: str) -> Any:
        """What a text means; raises ValueError."""
        if text:
            return self.read(text)
        if self.unset is _REQUIRED:
            raise ValueError(f"a value is needed; its default is {self.default}")
        return self.unset

    def unread_by(self, kind: str) -> str:
        """What to use instead in a kind of shape that does not read it; empty where it does."""
        if self.only_in and kind not in self.only_in:
            return self.not_in.get(kind, LEAVE)
        return self.not_in.get(kind, "")


def flag_of(name: str) -> str:
    """An option's flag. A name that is reserved in Python ends with an underscore, which the flag
    leaves out.
    """
    return f"--{name.rstrip('_').replace('_', '-')}"


def option(
    read: Callable[[str], Any],
    text: str,
    *,
    default: str = "",
    unset: Any = _REQUIRED,
    takes: str = "",
    **known: Any,
) -> Any:
    """A field that is an option: its reader, its help, and the rest of its record."""
    text_of_values = takes or getattr(read, "takes", "")
    record = Option(read, text, default, unset, text_of_values, **known)
    return field(metadata={_RECORD: record})


def records(group: type) -> tuple[Option, ...]:
    """The options of a group, in order."""
    return tuple(
        replace(item.metadata[_RECORD], name=item.name, group=group.TITLE)  # type: ignore[attr-defined]
        for item in fields(group)
    )

"""The options that sinks, transports and scenarios declare, as records like those of the table.

Each part declares them (cdc_users.scenario.OwnOption) beside its own declaration, so a part from
outside the tree has options without a change to this folder.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from cdc_users.options.conflict.rule import OptionValues, Rule
from cdc_users.options.table.record import LEAVE, Option, flag_of
from cdc_users.pipeline.declaration import sinks, transports
from cdc_users.scenario import OwnOption, Scenario


@dataclass(frozen=True, slots=True)
class BroughtOptions:
    """The options that parts declare, and a mistake for each that cannot be an option."""

    options: tuple[Option, ...] = ()
    mistakes: tuple[str, ...] = ()


def of_parts(taken: Collection[str]) -> BroughtOptions:
    """The options of all sinks and transports; the names in `taken` are in use already."""
    offered = [
        *(
            (f"the sink {sink.name}", replace(_record(own, "Sink"), sink=sink.name, direct=False))
            for sink in sinks().by_name.values()
            for own in sink.options
        ),
        *(
            (f"the transport {transport.name}", _of_transport(own, transport.name))
            for transport in transports().by_name.values()
            for own in transport.options
        ),
    ]
    return _brought(offered, taken)


def of_scenario(scenario: Scenario, taken: Collection[str]) -> BroughtOptions:
    """The options of a scenario; the names in `taken` are in use already."""
    title = f"Scenario {scenario.name}"
    offered = [(f"the scenario {scenario.name}", _record(own, title)) for own in scenario.options]
    return _brought(offered, taken)


def _brought(offered: Iterable[tuple[str, Option]], taken: Collection[str]) -> BroughtOptions:
    found: dict[str, Option] = {}
    mistakes = []
    for owner, option in offered:
        if not option.name.isidentifier() or not option.name.islower():
            mistakes.append(
                f"{owner} offers an option {option.name!r}, which is no name; use small"
                " letters, digits and _"
            )
        elif option.name in taken or option.name in found:
            mistakes.append(
                f"{owner} offers {option.flag}, but that name is taken; give it another"
            )
        else:
            found[option.name] = option
    return BroughtOptions(tuple(found.values()), tuple(mistakes))


def _record(own: OwnOption, title: str) -> Option:
    takes = own.takes or getattr(own.read, "takes", "") or "a text"
    return Option(own.read, own.help, own.default, own.unset, takes, name=own.name, group=title)


def _of_transport(own: OwnOption, transport: str) -> Option:
    record = _record(own, "Pipeline")
    return replace(record, rules=(_only_with(record, transport),))


def _only_with(option: Option, transport: str) -> Rule:
    """An option of one transport has no effect with another transport."""

    def rule(values: OptionValues) -> Sequence[str]:
        usual = option.value(option.default)
        if values.get("transport", transport) == transport:
            return []
        if values.get(option.name, usual) == usual:
            return []
        return [
            f"{flag_of(option.name)} does nothing with --transport {values['transport']}; {LEAVE}"
        ]

    return rule

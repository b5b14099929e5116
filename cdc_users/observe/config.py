"""What the observer is to watch: one JSON object, checked before anything is started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cdc_users.measure.clock import Anchor
from cdc_users.observe.declaration import tap_kinds
from cdc_users.observe.tap import Tap


def mistakes(config: Mapping[str, Any]) -> list[str]:
    """Every mistake in a configuration, each with its remedy."""
    found = [*tap_kinds().mistakes]
    found += [f"{name!r} is missing" for name in ("run", "taps") if name not in config]
    names = [str(tap.get("name", "")) for tap in config.get("taps", ())]
    found += [
        f"there are {names.count(name)} taps named {name!r}; name them apart"
        for name in {*names}
        if names.count(name) > 1
    ]
    for tap in config.get("taps", ()):
        found += _tap_mistakes(tap)
    for name, needed in (("slot", ("dsn", "slot")), ("group", ("bootstrap", "group"))):
        gauge = config.get("gauges", {}).get(name)
        if gauge is not None:
            found += [f"gauge {name!r} needs {part!r}" for part in needed if part not in gauge]
    return found


def _tap_mistakes(tap: Mapping[str, Any]) -> list[str]:
    name, kind = tap.get("name"), str(tap.get("kind"))
    if not name:
        return [f"a tap has no name: {dict(tap)!r}"]
    known = tap_kinds().by_name
    if kind not in known:
        return [f"tap {name!r} is of kind {kind!r}, which is not one of {', '.join(known)}"]
    declared = known[kind]
    found = [f"tap {name!r} needs {part!r}" for part in declared.needs if part not in tap]
    if declared.either and not any(part in tap for part in declared.either):
        found.append(f"tap {name!r} needs {' or '.join(map(repr, declared.either))}")
    return found


def make_taps(config: Mapping[str, Any], anchor: Anchor) -> dict[str, Tap]:
    """The taps, in the order in which events pass them."""
    known = tap_kinds().by_name
    return {
        tap["name"]: known[tap["kind"]].make(tap, config["run"], anchor) for tap in config["taps"]
    }

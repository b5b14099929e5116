"""Reads what the observer is to watch: one JSON object, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from cdc_users.measure.clock import Anchor
from cdc_users.measure.wire import WireError, decode
from cdc_users.observe.declaration import tap_kinds
from cdc_users.observe.settings import ObserverSettings
from cdc_users.observe.tap import Tap


class ObserverSettingsError(ValueError):
    """A configuration that cannot be used; the text lists every mistake."""


def read(line: str) -> ObserverSettings:
    """The configuration in a line; raises ObserverSettingsError with every mistake in it."""
    try:
        raw = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        # The line itself is not quoted, because it may hold secrets.
        raise ObserverSettingsError(
            f"no configuration was given: one line of JSON is needed ({error})"
        ) from None
    if not isinstance(raw, dict):
        raise ObserverSettingsError("no configuration was given: one object of JSON is needed")
    if found := mistakes(raw):
        raise ObserverSettingsError("\n".join(found))
    try:
        return decode(line, ObserverSettings, "the harness")
    except WireError as error:
        raise ObserverSettingsError(str(error)) from error


def mistakes(raw: Mapping[str, Any]) -> list[str]:
    """Every mistake in a configuration, each with its remedy."""
    found = [*tap_kinds().mistakes]
    found += [f"{name!r} is missing" for name in ("run", "taps") if name not in raw]
    names = [str(tap.get("name", "")) for tap in raw.get("taps", ())]
    found += [
        f"there are {names.count(name)} taps named {name!r}; name them apart"
        for name in {*names}
        if names.count(name) > 1
    ]
    for tap in raw.get("taps", ()):
        found += _tap_mistakes(tap)
    for name, needed in (("slot", ("dsn", "slot")), ("group", ("bootstrap", "group"))):
        gauge = raw.get("gauges", {}).get(name)
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


#: The name of the tap where events come out.
LAST = "sink"


def make_taps(settings: ObserverSettings, anchor: Anchor) -> dict[str, Tap]:
    """The taps, in the order in which events pass them; raises ObserverSettingsError for settings
    of another kind.
    """
    taps = {}
    for raw in settings.taps:
        declared = tap_kinds().by_name[msgspec.convert(raw, _Kind).kind]
        try:
            own = msgspec.convert(raw, declared.settings)
        except msgspec.ValidationError as error:
            raise ObserverSettingsError(f"a tap of kind {declared.name!r}: {error}") from error
        taps[own.name] = declared.make(own, settings.run, anchor)
    for name, tap in taps.items():
        if name != LAST:
            tap.record.keep_places()  # an event that is lost behind this tap was seen here
    return taps


class _Kind(msgspec.Struct):
    kind: str

"""What the observer is to watch: one JSON object, checked before anything is started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cdc_users.measure.clock import Anchor
from cdc_users.observe.tap import Tap
from cdc_users.observe.taps.iceberg import IcebergTap
from cdc_users.observe.taps.json_topic import JsonTopicTap
from cdc_users.observe.taps.kinesis import KinesisTap
from cdc_users.observe.taps.postgres import PostgresTap
from cdc_users.observe.taps.pubsub import PubSubTap
from cdc_users.observe.taps.topic import TopicTap
from cdc_users.observe.taps.webhook import WebhookTap

#: Each kind of tap: how it is made, and what its configuration must have.
KINDS: Mapping[str, tuple[Callable[[Mapping[str, Any], str, Anchor], Tap], tuple[str, ...]]] = {
    "topic": (TopicTap, ("bootstrap", "schema_registry_url")),
    "json-topic": (JsonTopicTap, ("bootstrap",)),
    "webhook": (WebhookTap, ()),
    "postgres": (PostgresTap, ("dsn", "table")),
    "iceberg": (IcebergTap, ("table",)),
    "kinesis": (KinesisTap, ("endpoint", "stream")),
    "pubsub": (PubSubTap, ("subscription",)),
}
#: Of each of these groups a kind's configuration needs one.
EITHER: Mapping[str, tuple[str, ...]] = {
    "topic": ("topic", "topics"),
    "json-topic": ("topic", "topics"),
    "iceberg": ("warehouse", "properties"),
}


def mistakes(config: Mapping[str, Any]) -> list[str]:
    """Every mistake in a configuration, each with its remedy."""
    found = [f"{name!r} is missing" for name in ("run", "taps") if name not in config]
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
    if kind not in KINDS:
        return [f"tap {name!r} is of kind {kind!r}, which is not one of {', '.join(KINDS)}"]
    found = [f"tap {name!r} needs {part!r}" for part in KINDS[kind][1] if part not in tap]
    choice = EITHER.get(kind, ())
    if choice and not any(part in tap for part in choice):
        found.append(f"tap {name!r} needs {' or '.join(map(repr, choice))}")
    return found


def make_taps(config: Mapping[str, Any], anchor: Anchor) -> dict[str, Tap]:
    """The taps, in the order in which events pass them."""
    return {
        tap["name"]: KINDS[tap["kind"]][0](tap, config["run"], anchor) for tap in config["taps"]
    }

"""How an option's text is read. Every reader raises ValueError with the value and the remedy."""

from __future__ import annotations

from dataclasses import dataclass

from cdc_users.measure.plan import parse_duration
from cdc_users.measure.probe import LANES_PER_STEP


def count(text: str) -> int:
    """A whole number of at least 1."""
    try:
        value = int(text.replace("_", ""))
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None
    if value < 1:
        raise ValueError(f"{text!r} must be at least 1")
    return value


def lanes(text: str) -> int:
    """A number of lanes; each needs a number of its own within its step."""
    value = count(text)
    if value > LANES_PER_STEP:
        raise ValueError(f"{text!r} is more than the {LANES_PER_STEP} lanes that a step has numbers for; lower it")
    return value


def counts(text: str) -> tuple[int, ...]:
    """Several of them, by comma."""
    return tuple(count(part.strip()) for part in text.split(","))


def durations(text: str) -> tuple[float, ...]:
    """Seconds of several durations, by comma."""
    return tuple(parse_duration(part) for part in text.split(","))


def table(text: str) -> str:
    """SCHEMA.TABLE."""
    schema, _, name = text.rpartition(".")
    if not schema or not name:
        raise ValueError(f"{text!r} is not SCHEMA.TABLE, e.g. public.customers")
    return text


def sink_tap(text: str) -> str:
    """KIND:PLACE of where events come out of a pipeline of the user's own."""
    kind, _, place = text.partition(":")
    if kind not in SINK_TAPS or not place:
        raise ValueError(f"{text!r} is not one of {', '.join(SINK_TAPS.values())}")
    if kind == "webhook" and not (place.isdigit() and int(place) < 65536):
        raise ValueError(f"{text!r} names no port; write e.g. webhook:8080")
    if kind == "postgres":
        table(place)
    return text


def endpoint(text: str) -> str:
    """Where a service is; without a login, for it stands in results and on command lines."""
    if "@" in text:
        raise ValueError("it holds a user or a password, which would stand in results; none is supported there")
    return text


def factor(text: str) -> float:
    """By how much the load is more than the sink can take."""
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None
    if not 1 < value <= 1000:
        raise ValueError(f"{text!r} must be above 1 (more than the sink can take) and at most 1000")
    return value


def late(text: str) -> float | None:
    """The lateness in seconds beyond which an arrival is dropped; None where none is."""
    policy, colon, tolerance = text.partition(":")
    if text == "catch-up":
        return None
    if policy != "drop" or (colon and not tolerance):
        raise ValueError(f"{text!r} is neither catch-up nor drop nor drop:DURATION, e.g. drop:50ms")
    return parse_duration(tolerance) if tolerance else DROP_AFTER_S


def natural(text: str) -> int:
    """A whole number of at least 0."""
    if not text.isdigit():
        raise ValueError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


@dataclass(frozen=True, slots=True)
class Choice:
    """Reads one of some words; the web form offers them as a list."""

    allowed: tuple[str, ...]

    def __call__(self, text: str) -> str:
        """The word itself; raises ValueError for any other."""
        if text not in self.allowed:
            raise ValueError(f"{text!r} is not one of {', '.join(self.allowed)}")
        return text


def choice(*allowed: str) -> Choice:
    """One of some words."""
    return Choice(allowed)


def sinks(text: str) -> tuple[str, ...]:
    """Names of sinks, by comma or space."""
    return tuple(choice(*SINKS, WAITING)(name) for name in words(text))


def flag(text: str) -> bool:
    """Yes or no."""
    known = {"yes": True, "true": True, "1": True, "on": True, "no": False, "false": False, "0": False, "off": False}
    if text.lower() not in known:
        raise ValueError(f"{text!r} is neither yes nor no")
    return known[text.lower()]


def port(text: str) -> int:
    """A TCP port."""
    value = natural(text)
    if value > 65535:
        raise ValueError(f"{text!r} is not a port; name one of 0 (any free one) to 65535")
    return value


def words(text: str) -> tuple[str, ...]:
    """Words, by comma or space."""
    return tuple(word for word in text.replace(",", " ").split() if word)


#: Later than this, `--late drop` drops an arrival.
DROP_AFTER_S = 0.1
WAITING, WAIT_MS, WAITING_BATCH = "waiting", 5.0, 10
SINK_TAPS = {"webhook": "webhook:PORT", "postgres": "postgres:SCHEMA.TABLE", "topic": "topic:NAME"}
SINKS = ("counting", "slow", "webhook", "postgres", "iceberg")

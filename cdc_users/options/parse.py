"""Readers of options' texts. Each raises ValueError with the value and the remedy."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cdc_users.measure.number import number, shown, whole
from cdc_users.measure.schedule.plan import LoadStage, parse_duration, parse_stages
from cdc_users.pipeline.declaration import sinks as sinks_known
from infra.schemas.envelope import is_probe_column
from infra.validate import is_address, is_port, is_topic, is_url, unwritable


@dataclass(frozen=True, slots=True)
class Count:
    """Reads a whole number from `least` to `most`."""

    most: int
    least: int = 1

    @property
    def takes(self) -> str:
        """Its bounds."""
        return f"{self.least:,} to {self.most:,}"

    def __call__(self, text: str) -> int:
        """The number; raises ValueError that names the bound."""
        value = whole(text)
        if value < self.least:
            raise ValueError(f"{shown(text)} must be at least {self.least}")
        if value > self.most:
            raise ValueError(f"{shown(text)} must be at most {self.most:,}")
        return value


@dataclass(frozen=True, slots=True)
class Counts:
    """Reads several whole numbers from 1 to `most`, by comma."""

    most: int

    @property
    def takes(self) -> str:
        """Its bounds."""
        return f"1 to {self.most:,}, several by comma"

    def __call__(self, text: str) -> tuple[int, ...]:
        """The numbers; raises ValueError."""
        return tuple(Count(self.most)(part.strip()) for part in _parts(text))


def durations(text: str) -> tuple[float, ...]:
    """Seconds of several durations, by comma."""
    return tuple(parse_duration(part) for part in _parts(text))


def warm_up(text: str) -> float:
    """Seconds of a warm-up; 0 for `none`."""
    return 0.0 if text == "none" else parse_duration(text)


def stages(text: str) -> tuple[LoadStage, ...]:
    """Stages of an open loop, by comma."""
    _parts(text)
    return parse_stages(text)


def _parts(text: str) -> Sequence[str]:
    """Several values by comma; each makes one step at least."""
    parts = text.split(",")
    if len(parts) > MOST_STEPS:
        raise ValueError(f"{len(parts):,} values are too many; name at most {MOST_STEPS}")
    return parts


def table(text: str) -> str:
    """SCHEMA.TABLE."""
    schema, _, name = text.rpartition(".")
    if not schema or not name:
        raise ValueError(f"{text!r} is not SCHEMA.TABLE, e.g. public.customers")
    return text


def tables(text: str) -> str:
    """Several SCHEMA.TABLE by comma, each once."""
    names = [table(part.strip()) for part in text.split(",")]
    if len(set(names)) < len(names):
        raise ValueError(f"{text!r} names a table twice; name each once")
    return ",".join(names)


def column(text: str) -> str:
    """The name of a column."""
    if not is_probe_column(text):
        raise ValueError(f"{text!r} is not a plain column name, e.g. note")
    return text


def probe_path(text: str) -> str:
    """The names of nested objects with points between; the last one holds the probe's text."""
    if not all(text.split(".")) or any(part != part.strip() for part in text.split(".")):
        raise ValueError(
            f"{text!r} is no path; write the names from the outside in, with points between, e.g."
            " record.note"
        )
    return text


def either(*words: str) -> str:
    """Words as a sentence has them: "a, b or c"."""
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else "".join(words)


def topic(text: str) -> str:
    """The name of a Kafka topic."""
    if not is_topic(text):
        raise ValueError(
            f"{text!r} is no name for a topic; it has up to 249 letters of a-z, A-Z, 0-9, '.', '_'"
            " and '-'"
        )
    return text


def topics(text: str) -> str:
    """Several topics by comma, each once."""
    names = [topic(part.strip()) for part in text.split(",")]
    if len(set(names)) < len(names):
        raise ValueError(f"{text!r} names a topic twice; name each once")
    return ",".join(names)


def platform(text: str) -> str:
    """`reference`, `none`, or a command line whose program exists."""
    try:
        command = shlex.split(text)
    except ValueError as error:
        raise ValueError(
            f"{text!r} is not a command line: {error}; close the quote, or escape it"
        ) from error
    if text not in PLATFORMS and (not command or shutil.which(command[0]) is None):
        raise ValueError(
            f"{text!r} names no program that can be run; write {', '.join(PLATFORMS)} or a command"
            " line"
        )
    return text


def directory(text: str) -> Path:
    """A directory that can be written to; it need not exist yet."""
    path = Path(text)
    if why := unwritable(path):
        raise ValueError(f"{text!r} cannot be written to: {why}; name another place")
    return path


def kinesis_endpoint(text: str) -> str:
    """A URL of http or https, without a login."""
    _refuse_login(text)
    if not is_url(text):
        raise ValueError(f"{text!r} is not a URL; write e.g. http://127.0.0.1:4567")
    return text


def pubsub_endpoint(text: str) -> str:
    """HOST:PORT."""
    _refuse_login(text)
    if not is_address(text):
        raise ValueError(
            f"{text!r} is not HOST:PORT, which has no http:// and no path; write e.g."
            " 127.0.0.1:8085"
        )
    return text


def _refuse_login(text: str) -> None:
    if "@" in text:
        raise ValueError("it holds a user or a password, which results would show; leave them out")


def factor(text: str) -> float:
    """By what factor the load exceeds what the sink can take."""
    value = float(number(text))
    if not 1 < value <= 1000:
        raise ValueError(f"{text!r} must be above 1 (more than the sink can take) and at most 1000")
    return value


def size(text: str) -> float:
    """Bytes from 500MB, 10GB or 1TB."""
    units = {"kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
    unit = next((name for name in units if text.endswith(name)), "")
    if not unit:
        raise ValueError(f"{text!r} is no size; write a number and its unit, e.g. 500MB or 10GB")
    value = float(number(text.removesuffix(unit).strip())) * units[unit]
    if not 1e6 <= value <= 1e18:
        raise ValueError(f"{text!r} must be from 1MB to 1,000,000TB")
    return value


def precision(text: str) -> float:
    """How close two rates must come, as a share: 3% or 0.03."""
    digits = text.removesuffix("%").strip()
    value = float(number(digits)) / (100 if text.endswith("%") else 1)
    if not 0.005 <= value <= 1:
        raise ValueError(f"{text!r} must be from 0.5% to 100%, e.g. 3%")
    return value


def late(text: str) -> float | None:
    """The lateness in seconds beyond which an arrival is dropped; None for `catch-up`."""
    policy, colon, tolerance = text.partition(":")
    if text == "catch-up":
        return None
    if policy != "drop" or (colon and not tolerance):
        raise ValueError(f"{text!r} is neither catch-up nor drop nor drop:DURATION, e.g. drop:50ms")
    return parse_duration(tolerance) if tolerance else DROP_AFTER_S


@dataclass(frozen=True, slots=True)
class Choice:
    """Reads one of several words; the web form offers them as a list."""

    allowed: tuple[str, ...]

    @property
    def takes(self) -> str:
        """The words."""
        return f"one of {', '.join(self.allowed)}"

    def __call__(self, text: str) -> str:
        """The word itself; raises ValueError for any other."""
        if text not in self.allowed:
            raise ValueError(f"{text!r} is not one of {', '.join(self.allowed)}")
        return text


def choice(*allowed: str) -> Choice:
    """One of some words."""
    return Choice(allowed)


@dataclass(frozen=True, slots=True)
class Alternatives:
    """Reads one of several words, or several by comma where a scenario compares; the web form
    offers one.
    """

    allowed: tuple[str, ...]

    @property
    def takes(self) -> str:
        """The words."""
        return f"one of {', '.join(self.allowed)}; several by comma where a scenario compares"

    def __call__(self, text: str) -> tuple[str, ...]:
        """The words, each once; raises ValueError for any other."""
        read = choice(*self.allowed)
        return tuple(dict.fromkeys(read(part.strip()) for part in _parts(text)))


@dataclass(frozen=True, slots=True)
class Choices:
    """Reads several words by comma or space; the web form has a check box for each."""

    noun: str
    allowed: tuple[str, ...]

    @property
    def takes(self) -> str:
        """The values that the option takes, for help and page."""
        return "names, several by comma"

    def __call__(self, text: str) -> tuple[str, ...]:
        """The words; raises ValueError for an empty text and for an unknown word."""
        if not words(text):
            message = f"{shown(text)} names no {self.noun}; name some of {', '.join(self.allowed)}"
            raise ValueError(message)
        return tuple(choice(*self.allowed)(name) for name in words(",".join(_parts(text))))


def flag(text: str) -> bool:
    """Yes or no."""
    known = {
        "yes": True,
        "true": True,
        "1": True,
        "on": True,
        "no": False,
        "false": False,
        "0": False,
        "off": False,
    }
    if text.lower() not in known:
        raise ValueError(f"{text!r} is neither yes nor no")
    return known[text.lower()]


def port(text: str) -> int:
    """A TCP port to listen on."""
    if text != "0" and not is_port(text):
        raise ValueError(f"{text!r} is not a port; name one of 0 (any free one) to 65535")
    return int(text)


def words(text: str) -> tuple[str, ...]:
    """Words, by comma or space."""
    return tuple(word for word in text.replace(",", " ").split() if word)


def targets(text: str) -> tuple[str, ...]:
    """Words by comma or space, each of them HOST:PORT."""
    found = words(text)
    for word in found:
        if not is_address(word):
            raise ValueError(f"{word!r} is not HOST:PORT, e.g. db.example:5432")
    return found


YES_OR_NO = "yes or no"
#: A step's number has three digits in a probe; the last such number is the fences' (fence.WRITER).
MOST_STEPS = 998
#: The lateness from which `--late drop` drops an arrival.
DROP_AFTER_S = 0.1
WAITING, WAIT_MS, WAITING_BATCH = "waiting", 5.0, 10
PLATFORMS = ("reference", "none")
SINKS = tuple(sinks_known().by_name)

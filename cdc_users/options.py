"""The command line, the web form and the environment, read once into a frozen value.

Every option reaches Locust as a string, because argparse would stop at the first bad one; `resolve` reads
them all and reports all mistakes together. Locust also reads them from its configuration file and from
`LOCUST_`-less environment variables named beside each option (`CDC_RATE` for `--rate`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cdc_users.error import OptionsError
from cdc_users.measure.plan import PlanError, Stage, parse_duration, parse_rate, parse_stages
from cdc_users.measure.threshold import Threshold, ThresholdError, parse_threshold

Late = Literal["catch-up", "drop"]
InsertMethod = Literal["single", "values", "copy"]
OPERATIONS = ("insert", "update", "delete")


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of the operations in the load; they sum to 1."""

    insert: float = 1.0
    update: float = 0.0
    delete: float = 0.0


@dataclass(frozen=True, slots=True)
class KeySkew:
    """How updates and deletes choose among a writer's live keys: `exponent` 0 is uniform, above it Zipf's."""

    exponent: float = 0.0


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its flag, what it says in `--help` and in the form, its default as text, and its reader."""

    flag: str
    group: str
    help: str
    default: str
    read: Callable[[str], Any]

    @property
    def name(self) -> str:
        """The attribute under which Locust and `Options` know it."""
        return self.flag.removeprefix("--").replace("-", "_")


@dataclass(frozen=True, slots=True)
class Options:
    """One run's settings, validated. Field names are the options' names; durations are in seconds."""

    rows: tuple[int, ...]
    rate: float | None
    duration: float | None
    stages: tuple[Stage, ...]
    arrivals: Literal["even", "poisson"]
    seed: int
    warm_up: float
    lanes: int
    late: Late
    drain_timeout: float
    rows_per_transaction: int
    insert_method: InsertMethod
    row_bytes: int
    mix: Mix
    key_skew: KeySkew
    tables: int
    sink: str
    sink_delay: float
    batch_size: int
    max_buffered_messages: int
    instances: tuple[int, ...]
    partitions: tuple[int, ...]
    tuning: Literal["latency", "throughput"]
    threshold: tuple[Threshold, ...]
    smoke: bool
    results: Path
    allow_target: tuple[str, ...]


def _count(text: str) -> int:
    try:
        value = int(text.replace("_", ""))
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None
    if value < 1:
        raise ValueError(f"{text!r} must be at least 1")
    return value


def _counts(text: str) -> tuple[int, ...]:
    return tuple(_count(part.strip()) for part in text.split(","))


def _natural(text: str) -> int:
    if not text.isdigit():
        raise ValueError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def _seconds(text: str) -> float:
    return parse_duration(text)


def _seconds_or_none(text: str) -> float:
    return 0.0 if text in ("0", "0s") else parse_duration(text)


def _choice(*allowed: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"{text!r} is not one of {', '.join(allowed)}")
        return text

    return read


def _flag(text: str) -> bool:
    known = {"yes": True, "true": True, "1": True, "on": True, "no": False, "false": False, "0": False, "off": False}
    if text.lower() not in known:
        raise ValueError(f"{text!r} is neither yes nor no")
    return known[text.lower()]


def _mix(text: str) -> Mix:
    shares = dict.fromkeys(OPERATIONS, 0.0)
    for part in text.split(","):
        name, equals, amount = part.strip().partition("=")
        if name not in shares or not equals or not amount.replace(".", "", 1).isdigit():
            raise ValueError(f"{part.strip()!r} is not understood; write insert=80,update=15,delete=5")
        shares[name] = float(amount)
    total = sum(shares.values())
    if total <= 0 or shares["insert"] <= 0:
        raise ValueError(f"{text!r} inserts nothing; updates and deletes need rows to work on")
    return Mix(**{name: share / total for name, share in shares.items()})


def _key_skew(text: str) -> KeySkew:
    if text == "uniform":
        return KeySkew()
    kind, _, exponent = text.partition(":")
    try:
        value = float(exponent)
    except ValueError:
        value = -1.0
    if kind != "zipf" or not 0 < value <= 10:
        raise ValueError(f"{text!r} is not understood; write uniform, or zipf:1.2 (exponent above 0, at most 10)")
    return KeySkew(value)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.replace(",", " ").split() if word)


def _thresholds(text: str) -> tuple[Threshold, ...]:
    return tuple(parse_threshold(line.strip()) for line in text.replace(";", "\n").splitlines() if line.strip())


OPTIONS: tuple[Option, ...] = (
    Option("--rows", "Load", "Volumes, one burst step each: rows written as fast as they go, e.g. 100,500,10000.", "", _counts),
    Option("--rate", "Load", "Open loop: arrivals (transactions) per second, e.g. 1000 or 1000/s; needs --duration.", "", parse_rate),
    Option("--duration", "Load", "How long --rate is held, e.g. 30s or 5m.", "", _seconds),
    Option("--stages", "Load", "Open loop in stages, e.g. 500/s:30s,2000/s:60s; takes the place of --rate and --duration.", "", parse_stages),
    Option("--arrivals", "Load", "Arrivals evenly spaced (even) or at random with the same mean (poisson).", "even", _choice("even", "poisson")),
    Option("--seed", "Load", "Seed of everything that is random in the load.", "1", _natural),
    Option("--warm-up", "Load", "Time at the first rate that is run and shown but not counted, e.g. 5s; 0 for none.", "0s", _seconds_or_none),
    Option("--lanes", "Load", "Writers that work at the same time, over all workers; each is one Locust user.", "8", _count),
    Option("--late", "Load", "After a stall: catch-up sends what is overdue at once, drop skips and counts it.", "catch-up", _choice("catch-up", "drop")),
    Option("--drain-timeout", "Load", "How long to wait for the last event after the load has ended.", "60s", _seconds),
    Option("--rows-per-transaction", "Workload", "Rows in each transaction.", "1", _count),
    Option("--insert-method", "Workload", "single: one INSERT a row; values: one multi-row INSERT; copy: COPY.", "single", _choice("single", "values", "copy")),
    Option("--row-bytes", "Workload", "Payload added to each row, in bytes.", "0", _natural),
    Option("--mix", "Workload", "Shares of the operations, e.g. insert=80,update=15,delete=5.", "insert=100", _mix),
    Option("--key-skew", "Workload", "How updates and deletes pick keys: uniform, or zipf:1.2.", "uniform", _key_skew),
    Option("--tables", "Workload", "Source tables that the writers spread over.", "1", _count),
    Option("--sink", "Pipeline", "Sinks of the reference platform, one or more by comma where the scenario compares them.", "counting", str),
    Option("--sink-delay", "Pipeline", "What the slow sink sleeps in each write, e.g. 50ms.", "50ms", _seconds),
    Option("--batch-size", "Pipeline", "Most events in one write of the sink.", "500", _count),
    Option("--max-buffered-messages", "Pipeline", "Most events that the platform may hold in memory.", "10000", _count),
    Option("--partitions", "Pipeline", "Partitions of the topic.", "1", _counts),
    Option("--instances", "Pipeline", "Processes of the platform in one consumer group.", "1", _counts),
    Option("--tuning", "Pipeline", "Debezium tuned for latency or for throughput (docs/stack.md says what each costs).", "latency", _choice("latency", "throughput")),
    Option("--threshold", "Verdict", "What must hold, e.g. 'end_to_end.p99 < 500ms'; several by semicolon or by repeating.", "", _thresholds),
    Option("--smoke", "Verdict", "yes: check ledger, files and exit code only, and publish no figure.", "no", _flag),
    Option("--results", "Results", "Where result directories go.", "results", Path),
    Option("--allow-target", "Safety", "HOST:PORT outside loopback that the run may load, named exactly.", "", _words),
)
UNSET: Mapping[str, Any] = {"rows": (), "rate": None, "duration": None, "stages": (), "threshold": (), "allow_target": ()}


def texts(source: Mapping[str, Any], defaults: Mapping[str, str]) -> dict[str, str]:
    """The options' texts out of Locust's namespace: what was given, else the scenario's default, else ours.

    A repeated option arrives as a list and is joined by newlines.
    """
    chosen = {}
    for option in OPTIONS:
        given = source.get(option.name)
        text = "\n".join(map(str, given)) if isinstance(given, list) else str(given or "")
        chosen[option.name] = text.strip() or defaults.get(option.name, option.default)
    load = ("rows", "rate", "stages")
    if any(str(source.get(name) or "").strip() for name in load):
        # The scenario's default load gives way as a whole, or `--rate` would contradict a default `--rows`.
        for name in (*load, "duration"):
            if not str(source.get(name) or "").strip():
                chosen[name] = ""
    return chosen


def resolve(given: Mapping[str, str]) -> Options:
    """Read every option's text (by name); raises OptionsError with all mistakes, touching no server."""
    values: dict[str, Any] = {}
    mistakes: list[str] = []
    for option in OPTIONS:
        text = given.get(option.name, option.default)
        try:
            values[option.name] = option.read(text) if text else UNSET[option.name]
        except (ValueError, PlanError, ThresholdError) as error:
            mistakes.append(f"{option.flag}: {error}")
        except KeyError:
            mistakes.append(f"{option.flag}: a value is needed; its default is {option.default}")
    mistakes += _contradictions(values)
    if mistakes:
        raise OptionsError(mistakes)
    return Options(**values)


def _contradictions(values: Mapping[str, Any]) -> list[str]:
    loads = [flag for flag, name in (("--rows", "rows"), ("--rate", "rate"), ("--stages", "stages")) if values.get(name)]
    mistakes = []
    if len(loads) > 1:
        mistakes.append(f"{' and '.join(loads)} contradict each other; name one load")
    if values.get("rate") and not values.get("duration"):
        mistakes.append("--rate needs --duration, e.g. --duration 30s")
    if values.get("duration") and not values.get("rate"):
        mistakes.append("--duration needs --rate, e.g. --rate 1000")
    buffered, batch = values.get("max_buffered_messages"), values.get("batch_size")
    if buffered and batch and buffered < batch:
        mistakes.append(
            f"--max-buffered-messages {buffered} is below --batch-size {batch}; a batch would never fit, raise the first"
        )
    if (values.get("rows_per_transaction") or 1) > 1 and values.get("insert_method") == "single":
        mistakes.append("--rows-per-transaction above 1 needs --insert-method values or copy")
    return mistakes

"""The command line, the web form and the environment, read once into a frozen value.

Every option reaches Locust as a string, because argparse would stop at the first bad one; `resolve` reads
them all and reports all mistakes together. Locust also takes them from its configuration file, and from
environment variables (`CDC_RATE` for `--rate`).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cdc_users.error import OptionsError
from cdc_users.measure.plan import Stage, parse_duration, parse_rate, parse_stages
from cdc_users.measure.threshold import Threshold, parse_thresholds
from cdc_users.scenario import Capture, Source, Transport
from cdc_users.workload import InsertMethod, parse_mix, parse_skew


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its flag, what it says in `--help` and in the form, its default as text, and its reader."""

    flag: str
    help: str
    default: str
    read: Callable[[str], Any]

    @property
    def name(self) -> str:
        """The attribute under which Locust and `Options` know it."""
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def switch(self) -> bool:
        """Whether the flag alone means yes."""
        return self.read is _flag


@dataclass(frozen=True, slots=True)
class Options:
    """One run's settings, validated. Field names are the options' names; durations are in seconds."""

    rows: tuple[int, ...]
    rate: float | None
    duration: float | None
    stages: tuple[Stage, ...]
    warm_up: float | None
    arrival: Literal["constant", "poisson"]
    seed: int
    late: float | None
    lanes: int
    drain_timeout: float
    rows_per_transaction: int
    insert_method: InsertMethod
    row_bytes: int
    mix: tuple[int, int, int]
    key_skew: float
    live_keys: int
    tables: int
    threshold: tuple[Threshold, ...]
    source: Source
    capture: Capture
    transport: Transport
    kinesis_endpoint: str
    pubsub_endpoint: str
    sink: str
    sink_delay: tuple[float, ...]
    batch_size: int
    max_buffered_messages: int
    partitions: tuple[int, ...]
    instances: tuple[int, ...]
    iceberg_mode: str
    iceberg_commit_interval: float
    platform: str
    topic: str
    connector: str
    table: str
    sink_tap: str
    sinks: tuple[str, ...]
    records: int
    mode: Literal["", "drain", "paced"]
    debezium_headers: bool
    evolve_at: int | None
    overload: float
    fill: float
    hold: float
    repeat: int
    tuning: Literal["latency", "throughput"]
    smoke: bool
    results: Path
    allow_target: tuple[str, ...]
    quiet: bool
    metrics_port: int | None
    allow_web_host: bool


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


def _durations(text: str) -> tuple[float, ...]:
    return tuple(parse_duration(part) for part in text.split(","))


def _table(text: str) -> str:
    schema, _, name = text.rpartition(".")
    if not schema or not name:
        raise ValueError(f"{text!r} is not SCHEMA.TABLE, e.g. public.customers")
    return text


def _sink_tap(text: str) -> str:
    kind, _, place = text.partition(":")
    if kind not in SINK_TAPS or not place:
        raise ValueError(f"{text!r} is not one of {', '.join(SINK_TAPS.values())}")
    if kind == "webhook" and not (place.isdigit() and int(place) < 65536):
        raise ValueError(f"{text!r} names no port; write e.g. webhook:8080")
    if kind == "postgres":
        _table(place)
    return text


def _factor(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None
    if not 1 < value <= 1000:
        raise ValueError(f"{text!r} must be above 1 (more than the sink can take) and at most 1000")
    return value


def _late(text: str) -> float | None:
    """The lateness in seconds beyond which an arrival is dropped; None where none is."""
    policy, colon, tolerance = text.partition(":")
    if text == "catch-up":
        return None
    if policy != "drop" or (colon and not tolerance):
        raise ValueError(f"{text!r} is neither catch-up nor drop nor drop:DURATION, e.g. drop:50ms")
    return parse_duration(tolerance) if tolerance else DROP_AFTER_S


def _natural(text: str) -> int:
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


def _choice(*allowed: str) -> Choice:
    return Choice(allowed)


def _sinks(text: str) -> tuple[str, ...]:
    return tuple(_choice(*SINKS, WAITING)(name) for name in _words(text))


def _flag(text: str) -> bool:
    known = {"yes": True, "true": True, "1": True, "on": True, "no": False, "false": False, "0": False, "off": False}
    if text.lower() not in known:
        raise ValueError(f"{text!r} is neither yes nor no")
    return known[text.lower()]


def _port(text: str) -> int:
    value = _natural(text)
    if value > 65535:
        raise ValueError(f"{text!r} is not a port; name one of 0 (any free one) to 65535")
    return value


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.replace(",", " ").split() if word)


#: Later than this, `--late drop` drops an arrival.
DROP_AFTER_S = 0.1
WAITING, WAIT_MS, WAITING_BATCH = "waiting", 5.0, 10
SINK_TAPS = {"webhook": "webhook:PORT", "postgres": "postgres:SCHEMA.TABLE", "topic": "topic:NAME"}
SINKS = ("counting", "slow", "webhook", "postgres", "iceberg")
OPTIONS: tuple[Option, ...] = (
    Option("--rows", "Volumes, one burst step each: rows written as fast as they go.", "", _counts),
    Option(
        "--rate", "Open loop instead: arrivals (transactions) per second, e.g. 1000; needs --duration.", "", parse_rate
    ),
    Option("--duration", "How long --rate is held, e.g. 30s or 5m.", "", parse_duration),
    Option(
        "--stages",
        "Open loop in stages, one step each: RATE:DURATION, or a ramp RATE->RATE:DURATION, or warmup:RATE:DURATION.",
        "",
        parse_stages,
    ),
    Option("--warm-up", "Run --rate, or the first stage's, so long before: shown, not judged.", "", parse_duration),
    Option(
        "--arrival",
        "How open-loop arrivals are spaced: constant, or poisson (of --seed).",
        "constant",
        _choice("constant", "poisson"),
    ),
    Option("--seed", "What random choices follow from: arrivals, keys, operations, payload.", "1", _natural),
    Option(
        "--late",
        "What to do with arrivals that start late: catch-up, drop (if later than 100 ms) or drop:DURATION.",
        "catch-up",
        _late,
    ),
    Option("--lanes", "Writers at work at the same time, over all workers; each is one Locust user.", "8", _count),
    Option("--drain-timeout", "How long to wait for the last event once the load has ended.", "60s", parse_duration),
    Option("--rows-per-transaction", "Rows in each transaction.", "1", _count),
    Option(
        "--insert-method",
        "single (one INSERT a row), values (one INSERT of many rows) or copy.",
        "single",
        _choice("single", "values", "copy"),
    ),
    Option("--row-bytes", "Payload added to each row, in bytes.", "0", _natural),
    Option("--mix", "Weights of operations, e.g. insert=80,update=15,delete=5.", "insert=100", parse_mix),
    Option(
        "--key-skew", "Keys that updates and deletes take: uniform, or zipf:S, e.g. zipf:1.2.", "uniform", parse_skew
    ),
    Option("--live-keys", "Among how many of its newest keys each writer chooses.", "1000", _count),
    Option("--tables", "Source tables that the rows are spread over.", "1", _count),
    Option(
        "--threshold",
        "What must hold, several by semicolon, e.g. 'end_to_end.p99 < 500ms; throughput > 2000/s'.",
        "",
        parse_thresholds,
    ),
    Option(
        "--source",
        "Where events go in: postgres (INSERT, then capture) or topic (straight to Kafka).",
        "postgres",
        _choice("postgres", "topic"),
    ),
    Option(
        "--capture",
        "Who reads the database's log: debezium, or wal (the direct reader).",
        "debezium",
        _choice("debezium", "wal"),
    ),
    Option(
        "--transport",
        "What the direct reader publishes to: kafka, kinesis or pubsub.",
        "kafka",
        _choice("kafka", "kinesis", "pubsub"),
    ),
    Option(
        "--kinesis-endpoint",
        "URL of a Kinesis of your own (or AWS_ENDPOINT_URL_KINESIS); empty starts an emulator.",
        "",
        str,
    ),
    Option(
        "--pubsub-endpoint",
        "HOST:PORT of a Pub/Sub emulator of your own (or PUBSUB_EMULATOR_HOST); empty starts one.",
        "",
        str,
    ),
    Option(
        "--sink",
        "The reference platform's sink: counting, slow, webhook, postgres or iceberg.",
        "counting",
        _choice(*SINKS),
    ),
    Option(
        "--sink-delay",
        "What the slow sink sleeps in each write; several where a scenario compares.",
        "50ms",
        _durations,
    ),
    Option("--batch-size", "Most events in one write of the sink.", "500", _count),
    Option("--max-buffered-messages", "Most events that the platform may hold in memory.", "10000", _count),
    Option("--partitions", "Partitions of the topic; several where a scenario compares.", "1", _counts),
    Option(
        "--instances",
        "Processes of the platform in one consumer group; several where a scenario compares.",
        "1",
        _counts,
    ),
    Option(
        "--iceberg-mode",
        "append (every change) or upsert (the current state).",
        "append",
        _choice("append", "upsert"),
    ),
    Option("--iceberg-commit-interval", "How often the Iceberg sink commits.", "1s", parse_duration),
    Option(
        "--platform",
        "reference, none (your own runs already), or a command line that takes the reference's options.",
        "reference",
        str,
    ),
    Option("--topic", "A topic of yours to use as it is, instead of a fresh one.", "", str),
    Option("--connector", "A connector of yours to use as it is; needs --table and --topic.", "", str),
    Option(
        "--table",
        "The table that --connector captures, SCHEMA.TABLE, with the columns of docs/external.md.",
        "",
        _table,
    ),
    Option(
        "--sink-tap",
        "Where events come out of your own platform: webhook:PORT, postgres:SCHEMA.TABLE or topic:NAME.",
        "",
        _sink_tap,
    ),
    Option(
        "--sinks",
        f"Latency, partitions: the sinks that are measured one after another, of {', '.join(SINKS)}; partitions also "
        f"has {WAITING} (slow by {WAIT_MS:g} ms for each write of at most {WAITING_BATCH} events).",
        "webhook,postgres,iceberg",
        _sinks,
    ),
    Option(
        "--records",
        "Latency, partitions: records that are in the topic before the platform starts to read.",
        "10000",
        _count,
    ),
    Option(
        "--mode",
        "Latency: drain (records wait in the topic) or paced (open loop, with --rate); paced where --rate is given.",
        "",
        _choice("drain", "paced"),
    ),
    Option("--debezium-headers", "Straight to the topic: yes sends Debezium's headers with each record.", "no", _flag),
    Option("--evolve-at", "Straight to the topic: the arrival at which a column is added to the schema.", "", _count),
    Option("--overload", "Backpressure: offered load as a multiple of what the sink can take.", "3", _factor),
    Option("--fill", "Backpressure: how long queues are given to fill under overload.", "5s", parse_duration),
    Option("--hold", "Backpressure: how long the overload is then held and judged.", "10s", parse_duration),
    Option("--repeat", "Partitions: how often the whole row of steps is run; medians are compared.", "1", _count),
    Option(
        "--tuning",
        "Debezium for latency or for throughput (docs/stack.md has the cost).",
        "latency",
        _choice("latency", "throughput"),
    ),
    Option("--smoke", "yes checks ledger, files and exit code only, and publishes no figure.", "no", _flag),
    Option("--results", "Where result directories go.", "results", Path),
    Option(
        "--allow-target", "HOST:PORT outside loopback that may be loaded, named exactly; several by comma.", "", _words
    ),
    Option("--quiet", "yes prints no progress, only the table, the verdict and what is wrong.", "no", _flag),
    Option("--metrics-port", "Headless runs serve Prometheus metrics on 127.0.0.1 at this port.", "", _port),
    Option("--allow-web-host", "yes lets the web UI listen outside loopback without a login.", "no", _flag),
)
UNSET: Mapping[str, Any] = {
    "rows": (),
    "rate": None,
    "duration": None,
    "stages": (),
    "warm_up": None,
    "threshold": (),
    "allow_target": (),
    "mode": "",
    "evolve_at": None,
    "topic": "",
    "kinesis_endpoint": "",
    "pubsub_endpoint": "",
    "connector": "",
    "table": "",
    "sink_tap": "",
    "metrics_port": None,
}
LOADS = ("rows", "rate", "duration", "stages")


def texts(source: Mapping[str, Any], defaults: Mapping[str, str]) -> dict[str, str]:
    """The options' texts out of Locust's namespace: what was given, else the scenario's default, else ours."""
    given = {option.name: str(source.get(option.name) or "").strip() for option in OPTIONS}
    # The scenario's default load gives way as a whole, or `--rate` would contradict a default `--rows`.
    own_load = any(given[name] for name in LOADS)
    fallback = {option.name: defaults.get(option.name, option.default) for option in OPTIONS}
    if own_load:
        fallback.update(dict.fromkeys(LOADS, ""))
    return {name: text or fallback[name] for name, text in given.items()}


def command_line(scenario: str, argv: Sequence[str], source: Mapping[str, Any]) -> str:
    """The command that repeats a run: as it was given, or, for one started from the web form, what would do the same.

    `source` is Locust's namespace, with the form's texts in it.
    """
    if "--headless" in argv or "--autostart" in argv:
        return shlex.join(["locust", *argv])
    given = [(option.flag, str(source.get(option.name) or "").strip()) for option in OPTIONS]
    flags = [part for flag, text in given if text for part in (flag, text)]
    return shlex.join(["locust", "-f", f"locustfiles/{scenario}.py", "--headless", *flags])


def resolve(given: Mapping[str, str]) -> Options:
    """Read every option's text (by name); raises OptionsError with all mistakes, touching no server."""
    values: dict[str, Any] = {}
    mistakes: list[str] = []
    for option in OPTIONS:
        text = given.get(option.name, option.default)
        try:
            values[option.name] = option.read(text) if text else UNSET[option.name]
        except ValueError as error:
            mistakes.append(f"{option.flag}: {error}")
        except KeyError:
            mistakes.append(f"{option.flag}: a value is needed; its default is {option.default}")
    mistakes += _contradictions(values)
    if mistakes:
        raise OptionsError(mistakes)
    return Options(**values)


def read_switch(text: str) -> bool:
    """A single yes-or-no option, for who needs it before all are read; raises OptionsError."""
    return bool(_alone(text, _flag))


def read_port(text: str) -> int:
    """A single port, for who needs it before all are read; raises OptionsError."""
    return int(_alone(text, _port))


def _alone(text: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(text)
    except ValueError as error:
        raise OptionsError([str(error)]) from error


def _contradictions(values: Mapping[str, Any]) -> list[str]:
    mistakes = _plan_contradictions(values)
    buffered, batch = values.get("max_buffered_messages"), values.get("batch_size")
    if buffered and batch and buffered < batch:
        mistakes.append(
            f"--max-buffered-messages {buffered} is below --batch-size {batch}; a batch would never fit, raise it"
        )
    size = values.get("rows_per_transaction") or 1
    mistakes += [
        f"--rows {rows} is not a multiple of --rows-per-transaction {size}; make it one"
        for rows in values.get("rows") or ()
        if rows % size
    ]
    fewest, most = min(values.get("partitions") or (1,)), max(values.get("instances") or (1,))
    if most > fewest:
        mistakes.append(
            f"--instances {most} is more than --partitions {fewest}; {most - fewest} would idle, raise --partitions"
        )
    mistakes += _load_contradictions(values)
    if values.get("capture") == "debezium" and values.get("transport") in ("kinesis", "pubsub"):
        mistakes.append(f"--transport {values['transport']} needs --capture wal; Debezium writes to Kafka here")
    if values.get("capture") == "wal" and values.get("source") == "topic":
        mistakes.append("--capture wal needs --source postgres: straight to the topic there is nothing to capture")
    return [*mistakes, *_topic_contradictions(values), *_own_contradictions(values)]


def _topic_contradictions(values: Mapping[str, Any]) -> list[str]:
    """What does not go together about production straight to the topic."""
    mistakes = []
    if values.get("mode") == "paced" and not values.get("rate"):
        mistakes.append("--mode paced needs --rate and --duration, e.g. --rate 1000 --duration 30s")
    if values.get("mode") == "drain" and values.get("rate"):
        mistakes.append("--mode drain and --rate contradict each other; a drain has no rate, only --records")
    if values.get("source") == "postgres" and (values.get("evolve_at") or values.get("debezium_headers")):
        mistakes.append("--evolve-at and --debezium-headers need --source topic; from the database Debezium decides")
    return mistakes


def _plan_contradictions(values: Mapping[str, Any]) -> list[str]:
    """What does not go together about when arrivals come."""
    mistakes = []
    loads = [f"--{name}" for name in ("rows", "rate", "stages") if values.get(name)]
    if len(loads) > 1:
        mistakes.append(f"{' and '.join(loads)} contradict each other; name one load")
    if values.get("rate") and not values.get("duration"):
        mistakes.append("--rate needs --duration, e.g. --duration 30s")
    if values.get("duration") and not values.get("rate"):
        mistakes.append("--duration needs --rate, e.g. --rate 1000")
    if values.get("rate") and values.get("duration") and values["rate"] * values["duration"] < 1:
        mistakes.append(f"--rate {values['rate']:g} for {values['duration']:g} s makes no arrival; raise one of them")
    if loads == ["--rows"]:
        paced = {
            "--warm-up": values.get("warm_up"),
            "--late drop": values.get("late"),
            "--arrival poisson": values.get("arrival") == "poisson",
        }
        mistakes += [f"{flag} needs --rate or --stages: a volume is due at once" for flag in paced if paced[flag]]
    return mistakes


def _load_contradictions(values: Mapping[str, Any]) -> list[str]:
    """What does not go together about how rows are written."""
    mistakes = []
    if values.get("source") == "topic" and values.get("insert_method") not in ("single", None):
        mistakes.append(f"--insert-method {values['insert_method']} needs --source postgres: a topic knows no INSERT")
    if (values.get("tables") or 1) > 1 and (values.get("table") or values.get("topic")):
        mistakes.append("--tables above 1 needs tables and topics of the run's own; leave --table and --topic out")
    if (values.get("key_skew") or 0) > 0 and values.get("mix") is not None and not any(values["mix"][1:]):
        mistakes.append("--key-skew needs updates or deletes in --mix, e.g. insert=80,update=20")
    return mistakes


def _own_contradictions(values: Mapping[str, Any]) -> list[str]:
    """What does not go together about a pipeline of the user's own."""
    mistakes = []
    own = {name: values.get(name) for name in ("topic", "connector", "table", "sink_tap")}
    if own["connector"] and not (own["table"] and own["topic"]):
        mistakes.append("--connector needs --table (what it captures) and --topic (what it writes to)")
    if own["table"] and not own["connector"]:
        mistakes.append("--table needs --connector; without one the run creates a table of its own")
    if own["topic"] and not own["connector"] and values.get("source") == "postgres":
        mistakes.append("--topic needs --source topic, or the --connector that writes to it")
    if (values.get("platform") == "none") != bool(own["sink_tap"]):
        mistakes.append("--platform none and --sink-tap go together: who is not ours is seen by where events come out")
    return mistakes

"""The command line, the web form and the environment, read once into a frozen value.

Every option reaches Locust as a string, because argparse would stop at the first bad one;
`resolve` reads them all and reports all mistakes together. Locust also takes them from its
configuration file, and from environment variables (`CDC_RATE` for `--rate`).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cdc_users.error import OptionsError
from cdc_users.measure.judgement.threshold import Threshold, parse_thresholds
from cdc_users.measure.ledger.probe import LARGEST_TRANSACTION
from cdc_users.measure.schedule.plan import LoadStage, parse_duration, parse_rate, parse_stages
from cdc_users.options import parse
from cdc_users.options.conflict import contradictions
from cdc_users.options.parse import SINKS, WAIT_MS, WAITING, WAITING_BATCH
from cdc_users.scenario import Capture, SourceKind, Transport
from cdc_users.users.workload.workload import (
    KEYS_PER_WRITER,
    InsertMethod,
    Workload,
    parse_mix,
    parse_skew,
)


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its flag, what it says in `--help` and in the form, its default as text, and its
    reader.
    """

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
        return self.read is parse.flag


@dataclass(frozen=True, slots=True)
class Options:
    """One run's settings, validated.

    Field names are the options' names; durations are in seconds.
    """

    rows: tuple[int, ...]
    rate: float | None
    duration: float | None
    stages: tuple[LoadStage, ...]
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
    source: SourceKind
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


#: Keys of a writer are apart from the next one's as long as it makes no more of them; a delete
#: takes two sequences.
MOST_ROWS = KEYS_PER_WRITER // 2
MOST_SEED = 10**18
OPTIONS: tuple[Option, ...] = (
    Option(
        "--rows",
        "Volumes, one burst step each: rows written as fast as they go.",
        "",
        parse.Counts(MOST_ROWS),
    ),
    Option(
        "--rate",
        "Open loop instead: arrivals (transactions) per second, e.g. 1000; needs --duration.",
        "",
        parse_rate,
    ),
    Option("--duration", "How long --rate is held, e.g. 30s or 5m.", "", parse_duration),
    Option(
        "--stages",
        "Open loop in stages, one step each: RATE:DURATION, or a ramp RATE->RATE:DURATION, or"
        " warmup:RATE:DURATION.",
        "",
        parse_stages,
    ),
    Option(
        "--warm-up",
        "Run --rate, or the first stage's, so long before: shown, not judged.",
        "",
        parse_duration,
    ),
    Option(
        "--arrival",
        "How open-loop arrivals are spaced: constant, or poisson (of --seed).",
        "constant",
        parse.choice("constant", "poisson"),
    ),
    Option(
        "--seed",
        "What random choices follow from: arrivals, keys, operations, payload.",
        "1",
        parse.Count(MOST_SEED, least=0),
    ),
    Option(
        "--late",
        "What to do with arrivals that start late: catch-up, drop (if later than 100 ms) or"
        " drop:DURATION.",
        "catch-up",
        parse.late,
    ),
    Option(
        "--lanes",
        "Writers at work at the same time, over all workers; each is one Locust user.",
        "8",
        parse.lanes,
    ),
    Option(
        "--drain-timeout",
        "How long to wait for the last event once the load has ended.",
        "60s",
        parse_duration,
    ),
    Option(
        "--rows-per-transaction", "Rows in each transaction.", "1", parse.Count(LARGEST_TRANSACTION)
    ),
    Option(
        "--insert-method",
        "single (one INSERT a row), values (one INSERT of many rows) or copy.",
        "single",
        parse.choice("single", "values", "copy"),
    ),
    Option(
        "--row-bytes", "Payload added to each row, in bytes.", "0", parse.Count(10_000_000, least=0)
    ),
    Option(
        "--mix",
        "Weights of operations, e.g. insert=80,update=15,delete=5.",
        "insert=100",
        parse_mix,
    ),
    Option(
        "--key-skew",
        "Keys that updates and deletes take: uniform, or zipf:S, e.g. zipf:1.2.",
        "uniform",
        parse_skew,
    ),
    Option(
        "--live-keys",
        "Among how many of its newest keys each writer chooses.",
        "1000",
        parse.Count(1_000_000),
    ),
    Option("--tables", "Source tables that the rows are spread over.", "1", parse.Count(100)),
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
        parse.choice("postgres", "topic"),
    ),
    Option(
        "--capture",
        "Who reads the database's log: debezium, or wal (the direct reader).",
        "debezium",
        parse.choice("debezium", "wal"),
    ),
    Option(
        "--transport",
        "What the direct reader publishes to: kafka, kinesis or pubsub.",
        "kafka",
        parse.choice("kafka", "kinesis", "pubsub"),
    ),
    Option(
        "--kinesis-endpoint",
        "URL of a Kinesis of your own (or AWS_ENDPOINT_URL_KINESIS); empty starts an emulator.",
        "",
        parse.kinesis_endpoint,
    ),
    Option(
        "--pubsub-endpoint",
        "HOST:PORT of a Pub/Sub emulator of your own (or PUBSUB_EMULATOR_HOST); empty starts one.",
        "",
        parse.pubsub_endpoint,
    ),
    Option(
        "--sink",
        "The reference platform's sink: counting, slow, webhook, postgres or iceberg.",
        "counting",
        parse.choice(*SINKS),
    ),
    Option(
        "--sink-delay",
        "What the slow sink sleeps in each write; several where a scenario compares.",
        "50ms",
        parse.durations,
    ),
    Option("--batch-size", "Most events in one write of the sink.", "500", parse.Count(1_000_000)),
    Option(
        "--max-buffered-messages",
        "Most events that the platform may hold in memory.",
        "10000",
        parse.Count(10_000_000),
    ),
    Option(
        "--partitions",
        "Partitions of the topic; several where a scenario compares.",
        "1",
        parse.Counts(1000),
    ),
    Option(
        "--instances",
        "Processes of the platform in one consumer group; several where a scenario compares.",
        "1",
        parse.Counts(100),
    ),
    Option(
        "--iceberg-mode",
        "append (every change) or upsert (the current state).",
        "append",
        parse.choice("append", "upsert"),
    ),
    Option(
        "--iceberg-commit-interval", "How often the Iceberg sink commits.", "1s", parse_duration
    ),
    Option(
        "--platform",
        "reference, none (your own runs already), or a command line that takes the reference's"
        " options.",
        "reference",
        parse.platform,
    ),
    Option(
        "--topic",
        "A topic of yours to use as it is, instead of a fresh one; for one pipeline a run.",
        "",
        parse.topic,
    ),
    Option(
        "--connector", "A connector of yours to use as it is; needs --table and --topic.", "", str
    ),
    Option(
        "--table",
        "The table that --connector captures, SCHEMA.TABLE, with the columns of docs/external.md.",
        "",
        parse.table,
    ),
    Option(
        "--sink-tap",
        "Where events come out of your own platform: webhook:PORT, postgres:SCHEMA.TABLE or"
        " topic:NAME.",
        "",
        parse.sink_tap,
    ),
    Option(
        "--sinks",
        "Latency, partitions: the sinks that are measured one after another, of"
        f" {', '.join(SINKS)}; partitions also has {WAITING} (slow by {WAIT_MS:g} ms for each write"
        f" of at most {WAITING_BATCH} events).",
        "webhook,postgres,iceberg",
        parse.sinks,
    ),
    Option(
        "--records",
        "Latency, partitions: records that are in the topic before the platform starts to read.",
        "10000",
        parse.Count(MOST_ROWS),
    ),
    Option(
        "--mode",
        "Latency: drain (records wait in the topic) or paced (open loop, with --rate); paced where"
        " --rate is given.",
        "",
        parse.choice("drain", "paced"),
    ),
    Option(
        "--debezium-headers",
        "Straight to the topic: yes sends Debezium's headers with each record.",
        "no",
        parse.flag,
    ),
    Option(
        "--evolve-at",
        "Straight to the topic: the arrival at which a column is added to the schema.",
        "",
        parse.Count(MOST_ROWS),
    ),
    Option(
        "--overload",
        "Backpressure: offered load as a multiple of what the sink can take.",
        "3",
        parse.factor,
    ),
    Option(
        "--fill",
        "Backpressure: how long queues are given to fill under overload.",
        "5s",
        parse_duration,
    ),
    Option(
        "--hold",
        "Backpressure: how long the overload is then held and judged.",
        "10s",
        parse_duration,
    ),
    Option(
        "--repeat",
        "Partitions: how often the whole row of steps is run; rounds are compared one by one.",
        "1",
        parse.Count(100),
    ),
    Option(
        "--tuning",
        "Debezium for latency or for throughput (docs/stack.md has the cost).",
        "latency",
        parse.choice("latency", "throughput"),
    ),
    Option(
        "--smoke",
        "yes checks ledger, files and exit code only, and publishes no figure.",
        "no",
        parse.flag,
    ),
    Option("--results", "Where result directories go.", "results", parse.directory),
    Option(
        "--allow-target",
        "HOST:PORT outside loopback that may be loaded, named exactly; several by comma.",
        "",
        parse.words,
    ),
    Option(
        "--quiet",
        "yes prints no progress, only the table, the verdict and what is wrong.",
        "no",
        parse.flag,
    ),
    Option(
        "--metrics-port",
        "Headless runs serve Prometheus metrics on 127.0.0.1 at this port.",
        "",
        parse.port,
    ),
    Option(
        "--allow-web-host",
        "yes lets the web UI listen outside loopback without a login.",
        "no",
        parse.flag,
    ),
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


def given_texts(source: Mapping[str, Any]) -> dict[str, str]:
    """The texts of the options that were given, out of Locust's namespace or a form."""
    found = {option.name: str(source.get(option.name) or "").strip() for option in OPTIONS}
    return {name: text for name, text in found.items() if text}


def texts(source: Mapping[str, Any], defaults: Mapping[str, str]) -> dict[str, str]:
    """The texts of all options: what was given, else the scenario's default, else ours."""
    given = given_texts(source)
    fallback = {option.name: defaults.get(option.name, option.default) for option in OPTIONS}
    # The scenario's default load gives way as a whole, or `--rate` would contradict a default
    # `--rows`.
    if any(name in given for name in LOADS):
        fallback.update(dict.fromkeys(LOADS, ""))
    return fallback | given


def command_line(scenario: str, argv: Sequence[str], source: Mapping[str, Any]) -> str:
    """The command that repeats a run: as it was given, or, for one started from the web form, what
    would do the same.

    `source` is Locust's namespace, with the form's texts in it.
    """
    if "--headless" in argv or "--autostart" in argv:
        return shlex.join(["locust", *argv])
    given = given_texts(source)
    flags = [
        part
        for option in OPTIONS
        if option.name in given
        for part in (option.flag, given[option.name])
    ]
    return shlex.join(["locust", "-f", f"locustfiles/{scenario}.py", "--headless", *flags])


def resolve(given: Mapping[str, str], known: Sequence[str] = ()) -> Options:
    """Read every option's text (by name); raises OptionsError with all mistakes, those `known`
    before first.
    """
    values: dict[str, Any] = {}
    mistakes = list(known)
    for option in OPTIONS:
        text = given.get(option.name, option.default)
        try:
            values[option.name] = option.read(text) if text else UNSET[option.name]
        except ValueError as error:
            mistakes.append(f"{option.flag}: {error}")
        except KeyError:
            mistakes.append(f"{option.flag}: a value is needed; its default is {option.default}")
    mistakes += contradictions(values)
    if mistakes:
        raise OptionsError(mistakes)
    return Options(**values)


def read_alone(flag: str, text: str) -> Any:
    """What one option's text says, for who needs it before all are read; raises OptionsError."""
    (option,) = (option for option in OPTIONS if option.flag == flag)
    try:
        return option.read(text)
    except ValueError as error:
        raise OptionsError([f"{flag}: {error}"]) from error


def workload_of(options: Options) -> Workload:
    """What every writer writes."""
    return Workload(
        mix=options.mix,
        skew=options.key_skew,
        live_keys=options.live_keys,
        tables=options.tables,
        row_bytes=options.row_bytes,
        insert_method=options.insert_method,
        seed=options.seed,
    )

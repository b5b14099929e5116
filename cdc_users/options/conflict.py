"""What options need and exclude, each with its remedy: the rules that their records name.

A rule takes the values that were read, by option, and returns every mistake. Pure. A value that
could not be read is missing; its own mistake is reported already, so a rule says nothing about it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cdc_users.measure.ledger.probe import LARGEST_TRANSACTION
from cdc_users.pipeline.declaration import (
    DEFAULT_SINK,
    CaptureDeclaration,
    can_feed,
    captures,
    outlets,
    sources,
    transports,
)
from infra.validate import endpoint_address, is_loopback

#: The values that were read, by option; one that could not be read is missing.
OptionValues = Mapping[str, Any]
#: What is wrong with an option beside the others: every mistake, with its remedy.
Rule = Callable[[OptionValues], Sequence[str]]
#: Stands for a value that could not be read: it is not absent.
_UNREADABLE = object()


def one_load(values: OptionValues) -> Sequence[str]:
    """Rows, a rate and stages are three loads."""
    loads = [f"--{name}" for name in ("rows", "rate", "stages") if values.get(name)]
    return [f"{' and '.join(loads)} contradict each other; name one load"] if len(loads) > 1 else []


def rate_lasts(values: OptionValues) -> Sequence[str]:
    """A rate is held for a while."""
    if values.get("faults", _UNREADABLE):
        return []  # it is held for as long as the faults take
    if values.get("rate") and not values.get("duration", _UNREADABLE):
        return ["--rate needs --duration, e.g. --duration 30s"]
    return []


def duration_has_a_rate(values: OptionValues) -> Sequence[str]:
    """A duration is how long a rate is held."""
    if values.get("duration") and not values.get("rate", _UNREADABLE):
        return ["--duration needs --rate, e.g. --rate 1000"]
    return []


def rate_makes_an_arrival(values: OptionValues) -> Sequence[str]:
    """A load is at least one arrival."""
    rate, duration = values.get("rate"), values.get("duration")
    if rate and duration and rate * duration < 1:
        return [f"--rate {rate:g} for {duration:g} s makes no arrival; raise one of them"]
    return []


def mode_fits_the_rate(values: OptionValues) -> Sequence[str]:
    """A paced step has a rate, a drain has none."""
    mode, rate = values.get("mode"), values.get("rate", _UNREADABLE)
    if mode == "paced" and not rate:
        return ["--mode paced needs --rate and --duration, e.g. --rate 1000 --duration 30s"]
    if mode == "drain" and rate not in (None, _UNREADABLE):
        return [
            "--mode drain and --rate contradict each other; a drain has no rate, only --records"
        ]
    return []


def whole_transactions(values: OptionValues) -> Sequence[str]:
    """Rows fill their transactions."""
    size = values.get("rows_per_transaction") or 1
    return [
        f"--rows {rows} is not a multiple of --rows-per-transaction {size}; make it one"
        for rows in values.get("rows") or ()
        if rows % size
    ]


def deletes_fit_a_transaction(values: OptionValues) -> Sequence[str]:
    """A delete makes two events."""
    size, mix = values.get("rows_per_transaction") or 1, values.get("mix")
    most = LARGEST_TRANSACTION // 2
    if mix is not None and mix[2] and size > most:
        return [f"--rows-per-transaction {size} with deletes in --mix must be at most {most:,}"]
    return []


def insert_method_has_a_table(values: OptionValues) -> Sequence[str]:
    """Straight to the topic nothing is inserted."""
    method = values.get("insert_method")
    if values.get("source") == "topic" and method not in ("single", None):
        return [f"--insert-method {method} needs --source postgres: a topic knows no INSERT"]
    return []


def skew_has_changes(values: OptionValues) -> Sequence[str]:
    """An insert chooses no key."""
    mix = values.get("mix")
    if (values.get("key_skew") or 0) > 0 and mix is not None and not any(mix[1:]):
        return ["--key-skew needs updates or deletes in --mix, e.g. insert=80,update=20"]
    return []


def tables_are_the_runs(values: OptionValues) -> Sequence[str]:
    """A table or topic of the user's own is one."""
    if (values.get("tables") or 1) > 1 and (values.get("table") or values.get("topic")):
        return [
            "--tables above 1 needs tables and topics of the run's own; leave it out, and name all"
            " of yours by --table"
        ]
    sink = values.get("sink")
    upserts = sink == "iceberg" and values.get("iceberg_mode") == "upsert"
    if (values.get("tables") or 1) > 1 and (sink == "postgres" or upserts):
        return [
            "--tables above 1 needs a sink that keeps their events apart, such as webhook: a table"
            " of current rows takes one table of the source"
        ]
    return []


def topic_alone(values: OptionValues) -> Sequence[str]:
    """From the database Debezium makes the records."""
    if values.get("source") == "postgres" and (
        values.get("evolve_at") or values.get("debezium_headers")
    ):
        return [
            "--evolve-at and --debezium-headers need --source topic; from the database Debezium"
            " decides"
        ]
    return []


def buffer_holds_a_batch(values: OptionValues) -> Sequence[str]:
    """What may be buffered is at least one batch."""
    buffered, batch = values.get("max_buffered_messages"), values.get("batch_size")
    if buffered and batch and buffered < batch:
        return [
            f"--max-buffered-messages {buffered} is below --batch-size {batch}; a batch would never"
            " fit, raise it"
        ]
    return []


def instances_have_partitions(values: OptionValues) -> Sequence[str]:
    """An instance without a partition does nothing."""
    fewest, most = min(values.get("partitions") or (1,)), max(values.get("instances") or (1,))
    if most > fewest:
        return [
            f"--instances {most} is more than --partitions {fewest}; {most - fewest} would idle,"
            " raise --partitions"
        ]
    return []


def direct_reader_has_a_database(values: OptionValues) -> Sequence[str]:
    """The direct reader reads a database's log."""
    source = sources().by_name.get(str(values.get("source")))
    if _by_reader(values) and source is not None and not source.database:
        return [
            f"--capture {values['capture']} needs --source postgres: straight to the topic there"
            " is nothing to capture"
        ]
    return []


def capture_publishes_there(values: OptionValues) -> Sequence[str]:
    """Each capture has the transports that it can write to."""
    capture = _capture_of(values)
    transport = transports().by_name.get(str(values.get("transport")))
    if capture is None or transport is None or capture.publishes_to(transport):
        return []
    others = [one.name for one in captures().by_name.values() if one.publishes_to(transport)]
    known = [one.name for one in transports().by_name.values() if capture.publishes_to(one)]
    return [
        f"--transport {transport.name} is not possible with --capture {capture.name}, which has"
        f" {', '.join(known)}; it needs --capture {' or '.join(others)}"
    ]


def endpoint_of(transport: str) -> Rule:
    """An endpoint belongs to its transport, and is on this machine or allowed by name."""
    name = f"{transport}_endpoint"

    def rule(values: OptionValues) -> Sequence[str]:
        endpoint = values.get(name)
        if not endpoint or "transport" not in values:
            return []
        if values["transport"] != transport:
            return [
                f"--{transport}-endpoint does nothing with --transport {values['transport']}; leave"
                " it out"
            ]
        foreign = _foreign(endpoint)
        if foreign and foreign not in values.get("allow_target", (foreign,)):
            return [
                f"--{transport}-endpoint {endpoint} is not on this machine; if it may be loaded, "
                f"add --allow-target {foreign}"
            ]
        return []

    return rule


def _foreign(endpoint: str) -> str:
    """HOST:PORT of an endpoint outside this machine; empty for one on it."""
    where = endpoint_address(endpoint)
    return "" if is_loopback(where.rpartition(":")[0]) else where


def _capture_of(values: OptionValues) -> CaptureDeclaration | None:
    """The capture's declaration; None where it could not be read."""
    return captures().by_name.get(str(values.get("capture")))


def _by_reader(values: OptionValues) -> bool:
    """Whether the direct reader reads the log, with or without a consumer behind it."""
    capture = _capture_of(values)
    return capture is not None and capture.direct


def _runs_already(values: OptionValues) -> bool:
    """Whether capture and all behind it are somebody else's."""
    capture = _capture_of(values)
    return capture is not None and capture.runs_already


def _direct(values: OptionValues) -> bool:
    """Whether the direct reader is all there is of a platform."""
    feeds = can_feed(
        str(values.get("capture")),
        str(values.get("transport")),
        str(values.get("sink", DEFAULT_SINK)),
    )
    return _by_reader(values) and not feeds


def not_of_the_direct_reader(name: str) -> Rule:
    """The direct reader has things of the run's own where Debezium could have the user's."""

    def rule(values: OptionValues) -> Sequence[str]:
        if not _by_reader(values) or not values.get(name):
            return []
        if _runs_already(values):
            idle = [f"--{name} does nothing with --capture none; leave it out"]
            return [] if name == "table" else idle
        return [
            f"--{name} is not possible with --capture {values['capture']}: it has a slot, a table"
            " and a stream of the run's own; leave it out, or use --capture debezium (in the"
            " scenario throughput)"
        ]

    return rule


def the_reader_is_the_platform(values: OptionValues) -> Sequence[str]:
    """With the direct reader there is no platform behind it."""
    if not _runs_already(values) and _direct(values) and values.get("platform") == "none":
        return [
            f"--platform none is not possible with --capture {values['capture']}: the reader is the"
            " platform; leave it out"
        ]
    return []


def nothing_is_captured_here(values: OptionValues) -> Sequence[str]:
    """Of a pipeline that is the user's from the table on, both ends must be named."""
    if not _runs_already(values):
        return []
    found = []
    ends = [values.get(name, _UNREADABLE) for name in ("table", "sink_tap")]
    if not all(ends) or values.get("platform") != "none":
        found.append(
            "--capture none is a pipeline of yours that runs already; it needs --platform none, the"
            " --table where events go in and the --sink-tap where they come out"
        )
    kind = str(values.get("sink_tap")).partition(":")[0]
    if kind == "postgres" and any((values.get("mix") or ())[1:]):
        found.append(
            "--sink-tap postgres sees a table's rows and not each change, and with --capture none"
            " nothing else is seen; with --mix use postgres-log, or insert alone"
        )
    return found


def own_stream_is_watched(values: OptionValues) -> Sequence[str]:
    """With the direct reader there is one place where events come out."""
    if _direct(values) and not _runs_already(values) and values.get("sink_tap"):
        return [
            f"--sink-tap is not possible with --capture {values['capture']}: its own stream is"
            " watched; leave it out"
        ]
    return []


def the_stream_is_the_end(values: OptionValues) -> Sequence[str]:
    """With the direct reader there is no sink."""
    sink = values.get("sink", "counting")
    if _direct(values) and sink != "counting":
        return [
            f"--sink {sink} is not possible with --capture {values['capture']} and this transport:"
            " its stream is the end; leave it out, or use --transport kafka"
        ]
    return []


def a_slot_has_one_reader(values: OptionValues) -> Sequence[str]:
    """Two processes cannot read one slot."""
    most = max(values.get("instances") or (1,))
    if _direct(values) and most > 1:
        return [
            f"--instances {most} is not possible with --capture {values['capture']}: a slot has one"
            " reader; leave it out"
        ]
    return []


def connector_has_table_and_topic(values: OptionValues) -> Sequence[str]:
    """A connector leads from a table to a topic."""
    ends = [values.get(name, _UNREADABLE) for name in ("table", "topic")]
    if not _by_reader(values) and values.get("connector") and not all(ends):
        return ["--connector needs --table (what it captures) and --topic (what it writes to)"]
    return []


def connector_has_a_database(values: OptionValues) -> Sequence[str]:
    """A connector reads a database's log."""
    if not _by_reader(values) and values.get("connector") and values.get("source") == "topic":
        return [
            "--connector needs --source postgres: straight to the topic there is nothing to capture"
        ]
    return []


def table_has_a_database(values: OptionValues) -> Sequence[str]:
    """Straight to the topic there is no table."""
    if _by_reader(values) or values.get("connector"):
        return []  # which says it already
    if values.get("table") and values.get("source") == "topic":
        return ["--table needs --source postgres: straight to the topic no table is written to"]
    return []


def of_own_tables(name: str, unset: object) -> Rule:
    """An option of the user's own tables needs one."""

    def rule(values: OptionValues) -> Sequence[str]:
        if values.get(name, unset) == unset or values.get("table", _UNREADABLE):
            return []
        flag = "--" + name.replace("_", "-")
        return [f"{flag} needs --table: the run's own tables have all that they need"]

    return rule


def a_topic_for_each_table(values: OptionValues) -> Sequence[str]:
    """A connector writes each table to a topic of its own."""
    tables, topics = (values.get(name) for name in ("table", "topic"))
    if not tables or not topics or len(topics.split(",")) == len(tables.split(",")):
        return []
    return [f"--topic {topics} must name one topic for each of --table {tables}, in their order"]


def topic_has_a_connector(values: OptionValues) -> Sequence[str]:
    """From the database only a connector writes to a topic of the user's own."""
    if _by_reader(values) or not values.get("topic") or values.get("connector", _UNREADABLE):
        return []
    if values.get("source") != "postgres":
        return []
    return [
        "--topic needs the --connector that writes to it and its --table, or --source topic,"
        " which the scenarios latency, backpressure and partitions have"
    ]


def group_of_a_platform_of_yours(values: OptionValues) -> Sequence[str]:
    """The reference platform's group is the run's own, and a direct reader has none."""
    if not values.get("group") or "platform" not in values:
        return []
    if not _direct(values) and values["platform"] == "none":
        return []
    return ["--group is that of a platform that runs already; it needs --platform none"]


def probe_path_is_of_messages(values: OptionValues) -> Sequence[str]:
    """Only messages have a form of the user's own; tables have columns."""
    if not values.get("probe_path") or "sink_tap" not in values:
        return []
    kind = str(values["sink_tap"]).partition(":")[0]
    known = outlets().by_name
    if kind in known and known[kind].messages:
        return []
    kinds = ", ".join(name for name, outlet in known.items() if outlet.messages)
    return [
        f"--probe-path says where messages have the probe; it needs --sink-tap of {kinds}"
        + (f", and {kind} has columns: name one by --probe-column" if kind else "")
    ]


def none_has_a_sink_tap(values: OptionValues) -> Sequence[str]:
    """A platform that is not ours is seen where events come out of it, and only there."""
    if _direct(values) or "platform" not in values or "sink_tap" not in values:
        return []
    platform, sink_tap = values["platform"], values["sink_tap"]
    if platform == "none" and not sink_tap:
        return [
            "--platform none needs --sink-tap: a platform that is not ours is seen by where events"
            " come out"
        ]
    if platform == "reference" and sink_tap:
        return [
            "--sink-tap needs a platform of yours: --platform none, or its command line; what comes"
            " out of the reference platform is seen by its sink"
        ]
    return []

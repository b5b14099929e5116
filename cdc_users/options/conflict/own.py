"""What the options of the user's own tables, topics and endpoints need and exclude."""

from __future__ import annotations

from collections.abc import Sequence

from cdc_users.observe.settings import listed_tables
from cdc_users.options.conflict.rule import (
    UNREADABLE,
    OptionValues,
    Rule,
    by_reader,
    is_direct,
    runs_already,
)
from cdc_users.pipeline.declaration import outlets
from cdc_users.pipeline.outlets.sink_tap import readable
from cdc_users.scenario import listed
from infra.validate import endpoint_address, is_loopback


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


def not_of_the_direct_reader(name: str) -> Rule:
    """An option for Debezium's own objects, which the direct reader never takes from the user."""

    def rule(values: OptionValues) -> Sequence[str]:
        if not by_reader(values) or not values.get(name):
            return []
        if runs_already(values):
            idle = [f"--{name} does nothing with --capture none; leave it out"]
            return [] if name == "table" else idle
        return [
            f"--{name} is not possible with --capture {values['capture']}: it has a slot, a table"
            " and a stream of the run's own; leave the option out, or use --capture debezium (in"
            " the scenario throughput)"
        ]

    return rule


def own_stream_is_watched(values: OptionValues) -> Sequence[str]:
    """The direct reader's events come out of its own stream, so another tap has no place."""
    if is_direct(values) and not runs_already(values) and values.get("sink_tap"):
        return [
            f"--sink-tap is not possible with --capture {values['capture']}: its own stream is"
            " watched; leave it out"
        ]
    return []


def connector_has_table_and_topic(values: OptionValues) -> Sequence[str]:
    """A connector leads from a table to a topic."""
    ends = [values.get(name, UNREADABLE) for name in ("table", "topic")]
    if not by_reader(values) and values.get("connector") and not all(ends):
        return ["--connector needs --table (what it captures) and --topic (what it writes to)"]
    return []


def connector_has_a_database(values: OptionValues) -> Sequence[str]:
    """A connector reads a database's log."""
    if not by_reader(values) and values.get("connector") and values.get("source") == "topic":
        return [
            "--connector needs --source postgres: straight to the topic there is nothing to capture"
        ]
    return []


def table_has_a_database(values: OptionValues) -> Sequence[str]:
    """Straight to the topic there is no table."""
    if by_reader(values) or values.get("connector"):
        return []  # that rule reports the mistake already
    if values.get("table") and values.get("source") == "topic":
        return ["--table needs --source postgres: straight to the topic no table is written to"]
    return []


def of_own_tables(name: str, unset: object) -> Rule:
    """An option for the user's own tables needs one of them."""

    def rule(values: OptionValues) -> Sequence[str]:
        if values.get(name, unset) == unset or values.get("table", UNREADABLE):
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


def a_place_for_each_table(values: OptionValues) -> Sequence[str]:
    """A watched place of several tables has one for each source table, in their order."""
    if not {"table", "tables"} <= values.keys():
        return []
    names = listed(values["table"])
    count = len(names) or values["tables"]
    return [
        f"--sink-tap {tap.kind}:{tap.place} names {given} tables for {count} source"
        f" table{'s' * (count > 1)}; name one for each"
        + (f" of --table {','.join(names)}, in their order" if names else " of --tables")
        + ", or the one into which all of them go"
        for tap in readable(values.get("sink_tap") or "")
        if tap.outlet.tables and (given := len(listed_tables(tap.place))) not in (1, count)
    ]


def topic_has_a_connector(values: OptionValues) -> Sequence[str]:
    """From a database, only a connector writes to a topic of the user's own."""
    if by_reader(values) or not values.get("topic") or values.get("connector", UNREADABLE):
        return []
    if values.get("source") != "postgres":
        return []
    return [
        "--topic needs the --connector that writes to it and its --table, or --source topic,"
        " which the scenarios latency, backpressure and partitions have"
    ]


def group_of_a_platform_of_yours(values: OptionValues) -> Sequence[str]:
    """`--group` belongs to a platform that runs already: the reference platform's is the
    run's own.
    """
    if not values.get("group") or "platform" not in values:
        return []
    if not is_direct(values) and values["platform"] == "none":
        return []
    return ["--group is that of a platform that runs already; it needs --platform none"]


def probe_path_is_of_messages(values: OptionValues) -> Sequence[str]:
    """`--probe-path` needs a tap that reads messages; tables have columns."""
    if not values.get("probe_path") or "sink_tap" not in values:
        return []
    known = outlets().by_name
    tables = [tap.kind for tap in readable(values["sink_tap"]) if not tap.outlet.messages]
    if values["sink_tap"] and not tables:
        return []
    messages = ", ".join(name for name, outlet in known.items() if outlet.messages)
    return [
        f"--probe-path says where messages have the probe; it needs --sink-tap of {messages}"
        + (f"; {tables[0]} has columns: name one with --probe-column" if tables else "")
    ]


def none_has_a_sink_tap(values: OptionValues) -> Sequence[str]:
    """A platform that is not ours is measured only where its events come out."""
    if is_direct(values) or "platform" not in values or "sink_tap" not in values:
        return []
    platform, sink_tap = values["platform"], values["sink_tap"]
    if platform == "none" and not sink_tap:
        return [
            "--platform none needs --sink-tap: a platform of yours is measured where its events"
            " come out"
        ]
    if platform == "reference" and sink_tap:
        return [
            "--sink-tap needs a platform of yours: --platform none, or its command line; the"
            " reference platform is measured at its sink"
        ]
    return []

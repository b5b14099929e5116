"""Options that do not go together, each pair with its remedy.

Pure; what could not be read at all is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cdc_users.measure.ledger.probe import LARGEST_TRANSACTION
from infra.validate import endpoint_address, is_loopback

#: Stands for a value that was given and could not be read: it is not absent, and its own mistake
#: is told already.
UNREADABLE = object()


def contradictions(values: Mapping[str, Any]) -> list[str]:
    """Every mistake about options (by name) that cannot be meant together."""
    mistakes = _plan_contradictions(values)
    buffered, batch = values.get("max_buffered_messages"), values.get("batch_size")
    if buffered and batch and buffered < batch:
        mistakes.append(
            f"--max-buffered-messages {buffered} is below --batch-size {batch}; a batch would never"
            " fit, raise it"
        )
    fewest, most = min(values.get("partitions") or (1,)), max(values.get("instances") or (1,))
    if most > fewest:
        mistakes.append(
            f"--instances {most} is more than --partitions {fewest}; {most - fewest} would idle,"
            " raise --partitions"
        )
    mistakes += _load_contradictions(values)
    mistakes += _transport_contradictions(values) + _topic_contradictions(values)
    return mistakes + (
        _direct_contradictions if values.get("capture") == "wal" else _own_contradictions
    )(values)


def _transport_contradictions(values: Mapping[str, Any]) -> list[str]:
    """What does not go together about how changes leave the database."""
    mistakes = []
    if values.get("capture") == "debezium" and values.get("transport") in ("kinesis", "pubsub"):
        mistakes.append(
            f"--transport {values['transport']} needs --capture wal; Debezium writes to Kafka here"
        )
    if values.get("capture") == "wal" and values.get("source") == "topic":
        mistakes.append(
            "--capture wal needs --source postgres: straight to the topic there is nothing to"
            " capture"
        )
    for transport in ("kinesis", "pubsub"):
        endpoint = values.get(f"{transport}_endpoint")
        if not endpoint or "transport" not in values:
            continue
        if values["transport"] != transport:
            mistakes.append(
                f"--{transport}-endpoint does nothing with --transport {values['transport']}; leave"
                " it out"
            )
        elif (foreign := _foreign(endpoint)) and foreign not in values.get(
            "allow_target", (foreign,)
        ):
            mistakes.append(
                f"--{transport}-endpoint {endpoint} is not on this machine; if it may be loaded, "
                f"add --allow-target {foreign}"
            )
    return mistakes


def _foreign(endpoint: str) -> str:
    """HOST:PORT of an endpoint outside this machine; empty for one on it."""
    where = endpoint_address(endpoint)
    return "" if is_loopback(where.rpartition(":")[0]) else where


def _direct_contradictions(values: Mapping[str, Any]) -> list[str]:
    """What the direct reader cannot have: it is the platform, and what it publishes to is the
    end.
    """
    mistakes = [
        f"--{name} is not possible with --capture wal: the reader has a slot, a table and a stream"
        " of the run's own; leave it out, or use --capture debezium (in the scenario throughput)"
        for name in ("connector", "table", "topic")
        if values.get(name)
    ]
    if values.get("platform") == "none":
        mistakes.append(
            "--platform none is not possible with --capture wal: the reader is the platform; leave"
            " it out"
        )
    if values.get("sink_tap"):
        mistakes.append(
            "--sink-tap is not possible with --capture wal: its own stream is watched; leave it out"
        )
    if (sink := values.get("sink", "counting")) != "counting":
        mistakes.append(
            f"--sink {sink} is not possible with --capture wal: its stream is the end; leave it out"
        )
    if (most := max(values.get("instances") or (1,))) > 1:
        mistakes.append(
            f"--instances {most} is not possible with --capture wal: a slot has one reader; leave"
            " it out"
        )
    return mistakes


def _topic_contradictions(values: Mapping[str, Any]) -> list[str]:
    """What does not go together about production straight to the topic."""
    mistakes = []
    if values.get("mode") == "paced" and not values.get("rate", UNREADABLE):
        mistakes.append("--mode paced needs --rate and --duration, e.g. --rate 1000 --duration 30s")
    if values.get("mode") == "drain" and values.get("rate"):
        mistakes.append(
            "--mode drain and --rate contradict each other; a drain has no rate, only --records"
        )
    if values.get("source") == "postgres" and (
        values.get("evolve_at") or values.get("debezium_headers")
    ):
        mistakes.append(
            "--evolve-at and --debezium-headers need --source topic; from the database Debezium"
            " decides"
        )
    return mistakes


def _plan_contradictions(values: Mapping[str, Any]) -> list[str]:
    """What does not go together about when arrivals come."""
    mistakes = []
    loads = [f"--{name}" for name in ("rows", "rate", "stages") if values.get(name)]
    if len(loads) > 1:
        mistakes.append(f"{' and '.join(loads)} contradict each other; name one load")
    if values.get("rate") and not values.get("duration", UNREADABLE):
        mistakes.append("--rate needs --duration, e.g. --duration 30s")
    if values.get("duration") and not values.get("rate", UNREADABLE):
        mistakes.append("--duration needs --rate, e.g. --rate 1000")
    if values.get("rate") and values.get("duration") and values["rate"] * values["duration"] < 1:
        mistakes.append(
            f"--rate {values['rate']:g} for {values['duration']:g} s makes no arrival; raise one of"
            " them"
        )
    return mistakes


def _load_contradictions(values: Mapping[str, Any]) -> list[str]:
    """What does not go together about how rows are written."""
    size = values.get("rows_per_transaction") or 1
    mistakes = [
        f"--rows {rows} is not a multiple of --rows-per-transaction {size}; make it one"
        for rows in values.get("rows") or ()
        if rows % size
    ]
    # A delete makes two events.
    most = LARGEST_TRANSACTION // 2
    if values.get("mix") is not None and values["mix"][2] and size > most:
        mistakes.append(
            f"--rows-per-transaction {size} with deletes in --mix must be at most {most:,}"
        )
    if values.get("source") == "topic" and values.get("insert_method") not in ("single", None):
        mistakes.append(
            f"--insert-method {values['insert_method']} needs --source postgres: a topic knows no"
            " INSERT"
        )
    if (values.get("tables") or 1) > 1 and (values.get("table") or values.get("topic")):
        mistakes.append(
            "--tables above 1 needs tables and topics of the run's own; leave --table and"
            " --topic out"
        )
    if (
        (values.get("key_skew") or 0) > 0
        and values.get("mix") is not None
        and not any(values["mix"][1:])
    ):
        mistakes.append("--key-skew needs updates or deletes in --mix, e.g. insert=80,update=20")
    return mistakes


def _own_contradictions(values: Mapping[str, Any]) -> list[str]:
    """What does not go together about a pipeline of the user's own."""
    mistakes = []
    own = {
        name: values.get(name, UNREADABLE) for name in ("topic", "connector", "table", "sink_tap")
    }
    if own["connector"] and not (own["table"] and own["topic"]):
        mistakes.append(
            "--connector needs --table (what it captures) and --topic (what it writes to)"
        )
    if own["table"] and not own["connector"]:
        mistakes.append("--table needs --connector; without one the run creates a table of its own")
    if own["topic"] and not own["connector"] and values.get("source") == "postgres":
        mistakes.append(
            "--topic needs the --connector that writes to it and its --table, or --source topic,"
            " which the scenarios latency, backpressure and partitions have"
        )
    if own["connector"] and values.get("source") == "topic":
        mistakes.append(
            "--connector needs --source postgres: straight to the topic there is nothing to capture"
        )
    known = "platform" in values and "sink_tap" in values
    if known and (values["platform"] == "none") != bool(own["sink_tap"]):
        mistakes.append(
            "--platform none and --sink-tap go together: who is not ours is seen by where events"
            " come out"
        )
    return mistakes

"""The platform's command line, checked as a whole: all mistakes are reported together."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from infra.platform.consume.gap import ON_GAP
from infra.platform.process.argument import (
    Argument,
    argument_parser,
    brokers,
    column,
    listening_port,
    one_of,
    text_mistakes,
    topic,
    topics,
    url,
    whole,
    yes_or_no,
)
from infra.platform.process.telemetry_server import held_mistakes
from infra.platform.sinks.plugin import sinks
from infra.validate import is_whole

LOG_LEVELS = ("debug", "info", "warning", "error")


def _group(flag: str, text: str, _: Mapping[str, str]) -> list[str]:
    return [] if text else [f"{flag} '' names no consumer group; write one"]


#: The options of every instance, whatever its sink.
_COMMON = (
    Argument("--bootstrap", "Kafka, HOST:PORT, several by comma", None, brokers),
    Argument("--schema-registry", "Confluent-compatible URL", None, url),
    Argument("--topic", "topics to read, by comma", None, topics),
    Argument(
        "--group", "consumer group; instances of one group share the partitions", None, _group
    ),
    Argument("--batch-size", "most events in one write", "500", whole(1)),
    Argument("--max-buffered-messages", "most events held in memory", "10000", whole(1)),
    Argument(
        "--max-buffered-mb", "megabytes of messages that wait or are being written", "64", whole(1)
    ),
    Argument("--batch-mb", "megabytes of messages in one write; one may have more", "8", whole(1)),
    Argument(
        "--max-commit-mb",
        "megabytes that a sink may accept before it must commit; at twice that, intake waits",
        "64",
        whole(1),
    ),
    Argument("--max-commit-events", "likewise, events", "50000", whole(1)),
    Argument(
        "--on-gap",
        f"one of {', '.join(ON_GAP)}: what to do where records were deleted before they were read",
        "stop",
        one_of(*ON_GAP),
    ),
    Argument(
        "--flush-interval-ms",
        "milliseconds between flushes of a sink that only accepts",
        "1000",
        whole(1),
    ),
    Argument(
        "--retry-limit-s",
        "seconds for which a failing write or lookup is tried again",
        "60",
        whole(0),
    ),
    Argument(
        "--dead-letter-topic",
        "where events go that cannot be delivered; must exist",
        check=topic,
    ),
    Argument("--telemetry-port", "port on 127.0.0.1; 0 takes a free one", "0", listening_port),
    Argument(
        "--held",
        "yes: read nothing before POST /begin (starts a drain at one moment)",
        "no",
        yes_or_no,
    ),
    Argument("--run", "the run whose probes are counted"),
    Argument("--probe-column", "the column that carries the probe", "probe", column),
    Argument(
        "--log-level",
        f"one of {', '.join(LOG_LEVELS)}; debug also logs every write and every queue sample",
        "info",
        one_of(*LOG_LEVELS),
    ),
)


def arguments() -> tuple[Argument, ...]:
    """Every option: the platform's own, then those of each sink."""
    known = sinks().by_name
    chosen = Argument("--sink", f"one of {', '.join(known)}", "counting", one_of(*known))
    return (*_COMMON, chosen, *(one for sink in known.values() for one in sink.arguments))


def parser(program: str = "python -m infra.platform") -> argparse.ArgumentParser:
    """The command line. All options are texts here and checked together in `mistakes`."""
    return argument_parser(program, "One instance of the reference platform.", arguments())


def mistakes(options: argparse.Namespace, environ: Mapping[str, str]) -> list[str]:
    """Every mistake in the options, each with its remedy; no server is touched."""
    found = [*sinks().mistakes, *text_mistakes(arguments(), options, environ)]
    if (
        is_whole(options.max_buffered_messages, 1)
        and is_whole(options.batch_size, 1)
        and int(options.max_buffered_messages) < int(options.batch_size)
    ):
        found.append("--max-buffered-messages is below --batch-size; raise it")
    if options.dead_letter_topic and options.dead_letter_topic in options.topic.split(","):
        found.append(
            f"--dead-letter-topic {options.dead_letter_topic!r} is also read; choose another"
        )
    found += held_mistakes(options.held, environ)
    sink = sinks().by_name.get(options.sink)
    return found + (sink.mistakes(options, environ) if sink is not None else [])

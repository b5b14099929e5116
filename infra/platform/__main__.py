"""`python -m infra.platform`: one instance of the reference platform.

Says on its standard output, in one JSON line, when it has its partitions and where its telemetry is; logs go to
standard error as JSON lines. SIGTERM finishes what is held, commits and ends with 0.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence

import structlog

from cdc_users.measure.clock import anchor_from
from infra.platform.consumer import CDCConsumer, ConsumerSettings, check_reachable
from infra.platform.decode import Decoder
from infra.platform.error import PlatformError, UnreachableError
from infra.platform.sinks.connector import SinkConnector
from infra.platform.sinks.counting import CountingSink, SlowSink
from infra.platform.sinks.instrumented import InstrumentedSink
from infra.platform.telemetry import Telemetry
from infra.schemas.envelope import is_probe_column

REACH_S = 10.0
SINKS = ("counting", "slow")


def parser() -> argparse.ArgumentParser:
    """The command line. Numbers are texts here and checked together in `mistakes`."""
    top = argparse.ArgumentParser(prog="python -m infra.platform", description=__doc__.splitlines()[0])
    top.add_argument("--bootstrap", required=True, help="Kafka, HOST:PORT")
    top.add_argument("--schema-registry", required=True, help="Confluent-compatible URL")
    top.add_argument("--topic", required=True, help="topics to read, by comma")
    top.add_argument("--group", required=True, help="consumer group; instances of one group share the partitions")
    top.add_argument("--sink", default="counting", help=f"one of {', '.join(SINKS)}")
    top.add_argument("--sink-delay-ms", default="50", help="what the slow sink sleeps in each write")
    top.add_argument("--batch-size", default="500", help="most events in one write")
    top.add_argument("--max-buffered-messages", default="10000", help="most events held in memory")
    top.add_argument("--telemetry-port", default="0", help="0 takes a free port")
    top.add_argument("--held", default="no", help="yes: read nothing before POST /begin (starts a drain at one moment)")
    top.add_argument("--run", default="", help="the run whose probes are counted")
    top.add_argument("--probe-column", default="probe", help="the column that carries the probe")
    return top


def mistakes(options: argparse.Namespace) -> list[str]:
    """Every mistake in the options, each with its remedy."""
    found = []
    for name, least in (("sink_delay_ms", 0), ("batch_size", 1), ("max_buffered_messages", 1), ("telemetry_port", 0)):
        text = getattr(options, name)
        if not text.isdigit() or int(text) < least:
            found.append(f"--{name.replace('_', '-')} {text!r} is not a whole number of at least {least}")
    if options.held not in ("yes", "no"):
        found.append(f"--held {options.held!r} is neither yes nor no")
    if options.sink not in SINKS:
        found.append(f"--sink {options.sink!r} is not one of {', '.join(SINKS)}")
    if not is_probe_column(options.probe_column):
        found.append(f"--probe-column {options.probe_column!r} is not a plain column name")
    if not found and int(options.max_buffered_messages) < int(options.batch_size):
        found.append("--max-buffered-messages is below --batch-size; raise it")
    return found


async def serve(options: argparse.Namespace) -> int:
    """Run one instance until it is told to stop; 1 where a partition had to stop."""
    settings = ConsumerSettings(
        bootstrap=options.bootstrap,
        group=options.group,
        topics=tuple(options.topic.split(",")),
        batch_size=int(options.batch_size),
        max_buffered_messages=int(options.max_buffered_messages),
        held=options.held == "yes",
    )
    check_reachable(settings, REACH_S)
    anchor = anchor_from(os.environ)
    inner: SinkConnector = SlowSink(int(options.sink_delay_ms) / 1000) if options.sink == "slow" else CountingSink()
    sink = InstrumentedSink(inner, options.run, anchor)
    consumer = CDCConsumer(settings, Decoder(options.schema_registry, options.probe_column), sink, anchor)
    telemetry = Telemetry(consumer, sink)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, consumer.stop)
    url = await telemetry.start(int(options.telemetry_port))
    announcing = asyncio.create_task(_announce(consumer, url))
    try:
        await consumer.run()
    finally:
        announcing.cancel()
        await sink.close()
        await telemetry.stop()
    return 1 if consumer.errors else 0


async def _announce(consumer: CDCConsumer, url: str) -> None:
    await consumer.assigned.wait()
    print(json.dumps({"event": "platform.ready", "telemetry": url, "pid": os.getpid()}), flush=True)


def main(arguments: Sequence[str]) -> int:
    """Check the options, then serve; 2 for bad options, 3 for a server that does not answer."""
    options = parser().parse_args(arguments)
    if found := mistakes(options):
        print("\n".join(found), file=sys.stderr)
        return 2
    structlog.configure(
        processors=[
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.add_log_level,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        return asyncio.run(serve(options))
    except UnreachableError as error:
        print(error, file=sys.stderr)
        return 3
    except PlatformError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

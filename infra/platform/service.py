"""Assembles one instance of the platform and runs it until a signal stops it."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence

import structlog

from cdc_users.measure.clock import anchor_from
from cdc_users.measure.garbage import set_aside
from infra.avro.row_reader import RowReader
from infra.platform.consume.broker import ConsumerSettings, check_reachable
from infra.platform.consume.buffer import Buffer
from infra.platform.consume.consumer import CDCConsumer
from infra.platform.consume.dead_letter import DeadLetters, DeadLetterTopic, NoDeadLetters
from infra.platform.consume.decode import prepared
from infra.platform.consume.delivery import CommitLimit, Delivery, registry_retries
from infra.platform.consume.registry import Registry
from infra.platform.process.error import ConfigError, PlatformError, UnreachableError
from infra.platform.process.loop import new_loop
from infra.platform.process.retry import Backoff, Troubles
from infra.platform.sample import Sampler
from infra.platform.sinks.instrumented import InstrumentedSink
from infra.platform.sinks.plugin import sinks
from infra.platform.sinks.retrying import RetryingSink
from infra.platform.telemetry import Telemetry
from infra.schemas.envelope import EnvelopeError

REACH_S = 5.0
MB = 1_000_000
MakeBuffer = Callable[[int], Buffer]


async def serve(options: argparse.Namespace, make_buffer: MakeBuffer = Buffer) -> int:
    """Run one instance until SIGTERM or SIGINT; returns 1 if a partition had to stop."""
    settings = consumer_settings(options)
    registry = check_servers(options, settings)
    anchor = anchor_from(os.environ)
    backoff = Backoff(limit_s=float(options.retry_limit_s))
    troubles = Troubles()
    retrying = RetryingSink(sinks().by_name[options.sink].make(options), backoff, troubles=troubles)
    sink = InstrumentedSink(retrying, options.run, anchor, options.probe_column)
    await sink.open()
    dead_letters = _dead_letters(options)
    retries = registry_retries(backoff, troubles)
    delivery = Delivery(registry, sink, dead_letters, retries, commit_limit(options))
    buffer = make_buffer(settings.max_buffered_messages)
    buffer.limit_bytes = settings.max_buffered_bytes
    consumer = CDCConsumer(settings, delivery, anchor, buffer)
    sampler = Sampler(consumer, sink, anchor)
    telemetry = Telemetry(consumer, sink, sampler)

    def stop() -> None:
        retrying.give_up()
        delivery.give_up()
        consumer.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    beside: list[asyncio.Task[None]] = []
    try:
        url = await telemetry.start(int(options.telemetry_port))
        beside += map(asyncio.create_task, (_announce(consumer, url), sampler.run()))
        await consumer.run()
    finally:
        for task in beside:
            task.cancel()
        await sink.close()
        dead_letters.close()
        await telemetry.stop()
    return 1 if consumer.errors else 0


def consumer_settings(options: argparse.Namespace) -> ConsumerSettings:
    """The consumer's part of the options."""
    return ConsumerSettings(
        bootstrap=options.bootstrap,
        group=options.group,
        topics=tuple(options.topic.split(",")),
        batch_size=int(options.batch_size),
        max_buffered_messages=int(options.max_buffered_messages),
        flush_interval_s=sinks().by_name[options.sink].flush_interval_s(options),
        held=options.held == "yes",
        skip_gaps=options.on_gap == "skip",
        max_buffered_bytes=int(options.max_buffered_mb) * MB,
        batch_bytes=int(options.batch_mb) * MB,
    )


def commit_limit(options: argparse.Namespace) -> CommitLimit:
    """How many events and bytes a sink may hold that only accepts events."""
    return CommitLimit(int(options.max_commit_mb) * MB, int(options.max_commit_events))


def check_servers(options: argparse.Namespace, settings: ConsumerSettings) -> Registry:
    """Ask broker and registry; raises UnreachableError, or ConfigError for a topic whose events are
    no envelopes.
    """
    wanted = [*settings.topics, *([options.dead_letter_topic] if options.dead_letter_topic else [])]
    check_reachable(settings.bootstrap, wanted, REACH_S)
    registry = Registry(options.schema_registry)
    registry.check()
    for topic in settings.topics:
        schema = registry.latest(f"{topic}-value")
        try:
            if schema is not None:
                prepared(f"the schema of {topic}-value", schema, RowReader)
        except EnvelopeError as error:
            raise ConfigError(
                f"topic {topic!r}: {error}; read a topic that Debezium writes without unwrapping"
            ) from error
    return registry


def _dead_letters(options: argparse.Namespace) -> DeadLetters:
    if options.dead_letter_topic:
        return DeadLetterTopic(options.bootstrap, options.dead_letter_topic)
    return NoDeadLetters()


async def _announce(consumer: CDCConsumer, url: str) -> None:
    await consumer.assigned.wait()
    set_aside()
    print(json.dumps({"event": "platform.ready", "telemetry": url, "pid": os.getpid()}), flush=True)


def run(options: argparse.Namespace, found: Sequence[str], make_buffer: MakeBuffer = Buffer) -> int:
    """Serve, unless mistakes were found; returns 2 for mistakes, 3 for a server that does not
    answer.
    """
    if found:
        print("\n".join(found), file=sys.stderr)
        return 2
    structlog.configure(
        processors=[
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.add_log_level,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[options.log_level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(serve(options, make_buffer))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except UnreachableError as error:
        print(error, file=sys.stderr)
        return 3
    except PlatformError as error:
        print(error, file=sys.stderr)
        return 1

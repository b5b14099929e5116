"""The sink that the options name. Each one's libraries are imported only where it is chosen."""

from __future__ import annotations

import argparse

from infra.platform.sinks.connector import SinkConnector
from infra.platform.sinks.counting import CountingSink, SlowSink


def chosen_sink(options: argparse.Namespace) -> SinkConnector:
    """Make the sink, not yet opened; the options have been checked."""
    if options.sink == "slow":
        return SlowSink(int(options.sink_delay_ms) / 1000)
    if options.sink == "webhook":
        from infra.platform.sinks.webhook.sink import WebhookSink

        return WebhookSink(options.webhook_url, options.webhook_shape)
    if options.sink == "postgres":
        from infra.platform.sinks.postgres.sink import PostgresSink

        return PostgresSink(options.postgres_dsn, options.postgres_table, options.probe_column)
    if options.sink == "iceberg":
        return _iceberg(options)
    return CountingSink()


def _iceberg(options: argparse.Namespace) -> SinkConnector:
    from infra.platform.sinks.iceberg.sink import IcebergSink, local_properties, read_properties

    properties = (
        read_properties(options.iceberg_properties)
        if options.iceberg_properties
        else local_properties(options.iceberg_warehouse)
    )
    return IcebergSink(properties, options.iceberg_table, upsert=options.iceberg_mode == "upsert")


def flush_interval_s(options: argparse.Namespace) -> float:
    """How often the sink is flushed: Iceberg's commits have an interval of their own."""
    if options.sink == "iceberg":
        return int(options.iceberg_commit_interval_ms) / 1000
    return int(options.flush_interval_ms) / 1000

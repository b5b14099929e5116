"""Latency of each sink, without Debezium: records straight to the topic -> CDCConsumer -> sink.

# pre-produced, then drained
locust -f locustfiles/latency.py --headless
# open loop, end to end
locust -f locustfiles/latency.py --headless --rate 1000 --duration 30s
# one sink, more records
locust -f locustfiles/latency.py --headless --sinks postgres --records 100000
"""

from cdc_users.scenario import Scenario
from cdc_users.shapes.latency import PerSinkShape
from cdc_users.users.kafka import KafkaUser


class LatencyWriter(KafkaUser):
    """Writes customers' change events to the topic."""


class LatencyShape(PerSinkShape):
    """Webhook, Postgres and Iceberg, one after another; `--rate` makes each an open loop."""

    producer = LatencyWriter
    scenario = Scenario(
        "latency",
        question=(
            "How long does each sink take to write, and how fast does it drain what waits for it?"
        ),
        defaults={
            "sinks": "webhook,postgres,iceberg",
            "records": "10000",
            "source": "topic",
            "batch_size": "100",
        },
    )

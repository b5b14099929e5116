"""Backpressure: more load than a slow sink can take.

Is memory bounded, is anything lost, does it recover?

# sinks that take 10 and 50 ms a write
locust -f locustfiles/backpressure.py --headless
locust -f locustfiles/backpressure.py --headless --sink-delay 50ms --overload 3
# the same pressure through Debezium
locust -f locustfiles/backpressure.py --headless --source postgres
"""

from cdc_users.scenario import Scenario
from cdc_users.shapes.backpressure import BackpressureShape
from cdc_users.users.kafka import KafkaUser
from cdc_users.users.postgres import PostgresUser


class BackpressureProducer(KafkaUser):
    """Writes change events straight to the topic."""


class BackpressureWriter(PostgresUser):
    """Inserts customers, for `--source postgres`."""


class SlowSinkShape(BackpressureShape):
    """Warm-up, overload, hold and drain, for each delay of the sink."""

    producer = BackpressureProducer
    writer = BackpressureWriter
    scenario = Scenario(
        "backpressure",
        question="What happens when the sink is slower than the source?",
        defaults={
            "source": "topic",
            "sink": "slow",
            "sink_delay": "10ms,50ms",
            "batch_size": "10",
            "max_buffered_messages": "1000",
            "drain_timeout": "180s",
        },
        thresholds=(
            "queue_high_water_share <= 1",
            "memory_growth_mb < 50",
            "sink_busy_share >= 0.95",
        ),
    )

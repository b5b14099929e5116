"""End-to-end throughput: INSERT INTO customers -> Debezium -> Kafka -> CDCConsumer -> CountingSink.

locust -f locustfiles/throughput.py --headless                              100, 500 and 10,000 rows
locust -f locustfiles/throughput.py --headless --rate 1000 --duration 30s   open loop
"""

from cdc_users.scenario import Scenario
from cdc_users.shapes.volume import VolumeShape
from cdc_users.users.postgres import PostgresUser


class ThroughputWriter(PostgresUser):
    """Inserts customers."""


class ThroughputShape(VolumeShape):
    """Three volumes as fast as they go; `--rate` makes it an open loop."""

    writer = ThroughputWriter
    scenario = Scenario(
        "throughput",
        question="How many rows a second get from INSERT to the sink, and how long does each take?",
        defaults={"rows": "100,500,10000", "sink": "counting"},
    )

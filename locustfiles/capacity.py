"""Capacity: what is the highest rate that the pipeline holds, what limits it, what does it cost?

# searches until the highest rate that holds and the lowest that fails are within 3 %
locust -f locustfiles/capacity.py --headless
locust -f locustfiles/capacity.py --headless --slo 'end_to_end.p99 < 200ms' --sink webhook
# larger transactions, another capture
locust -f locustfiles/capacity.py --headless --rows-per-transaction 50 --from 2000 --capture wal
# two captures under one workload; more and more partitions
locust -f locustfiles/capacity.py --headless --rows-per-transaction 50 --capture debezium,wal
locust -f locustfiles/capacity.py --headless --partitions 1,2,4
"""

from cdc_users.scenario import Scenario
from cdc_users.shapes.capacity import CapacityShape
from cdc_users.users.kafka import KafkaUser
from cdc_users.users.postgres import PostgresUser


class CapacityWriter(PostgresUser):
    """Writes customers at each rate that is probed."""


class CapacityProducer(KafkaUser):
    """Writes change events straight to the topic, for `--source topic`."""


class SearchShape(CapacityShape):
    """Probes rates until it knows the highest that holds, and confirms it."""

    writer = CapacityWriter
    producer = CapacityProducer
    scenario = Scenario(
        "capacity",
        question="What is the highest rate that the pipeline holds, and what limits it?",
        defaults={"sink": "counting"},
    )

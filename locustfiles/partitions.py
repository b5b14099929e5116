"""Partitions: what do more partitions, and more instances of the consumer, buy?

# 1, 4 and 8 partitions, two sinks
locust -f locustfiles/partitions.py --headless
locust -f locustfiles/partitions.py --headless --partitions 8 --instances 1,2,4
# a hot key
locust -f locustfiles/partitions.py --headless --mix insert=10,update=90 \\
    --key-skew zipf:1.2 --lanes 1
"""

from cdc_users.scenario import Scenario
from cdc_users.shapes.partitions import PartitionsShape
from cdc_users.users.kafka import KafkaUser


class PartitionsProducer(KafkaUser):
    """Writes change events straight to the topic."""


class ScalingShape(PartitionsShape):
    """The same records through each partition count: a waiting sink, and one that only counts."""

    producer = PartitionsProducer
    scenario = Scenario(
        "partitions",
        question="How does throughput scale with partitions and instances?",
        defaults={
            "source": "topic",
            "sinks": "waiting,counting",
            "partitions": "1,4,8",
            "records": "40000",
            "drain_timeout": "180s",
        },
        scaling=True,
    )

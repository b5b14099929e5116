"""The direct way out:

INSERT INTO customers -> replication slot -> PgOutputDecoder -> Kinesis, Pub/Sub or Kafka.

# Kinesis (an emulator, unless you name a service)
locust -f locustfiles/wal.py --headless
# Pub/Sub
locust -f locustfiles/wal.py --headless --transport pubsub
# Kafka, to compare with Debezium under the same load
locust -f locustfiles/wal.py --headless --transport kafka
"""

from cdc_users.scenario import Scenario
from cdc_users.shapes.volume import VolumeShape
from cdc_users.users.postgres import PostgresUser


class WalWriter(PostgresUser):
    """Inserts customers."""


class WalShape(VolumeShape):
    """Three volumes as fast as they go; `--rate` makes it an open loop."""

    writer = WalWriter
    scenario = Scenario(
        "wal",
        question=(
            "How many rows a second does the direct WAL reader publish, and how long does each"
            " take?"
        ),
        defaults={"rows": "100,500,10000", "capture": "wal", "transport": "kinesis"},
    )

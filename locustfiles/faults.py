"""Faults under load: what breaks, for how long, what is lost, and does it come back?

locust -f locustfiles/faults.py --headless                       Connect, platform, walsender
locust -f locustfiles/faults.py --headless --faults all --rounds 5
locust -f locustfiles/faults.py --headless --faults pause-kafka --hold 30s --rate 1000
"""

from cdc_users.scenario import Scenario
from cdc_users.shapes.faults import FaultShape
from cdc_users.users.postgres import PostgresUser


class FaultsWriter(PostgresUser):
    """Inserts customers."""


class FaultsShape(FaultShape):
    """Steady, inject, hold, heal, recover: one step for each fault."""

    writer = FaultsWriter
    scenario = Scenario(
        "faults",
        question="What does a fault break, for how long, and is anything lost?",
        defaults={
            "rate": "500",
            "faults": "kill-connect,kill-platform,end-walsender",
            "hold": "5s",
            "sink": "postgres",
            "drain_timeout": "120s",
        },
    )

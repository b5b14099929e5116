"""Where lanes write. Every process of a run gets it, and the run's fences use it too."""

from __future__ import annotations

from typing import Literal

import msgspec

from cdc_users.users.producer.channel import Channel
from cdc_users.users.workload.table.plan import TablePlan

DatabaseKind = Literal["postgres", "mariadb"]


class DatabaseTarget(msgspec.Struct, frozen=True, tag="database"):
    """The source tables. The DSN holds no secret; that of MariaDB is a URL (infra.mariadb.address).
    The user's own tables have their plans here.
    """

    dsn: str
    schema: str
    tables: tuple[str, ...]
    plans: tuple[TablePlan, ...] = ()
    kind: DatabaseKind = "postgres"


class TopicTarget(msgspec.Struct, frozen=True, tag="topic"):
    """The topics, for records that go straight to them.

    With `evolve_at` a column is added to the schema before that arrival. `access` has the variables
    with which Kafka and the registry let clients in: paths and user names, no secret.
    """

    bootstrap: str
    schema_registry_url: str
    channels: tuple[Channel, ...]
    headers: bool = False
    evolve_at: int | None = None
    linger_ms: float = 5.0
    access: dict[str, str] = {}


class NullTarget(msgspec.Struct, frozen=True, tag="null"):
    """No place at all: lanes make everything that they would write, and send none of it.

    `tables` is the number of tables that the workload is spread over.
    """

    tables: tuple[str, ...] = ("customers",)


LaneTarget = DatabaseTarget | TopicTarget

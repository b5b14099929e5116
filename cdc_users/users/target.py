"""Where lanes write: told to every process of a run, and used for the run's fences as well."""

from __future__ import annotations

import msgspec

from cdc_users.users.producer.channel import Channel
from cdc_users.users.workload.table.plan import TablePlan


class DatabaseTarget(msgspec.Struct, frozen=True, tag="database"):
    """The source tables; the DSN holds no secret. Those of the user's own have their plans."""

    dsn: str
    schema: str
    tables: tuple[str, ...]
    plans: tuple[TablePlan, ...] = ()


class TopicTarget(msgspec.Struct, frozen=True, tag="topic"):
    """The topics, for records that go straight there.

    With `evolve_at` a column is added to the schema before that arrival. `access` are the
    variables by which Kafka and the registry let clients in: files and users, no secret.
    """

    bootstrap: str
    schema_registry_url: str
    channels: tuple[Channel, ...]
    headers: bool = False
    evolve_at: int | None = None
    linger_ms: float = 5.0
    access: dict[str, str] = {}


class NullTarget(msgspec.Struct, frozen=True, tag="null"):
    """Nowhere: lanes make everything that they would write, and send none of it.

    `tables` are as many as the run's workload is spread over.
    """

    tables: tuple[str, ...] = ("customers",)


LaneTarget = DatabaseTarget | TopicTarget

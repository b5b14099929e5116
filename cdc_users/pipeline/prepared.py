"""One pipeline with the names of all objects that were created for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

from cdc_users.scenario import Pipeline
from cdc_users.users.producer.channel import Channel
from cdc_users.users.workload.table.plan import TablePlan
from infra.stack.endpoints import Endpoints


@dataclass(frozen=True, slots=True)
class Names:
    """The objects that the steward has created for one pipeline; empty fields for those that it
    does not have.

    `sink_hostaddr` is libpq's hostaddr, if the platform reaches its sink's server at another
    address than the server's own; `kafka_relayed` is the address at which the platform or the
    direct reader reaches Kafka through a relay, and `registry_relayed` the registry's URL through
    one. `partitions` counts partitions, shards or ordering keys over all topics or streams, so that
    a fence can pass each of them. `topics` are Kafka's. A `stream` is what the direct reader
    publishes to: its endpoint and name, and the project where services have projects. `channels` is
    what producers must know about the topics. By a watched table's place, `sink_slots` has the name
    of a slot and of a publication on the sink's database. `mariadb` is the URL of the run's own
    database, if the source is MariaDB.
    """

    schema: str
    tables: tuple[str, ...]
    partitions: int = 1
    topics: tuple[str, ...] = ()
    channels: tuple[Channel, ...] = ()
    group: str = ""
    dead_letter: str = ""
    publication: str = ""
    slot: str = ""
    stream: dict[str, str] = field(default_factory=dict)
    sink_table: str = ""
    sink_slots: dict[str, str] = field(default_factory=dict)
    sink_hostaddr: str = ""
    kafka_relayed: str = ""
    registry_relayed: str = ""
    warehouse: str = ""
    mariadb: str = ""
    #: The plans for rows of the user's own tables; empty for customers.
    plans: tuple[TablePlan, ...] = ()

    @property
    def source_tables(self) -> tuple[str, ...]:
        """The source tables, each as SCHEMA.TABLE."""
        if self.plans:
            return tuple(plan.full_name for plan in self.plans)
        return tuple(f"{self.schema}.{table}" for table in self.tables)


class MadeNames(TypedDict, total=False):
    """What one part of a pipeline has created: the fields of Names that it sets."""

    schema: str
    tables: tuple[str, ...]
    channels: tuple[Channel, ...]
    publication: str
    slot: str
    stream: dict[str, str]
    sink_table: str
    sink_slots: dict[str, str]
    warehouse: str
    mariadb: str
    plans: tuple[TablePlan, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A pipeline and the objects that were created for it."""

    endpoints: Endpoints
    pipeline: Pipeline
    names: Names

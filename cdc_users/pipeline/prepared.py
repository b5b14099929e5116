"""One pipeline with the names of all that was created for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

from cdc_users.scenario import Pipeline
from cdc_users.users.producer.channel import Channel
from cdc_users.users.workload.table.plan import TablePlan
from infra.stack.endpoints import Endpoints


@dataclass(frozen=True, slots=True)
class Names:
    """What the steward has created for one pipeline; empty where the pipeline has no such thing.

    `sink_hostaddr` is libpq's, where the platform reaches its sink's server at another address than
    the server's own, and `kafka_relayed` is where it, or the direct reader, reaches Kafka.
    `partitions` is how many partitions, shards or ordering keys there are over
    all topics or streams, so that a fence can pass each. `topics` are Kafka's; a `stream` is
    what the direct reader publishes to: its endpoint and name, and a project where there are any.
    `channels` is what producers must know of the topics. `sink_slot` is a slot on the sink's own
    database, and the publication of the same name.
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
    sink_slot: str = ""
    sink_hostaddr: str = ""
    kafka_relayed: str = ""
    warehouse: str = ""
    #: How the rows of the user's own tables are made; empty for customers.
    plans: tuple[TablePlan, ...] = ()

    @property
    def source_tables(self) -> tuple[str, ...]:
        """The source tables, each as SCHEMA.TABLE."""
        if self.plans:
            return tuple(plan.full_name for plan in self.plans)
        return tuple(f"{self.schema}.{table}" for table in self.tables)


class MadeNames(TypedDict, total=False):
    """What one part of a pipeline has created: those fields of Names that it knows."""

    schema: str
    tables: tuple[str, ...]
    channels: tuple[Channel, ...]
    publication: str
    slot: str
    stream: dict[str, str]
    sink_table: str
    sink_slot: str
    warehouse: str
    plans: tuple[TablePlan, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A pipeline and what there is for it."""

    endpoints: Endpoints
    pipeline: Pipeline
    names: Names

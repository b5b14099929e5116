"""The observer's configuration: one line of JSON on its standard input (docs/observer.md)."""

from __future__ import annotations

from typing import Any

import msgspec

from cdc_users.measure.clock import Anchor
from cdc_users.measure.wire import Versioned


class OwnTableSettings(msgspec.Struct, kw_only=True, frozen=True):
    """A table of the user's own: SCHEMA.TABLE, the columns of its key, the probe's column, and the
    columns that the checksum covers, as name and kind.
    """

    table: str
    key: tuple[str, ...]
    probe: str
    columns: tuple[tuple[str, str], ...]


class TableSettings(msgspec.Struct, kw_only=True, frozen=True, tag_field="kind"):
    """The roles of a table's or a change's columns; `columns` are those without key and probe, as
    name and kind (those of `customers` if none are given).
    """

    name: str = ""
    key_column: str = "id"
    probe_column: str = "probe"
    columns: tuple[tuple[str, str], ...] | None = None
    #: Tables of the user's own, in the order of their topics; they replace all of the above.
    own: tuple[OwnTableSettings, ...] = ()


class TapSettings(TableSettings, kw_only=True, frozen=True, tag_field="kind"):
    """One tap. Every `check_every`-th row is compared with its checksum; 0 compares none.

    `probe_path` is the probe's place in messages of the user's own form, e.g. record.note.
    """

    check_every: int = 0
    probe_path: str = ""


def listed_tables(text: str) -> tuple[str, ...]:
    """The tables in a text that may have several by comma; one within a name divides nothing."""
    parts = tuple(text.split(","))
    return parts if all("." in part for part in parts) else (text,)


class KafkaSettings(TapSettings, kw_only=True, frozen=True, tag_field="kind"):
    """A tap on one topic or several."""

    bootstrap: str
    topic: str | None = None
    topics: tuple[str, ...] = ()
    #: Whether to leave out the messages that were there before the tap.
    from_end: bool = False

    @property
    def all_topics(self) -> tuple[str, ...]:
        """The topics, from whichever field names them."""
        return self.topics or ((self.topic,) if self.topic else ())


class TopicSettings(KafkaSettings, kw_only=True, frozen=True, tag_field="kind", tag="topic"):
    """Topics of Debezium's Avro envelopes."""

    schema_registry_url: str


class JsonTopicSettings(
    KafkaSettings, kw_only=True, frozen=True, tag_field="kind", tag="json-topic"
):
    """Topics of change events in JSON; also in Avro if the registry is named."""

    schema_registry_url: str = ""


class WebhookSettings(TapSettings, kw_only=True, frozen=True, tag_field="kind", tag="webhook"):
    """An HTTP receiver; port 0 takes a free one.

    A `guarded` one uses TLS and demands a token if the environment's CDC_WEBHOOK_* say so.
    """

    port: int = 0
    guarded: bool = False


class PostgresSettings(TapSettings, kw_only=True, frozen=True, tag_field="kind", tag="postgres"):
    """Rows of a table (several by comma, one for each of `own`), looked at every `poll_s`."""

    dsn: str
    table: str
    poll_s: float = 0.01


class PostgresLogSettings(
    TapSettings, kw_only=True, frozen=True, tag_field="kind", tag="postgres-log"
):
    """A table (several by comma, one for each of `own`) by the log of its own database; its slot
    and its publication exist already.
    """

    dsn: str
    table: str
    slot: str
    publication: str


class WarehouseSettings(TapSettings, kw_only=True, frozen=True, tag_field="kind"):
    """An Iceberg table, in a local warehouse or in a catalog by its properties.

    Without properties the catalog of that name in PyIceberg's own configuration is used.
    """

    table: str
    warehouse: str = ""
    catalog: str = "cdc"
    properties: dict[str, str | int | float | bool] | None = None
    mode: str = "append"
    operation_column: str = "op"
    partition_column: str = "cdc_partition"
    position_column: str = "cdc_offset"
    committed_column: str = "cdc_committed_at"
    not_sent_column: str = "cdc_not_sent"


class IcebergSettings(
    WarehouseSettings, kw_only=True, frozen=True, tag_field="kind", tag="iceberg"
):
    """The snapshots of an Iceberg table (several by comma, one for each of `own`), looked at every
    `poll_s`.
    """

    poll_s: float = 0.5
    from_end: bool = False


class KinesisSettings(TapSettings, kw_only=True, frozen=True, tag_field="kind", tag="kinesis"):
    """A Kinesis stream."""

    endpoint: str
    stream: str


class PubSubSettings(TapSettings, kw_only=True, frozen=True, tag_field="kind", tag="pubsub"):
    """A Pub/Sub subscription; an empty endpoint is the real service."""

    subscription: str
    endpoint: str = ""
    project: str = ""


class RedisSettings(TapSettings, kw_only=True, frozen=True, tag_field="kind", tag="redis"):
    """A stream of Redis; secrets are in the environment (infra.client.redis)."""

    url: str
    stream: str
    from_end: bool = False


class NatsSettings(TapSettings, kw_only=True, frozen=True, tag_field="kind", tag="nats"):
    """A stream of NATS JetStream; secrets are in the environment (infra.client.nats)."""

    url: str
    stream: str
    from_end: bool = False


class SlotSettings(msgspec.Struct, kw_only=True, frozen=True):
    """The gauge of a replication slot."""

    dsn: str
    slot: str


class GroupSettings(msgspec.Struct, kw_only=True, frozen=True):
    """The gauge of a consumer group."""

    bootstrap: str
    group: str
    topic: str | None = None
    topics: tuple[str, ...] = ()

    @property
    def all_topics(self) -> tuple[str, ...]:
        """The topics, from whichever field names them."""
        return self.topics or ((self.topic,) if self.topic else ())


class DebeziumSettings(msgspec.Struct, kw_only=True, frozen=True):
    """The gauge of Debezium's own metrics at a URL; `topics` select the connector."""

    url: str
    topics: tuple[str, ...] = ()


class ProcessSettings(msgspec.Struct, kw_only=True, frozen=True):
    """The gauge of processes: the run's process, and the supervisor of the stack's servers if they
    are processes of this machine.
    """

    harness: int | None = None
    supervisor: int | None = None


class GaugeSettings(msgspec.Struct, kw_only=True, frozen=True):
    """The configured gauges."""

    slot: SlotSettings | None = None
    group: GroupSettings | None = None
    processes: ProcessSettings | None = None
    debezium: DebeziumSettings | None = None


class ObserverSettings(Versioned, kw_only=True, frozen=True):
    """What to watch: the taps in the order in which events pass them, and the gauges."""

    run: str
    #: TapSettings; undecoded on arrival, because a kind may come from outside the tree.
    taps: tuple[Any, ...]
    gauges: GaugeSettings = GaugeSettings()
    anchor: Anchor | None = None
    #: The token of every request: a comparison reads tables with the run's rights.
    token: str = ""


class PostgresSideSettings(
    TableSettings, kw_only=True, frozen=True, tag_field="kind", tag="postgres"
):
    """A PostgreSQL table as one side of a final comparison."""

    dsn: str
    table: str


class IcebergSideSettings(
    WarehouseSettings, kw_only=True, frozen=True, tag_field="kind", tag="iceberg"
):
    """An Iceberg table as one side of a final comparison."""

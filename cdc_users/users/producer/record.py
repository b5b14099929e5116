"""One table's topic during writing: its encoder, its headers and its limit on records."""

from __future__ import annotations

from cdc_users.users.producer.topic_schemas import Channel
from infra.avro.encoder import ChangeOrigin, EnvelopeEncoder, Moment

#: The headers that Debezium sends with each record.
HEADERS: tuple[tuple[str, bytes], ...] = (
    ("__debezium.context.connectorLogicalName", b"cdc"),
    ("__debezium.context.taskId", b"0"),
    ("__debezium.context.connectorName", b"postgresql"),
)
#: The largest head of a batch, and of its only record (Kafka protocol, "Record Batch").
BATCH_HEAD_BYTES = 61 + 36
HEADER_HEAD_BYTES = 10


class Outlet:
    """A channel with its encoder, and the timestamp that all records of a push share."""

    __slots__ = ("channel", "encoder", "moment", "room_bytes", "topic")

    def __init__(self, channel: Channel, *, headers: bool = False) -> None:
        schema, table = [*channel.topic.split(".")[-2:], "customers"][:2]
        origin = ChangeOrigin(schema=schema, table=table)
        self.channel = channel
        self.topic = channel.topic
        self.encoder = EnvelopeEncoder(channel.schemas, channel.key_id, channel.value_id, origin)
        self.moment: Moment = self.encoder.moment(0)
        beside = (
            sum(len(name) + len(value) + HEADER_HEAD_BYTES for name, value in HEADERS)
            if headers
            else 0
        )
        self.room_bytes = channel.max_message_bytes - BATCH_HEAD_BYTES - beside

    def too_large(self, size: int) -> str:
        """The message for a record that is too large."""
        return (
            f"a record of {size} bytes is larger than the {self.room_bytes} that topic"
            f" {self.topic!r} takes"
        )

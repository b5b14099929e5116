"""What a producer needs to know about a topic."""

from __future__ import annotations

from dataclasses import dataclass

from infra.schemas.debezium import TopicSchemas, customers_schemas, with_column


@dataclass(frozen=True, slots=True)
class Channel:
    """One table's topic: its partitions, the largest record batch that it accepts, and its schemas'
    ids.
    """

    topic: str
    partitions: int
    max_message_bytes: int
    key_id: int
    value_id: int
    #: A column that was added during the run; empty where none was.
    added: str = ""

    @property
    def schemas(self) -> TopicSchemas:
        """The schemas behind the ids."""
        schemas = customers_schemas(self.topic)
        return with_column(schemas, self.added) if self.added else schemas

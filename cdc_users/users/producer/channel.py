"""What producers must know of a topic."""

from __future__ import annotations

from dataclasses import dataclass

from infra.schemas.debezium import TopicSchemas, customers_schemas, with_column


@dataclass(frozen=True, slots=True)
class Channel:
    """One table's topic: its partitions, the largest record batch that it takes, and its schemas'
    ids.
    """

    topic: str
    partitions: int
    max_message_bytes: int
    key_id: int
    value_id: int
    #: A column that was added since; empty where none was.
    added: str = ""

    @property
    def schemas(self) -> TopicSchemas:
        """What the ids stand for."""
        schemas = customers_schemas(self.topic)
        return with_column(schemas, self.added) if self.added else schemas

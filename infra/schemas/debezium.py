"""The Avro schemas of change events: one file each, exactly as Debezium's Postgres connector
registers them.

The files were taken from a registry after the connector (3.6) had captured `customers`; a test
compares them with what the connector writes today. Their names contain the topic, so each is read
for a topic.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: An Avro schema as JSON, the form in which Avro defines schemas (its specification, "Schema
#: Declaration").
AvroDefinition = Mapping[str, Any]

_HERE = Path(__file__).parent
#: The topic in the files' names.
_FILED = "cdc.public.customers"


@dataclass(frozen=True, slots=True)
class TopicSchemas:
    """The schemas of one topic's keys and values."""

    topic: str
    key: AvroDefinition
    value: AvroDefinition

    @property
    def subjects(self) -> tuple[str, str]:
        """The registry's names for them: key, value."""
        return f"{self.topic}-key", f"{self.topic}-value"


def customers_schemas(topic: str) -> TopicSchemas:
    """The schemas of a topic with a table like `customers`."""
    key, value = (_read(f"customers-{part}.avsc", namespace(topic)) for part in ("key", "value"))
    return TopicSchemas(topic, key, value)


def _read(file: str, name: str) -> AvroDefinition:
    schema: AvroDefinition = json.loads(
        (_HERE / file).read_text(encoding="utf-8").replace(_FILED, name)
    )
    return schema


def namespace(topic: str) -> str:
    """A topic's name as an Avro namespace: characters that Avro forbids become underscores, as in
    Debezium.
    """
    return ".".join(
        re.sub(r"^(?=\d)", "_", re.sub(r"\W", "_", part, flags=re.ASCII))
        for part in topic.split(".")
    )


def row_schema(value: AvroDefinition) -> AvroDefinition:
    """The table's row within an envelope: the record that `before` and `after` hold."""
    before = next(field for field in value["fields"] if field["name"] == "before")
    record: AvroDefinition = next(
        branch for branch in before["type"] if isinstance(branch, Mapping)
    )
    return record


def with_column(schemas: TopicSchemas, column: str) -> TopicSchemas:
    """The schemas after `ALTER TABLE ... ADD COLUMN column text`: a compatible version, with the
    new column last.
    """
    value = copy.deepcopy(dict(schemas.value))
    fields = row_schema(value)["fields"]
    if any(field["name"] == column for field in fields):
        raise ValueError(f"column {column!r} is there already; choose another name")
    fields.append({"name": column, "type": ["null", "string"], "default": None})
    return TopicSchemas(schemas.topic, schemas.key, value)

"""Turns messages into records as Debezium's connector writes them: the same topics, subjects, keys
and envelopes, so that readers of Debezium's Avro can stand behind the direct reader.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from typing_extensions import override

from infra.client.registry import RegistryError, RegistrySilentError, SchemaRegistry
from infra.platform.process.error import UnreachableError
from infra.platform.transports.transport import Record
from infra.platform.wal.error import SetupError
from infra.platform.wal.replication.pump import Encoded, Encoder, TransactionChunk
from infra.platform.wal.serialise.change_avro import ChangeAvro, Registered
from infra.platform.wal.serialise.table_schema import TableFacts, table_schemas
from infra.replication.pgoutput.event import Relation
from infra.schemas.debezium import AvroDefinition, TopicSchemas


class Subjects:
    """Registers tables' schemas under Debezium's subjects (TOPIC-key, TOPIC-value)."""

    def __init__(
        self,
        registry_url: str,
        stream: Callable[[str, str], str],
        facts: Callable[[Relation], TableFacts],
        intervals: str,
    ) -> None:
        self._registry = SchemaRegistry(registry_url)
        self._stream = stream
        self._facts = facts
        self._intervals = intervals

    def check(self, relations: Sequence[Relation]) -> None:
        """Raise SetupError that names every column of these tables that cannot be written."""
        reasons = []
        for relation in relations:
            try:
                self._schemas(relation)
            except SetupError as error:
                reasons.append(str(error))
        if reasons:
            raise SetupError("; ".join(reasons))

    def _schemas(self, relation: Relation) -> TopicSchemas:
        topic = self._stream(relation.schema, relation.table)
        return table_schemas(relation, self._facts(relation), topic, self._intervals)

    def __call__(self, relation: Relation) -> Registered:
        """A table's schemas with their ids; raises SetupError if the registry refuses one."""
        schemas = self._schemas(relation)
        key_subject, value_subject = schemas.subjects
        keyed = bool(schemas.key["fields"])
        return Registered(
            schemas,
            _registered(self._registry, key_subject, schemas.key) if keyed else 0,
            _registered(self._registry, value_subject, schemas.value),
        )


def _registered(registry: SchemaRegistry, subject: str, schema: AvroDefinition) -> int:
    """A schema's id under a subject; the schema is registered if it is new."""
    try:
        return registry.register(subject, schema)
    except RegistrySilentError as error:
        raise UnreachableError(str(error)) from error
    except RegistryError as error:
        raise SetupError(
            f"subject {subject!r} is refused: {error}; the registry's rules do not allow the"
            " table's new form, or it needs a login"
        ) from error


def check_registry(registry_url: str) -> None:
    """Send one real request; raises UnreachableError that says what was tried."""
    try:
        with SchemaRegistry(registry_url) as registry:
            registry.check()
    except RegistryError as error:
        raise UnreachableError(f"{error}; see --schema-registry") from error


class AvroEncoder(Encoder):
    """One Avro record for each change, to the topic that `stream` names for its table."""

    def __init__(
        self,
        stream: Callable[[str, str], str],
        subjects: Callable[[Relation], Registered],
        origin: str,
        database: str,
        probe_column: str = "",
    ) -> None:
        self._stream = stream
        self._streams: dict[int, tuple[Relation, str]] = {}
        self._avro = ChangeAvro(subjects, origin, database, probe_column)

    @override
    def encode(self, chunk: TransactionChunk) -> Encoded:
        name = self._name
        return [
            [
                Record(
                    name(change.relation),
                    change.key,
                    change.value,
                    change.probe,
                    change.deleted,
                    change.keyless,
                )
                for change in self._avro.records(part.source, part.messages)
            ]
            for part in chunk.parts
        ]

    def _name(self, relation: Relation) -> str:
        known = self._streams.get(relation.oid)
        if known is not None and known[0] is relation:
            return known[1]
        name = self._stream(relation.schema, relation.table)
        self._streams[relation.oid] = (relation, name)
        return name

"""Messages to records as Debezium's connector would write them: its topics, subjects, keys and
envelopes, so that whatever reads Debezium's Avro can stand behind the direct reader.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import requests
from typing_extensions import override

from infra.client import http
from infra.platform.process.error import UnreachableError
from infra.platform.transports.transport import Record
from infra.platform.wal.error import SetupError
from infra.platform.wal.replication.pump import Encoded, Encoder, TransactionChunk
from infra.platform.wal.serialise.change_avro import ChangeAvro, Registered
from infra.platform.wal.serialise.table_schema import TableFacts, table_schemas
from infra.replication.pgoutput.event import Relation
from infra.schemas.debezium import ChangeSchema

TIMEOUT_S = 10.0


class Subjects:
    """Registers tables' schemas under Debezium's subjects (TOPIC-key, TOPIC-value)."""

    def __init__(
        self,
        registry_url: str,
        stream: Callable[[str, str], str],
        facts: Callable[[Relation], TableFacts],
    ) -> None:
        self._url = registry_url.rstrip("/")
        self._stream = stream
        self._facts = facts

    def __call__(self, relation: Relation) -> Registered:
        """A table's schemas with their ids; raises SetupError where one is refused."""
        topic = self._stream(relation.schema, relation.table)
        schemas = table_schemas(relation, self._facts(relation), topic)
        key_subject, value_subject = schemas.subjects
        return Registered(
            schemas,
            register(self._url, key_subject, schemas.key),
            register(self._url, value_subject, schemas.value),
        )


def register(registry_url: str, subject: str, schema: ChangeSchema) -> int:
    """A schema's id under a subject, where it is registered if it is not there yet."""
    url = f"{registry_url}/subjects/{subject}/versions"
    body = {"schemaType": "AVRO", "schema": json.dumps(schema)}
    try:
        answer = http.post(url, json=body, timeout=TIMEOUT_S)
    except requests.RequestException as error:
        raise UnreachableError(
            f"the schema registry does not answer at {url}: {type(error).__name__}"
        ) from error
    if answer.status_code >= 500:
        raise UnreachableError(f"the schema registry answers {url} with {answer.status_code}")
    if not answer.ok:
        raise SetupError(
            f"the schema registry refuses subject {subject!r} ({answer.status_code}:"
            f" {answer.text[:300]}); its rules do not allow the table's new form, or it needs a"
            " login"
        )
    return int(answer.json()["id"])


def check_registry(registry_url: str) -> None:
    """One real request; raises UnreachableError that says what was tried."""
    url = f"{registry_url.rstrip('/')}/subjects"
    try:
        answer = http.get(url, timeout=TIMEOUT_S)
    except requests.RequestException as error:
        raise UnreachableError(
            f"the schema registry does not answer at {url}: {type(error).__name__}; see"
            " --schema-registry"
        ) from error
    if not answer.ok:
        raise UnreachableError(f"the schema registry answers {url} with {answer.status_code}")


class AvroEncoder(Encoder):
    """One Avro record a change, to the topic that `stream` names for its table."""

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
                    name(change.relation), change.key, change.value, change.probe, change.deleted
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

"""A table's schemas are Debezium's; what has no form there is refused, column by column."""

from __future__ import annotations

import fastavro
import pytest

from infra.avro.kind import SourceType, column_of
from infra.platform.wal.error import SetupError
from infra.platform.wal.serialise.table_schema import OwnType, TableFacts, table_schemas
from infra.replication.pgoutput.event import Relation, RelationColumn
from infra.schemas.debezium import row_schema

OWN = 20_000


def table(*columns: tuple[str, int], identity: str = "f") -> Relation:
    listed = [RelationColumn("id", 23, -1, True)]
    listed += [RelationColumn(name, kind, -1, identity == "f") for name, kind in columns]
    return Relation(7, "public", "t", identity, tuple(listed))


def facts(**types: OwnType) -> TableFacts:
    return TableFacts(("id",), frozenset({"id"}), types)


def test_every_column_that_cannot_be_written_is_named() -> None:
    relation = table(("a", 603), ("b", 25), ("c", OWN), ("d d", 25), ("e", OWN))
    known = facts(a=OwnType(603, -1, "box"), c=OwnType(OWN, -1, "pair"))

    with pytest.raises(SetupError) as refused:
        table_schemas(relation, known, "cdc.public.t")

    said = str(refused.value)
    assert "column a of public.t is box," in said
    assert "column c of public.t is pair," in said
    assert "column 'd d' of public.t is no name in Avro" in said
    assert "column e of public.t is of a type (OID 20000)" in said
    assert "column b" not in said


def test_arrays_ranges_enums_and_domains_have_debeziums_types() -> None:
    mood = OwnType(OWN, -1, "mood", labels=("calm", "glad"))
    known = facts(
        mood=mood,
        moods=OwnType(OWN + 1, -1, "mood", is_array=True, labels=mood.labels),
        dom=OwnType(23, -1, "int4"),
        email=OwnType(OWN + 3, -1, "citext"),
    )
    relation = table(
        ("ints", 1007), ("span", 3904), ("pause", 1186), ("mood", OWN), ("moods", OWN + 1),
        ("dom", OWN + 2), ("email", OWN + 3),
    )  # fmt: skip
    fields = {
        field["name"]: field["type"]
        for field in row_schema(table_schemas(relation, known, "cdc.public.t").value)["fields"]
    }

    assert fields["ints"] == ["null", {"type": "array", "items": ["null", "int"]}]
    assert column_of("span", fields["span"][1], True).source == SourceType("int4range")
    assert fields["span"][1]["type"] == "string"
    assert fields["pause"][1]["connect.name"] == "io.debezium.time.MicroDuration"
    assert fields["mood"][1]["connect.parameters"] == {"allowed": "calm,glad"}
    assert fields["moods"][1]["items"][1] == fields["mood"][1]
    assert fields["dom"] == ["null", "int"]
    assert fields["email"] == ["null", "string"]


def test_a_record_is_defined_once_however_deep_it_stands() -> None:
    schemas = table_schemas(table(("n", 1231), ("m", 1700), ("o", 1231)), facts(), "cdc.public.t")

    fastavro.parse_schema(dict(schemas.value))
    fields = row_schema(schemas.value)["fields"]
    assert fields[2]["type"] == ["null", "io.debezium.data.VariableScaleDecimal"]
    assert fields[3]["type"][1]["items"] == ["null", "io.debezium.data.VariableScaleDecimal"]


def test_a_table_without_a_key_has_a_key_schema_without_fields() -> None:
    schemas = table_schemas(table(), TableFacts((), frozenset(), {}), "cdc.public.t")

    assert schemas.key["fields"] == []


def test_a_key_that_is_not_published_is_refused() -> None:
    with pytest.raises(SetupError, match=r"public\.t without other of its key"):
        table_schemas(table(), TableFacts(("other",), frozenset(), {}), "cdc.public.t")


def test_deletes_without_the_key_are_refused() -> None:
    relation = Relation(
        7,
        "public",
        "t",
        "i",
        (RelationColumn("id", 23, -1, False), RelationColumn("code", 25, -1, True)),
    )
    with pytest.raises(SetupError, match="another REPLICA IDENTITY than its primary key"):
        table_schemas(relation, facts(), "cdc.public.t")

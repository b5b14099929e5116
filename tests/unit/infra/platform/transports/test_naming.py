"""Names of topics and streams: any identifier comes back, nothing is named that a service would
refuse.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from infra.platform.transports.naming import KAFKA, KINESIS, PUBSUB, Naming, NamingError, TableName
from tests.benchmark import baseline

SERVICES = (KAFKA, KINESIS, PUBSUB)
ALLOWED = re.compile(r"[a-zA-Z0-9._-]+")
#: Up to 63 bytes of anything but a zero.
identifiers = st.text(
    st.one_of(
        st.sampled_from("ab_.-2dZ"),
        st.characters(exclude_characters="\0", exclude_categories=["Cs"]),
    ),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize("service", SERVICES)
@given(identifiers, identifiers)
def test_every_identifier_comes_back_from_its_name(
    service: Naming, schema: str, table: str
) -> None:
    # Escaped bytes take two characters each; what may be too long is another test's.
    assume(8 + 4 * len((schema + table).encode()) < service.most)
    name = service.name("cdc", schema, table)

    assert service.table(name) == TableName("cdc", schema, table)
    assert ALLOWED.fullmatch(name)
    assert len(name) <= service.most
    if service is not KAFKA:
        assert name == baseline.name("cdc", schema, table)
        assert baseline.table(name) == ("cdc", schema, table)


@given(st.tuples(identifiers, identifiers), st.tuples(identifiers, identifiers))
def test_different_tables_have_different_names_also_where_dots_count_as_underscores(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assume(one != other)
    assume(all(8 + 4 * len("".join(table).encode()) < KAFKA.most for table in (one, other)))
    names = [KAFKA.name("cdc", *table) for table in (one, other)]

    assert names[0].replace(".", "_") != names[1].replace(".", "_")


def test_usual_names_stay_readable() -> None:
    assert KINESIS.name("cdc", "public", "order_items") == "cdc.public.order_items"
    assert KAFKA.name("cdc", "public", "order_items") == "cdc.public.order_items"
    assert PUBSUB.name("cdc", "Sales", "order-items v1.2") == "cdc.Sales.order-2d-items-20-v1-2e-2"
    assert KAFKA.name("cdc", "a_b", "c_d") == "cdc.a-5f-b.c_d"


@pytest.mark.parametrize(
    ("service", "prefix", "schema", "table", "reason"),
    [
        (
            KINESIS,
            "cdc",
            "s" * 63,
            "t" * 63,
            "has 131 characters, Kinesis allows 1 to 128; choose another prefix",
        ),
        (KAFKA, "cdc", "public", "€" * 21 + "ü" * 60, "Kafka allows 1 to 249"),
        (PUBSUB, "1cdc", "public", "t", "does not start with a letter"),
        (PUBSUB, "Google", "public", "t", "starts with 'goog'"),
        (PUBSUB, "", "public", "t", "must not be empty"),
        (KAFKA, "cdc", "public", "a\0b", "hold zeros"),
        (KAFKA, "cdc", "public", "\ud800", "no text that Postgres can hold"),
    ],
)
def test_what_a_service_cannot_name_is_refused(
    service: Naming, prefix: str, schema: str, table: str, reason: str
) -> None:
    with pytest.raises(NamingError, match=reason):
        service.name(prefix, schema, table)


@pytest.mark.parametrize(
    "name",
    ["cdc.public", "a.b.c.d", "cdc.public.a-b", "cdc.public.-61-", "cdc.s.-ff-", "cdc.s.-2D-"],
)
def test_names_that_were_not_made_here_are_refused(name: str) -> None:
    with pytest.raises(NamingError):
        KINESIS.table(name)

"""What is written into a user's own table is what its pipeline can be asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc_users.users.workload.table.planning import TableWish, plan_table
from infra.postgres.catalog import CatalogColumn, CatalogTable, CatalogType
from infra.postgres.table import Table

FOUND = CatalogTable(
    table=Table("shop", "orders"),
    columns=(
        CatalogColumn("id", CatalogType("bigint"), "bigint", required=True),
        CatalogColumn("state", CatalogType("text"), "text", required=False, default="'new'::text"),
        CatalogColumn("note", CatalogType("text"), "text", required=False),
        CatalogColumn("probe", CatalogType("text"), "text", required=False),
    ),
    key=("id",),
    uniques=(),
    checks=(),
    exclusions=(),
    references=(),
    replica_identity="full",
)
WISH = TableWish(probe="probe", head="x", key_base=1)


@pytest.mark.parametrize("by_debezium", [True, False])
def test_no_null_is_written_where_debezium_would_send_the_default(by_debezium: bool) -> None:
    made = plan_table(FOUND, replace(WISH, by_debezium=by_debezium))

    nullable = {column.name: column.nullable for column in made.plan.columns}
    assert nullable == {"id": False, "state": not by_debezium, "note": True}
    assert any("comes as its default" in said for said in made.plan.unaudited) is by_debezium

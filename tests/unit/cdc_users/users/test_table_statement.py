"""Statements on tables of the user's own: names and values quoted, and only what may change."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cdc_users.measure.ledger.probe import Operation
from cdc_users.users.table_statement import copy_line, keys_condition, table_statements
from cdc_users.users.workload.keyspace import RowChange
from cdc_users.users.workload.table.kind import value_plan
from cdc_users.users.workload.table.plan import ColumnPlan, TablePlan
from cdc_users.users.workload.table.row import TableRow
from infra.postgres.catalog import CatalogType

TEXT = value_plan(CatalogType("text"))
PLAN = TablePlan(
    schema='odd"s',
    name="t",
    columns=(
        ColumnPlan(name="id", value=TEXT, distinct=True, fixed=True),
        ColumnPlan(name="Note", value=TEXT, nullable=True),
    ),
    key=("id",),
    probe="probe",
    head="abcdefgh",
    key_base=0,
)
ROW = TableRow(("k'1", "it's\tone"), b"", "P1")


def change(operation: Operation, row: TableRow | None = ROW) -> RowChange:
    return RowChange(operation, 0, 1, 1, 1, row, ROW)


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        (
            Operation.INSERT,
            'INSERT INTO "odd""s"."t" ("id", "Note", "probe")'
            " VALUES ('k''1','it''s\tone','P1')",
        ),
        (
            Operation.UPDATE,
            'UPDATE "odd""s"."t" SET "probe" = \'P1\', "Note" = \'it\'\'s\tone\''
            " WHERE \"id\" = 'k''1'",
        ),
        (Operation.STAMP, 'UPDATE "odd""s"."t" SET "probe" = \'P1\' WHERE "id" = \'k\'\'1\''),
    ],
)
def test_a_change_alone(operation: Operation, text: str) -> None:
    (made,) = table_statements([change(operation)], [PLAN], "single")

    assert made.text == text


def test_a_delete_knows_its_row_by_what_was_there() -> None:
    (made,) = table_statements([change(Operation.DELETE, None)], [PLAN], "single")

    assert made.text == 'DELETE FROM "odd""s"."t" WHERE "id" = \'k\'\'1\''


def test_inserts_that_follow_one_another_are_one_statement() -> None:
    changes = [change(Operation.INSERT)] * 2 + [change(Operation.UPDATE)]

    made = table_statements(changes, [PLAN], "values")

    assert [statement.text.split()[0] for statement in made] == ["INSERT", "UPDATE"]
    assert made[0].text.count("('k''1'") == 2


def test_copy_escapes_what_its_format_gives_a_meaning() -> None:
    (made,) = table_statements([change(Operation.INSERT)], [PLAN], "copy")

    assert made.lines == "k'1\tit's\\tone\tP1\n"
    assert copy_line(TableRow((None, "\\"), b"", "p")) == "\\N\t\\\\\tp\n"


def test_an_identity_column_of_the_key_is_overridden() -> None:
    (made,) = table_statements(
        [change(Operation.INSERT)], [replace(PLAN, overriding=True)], "single"
    )

    assert '"probe") OVERRIDING SYSTEM VALUE VALUES' in made.text


def test_keys_are_looked_for_by_all_their_columns() -> None:
    plan = replace(PLAN, key=("id", "Note"))

    assert keys_condition(plan, [("a", "b'")]) == "(\"id\", \"Note\") IN (('a', 'b'''))"

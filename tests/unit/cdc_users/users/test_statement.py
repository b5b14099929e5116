"""A transaction's statements: in order, gathered where the method allows it, every value quoted."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from cdc_users.measure.ledger.probe import Operation
from cdc_users.users.statement import (
    copy_line,
    form_of,
    literals,
    operation_name,
    statement,
    statements,
)
from cdc_users.users.workload.customer import CustomerRow
from cdc_users.users.workload.keyspace import RowChange
from cdc_users.users.workload.workload import InsertMethod

TABLES = ('"s"."a"', '"s"."b"')
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


def row(key: int, notes: str | None = None) -> CustomerRow:
    return (key, "Zoë", "O'Neil", "z@example.test", None, Decimal("1.20"), MOMENT, notes, "P1")


def change(operation: Operation, key: int, table: int = 0) -> RowChange:
    return RowChange(
        operation, table, key, 1, key, None if operation is Operation.DELETE else row(key), None
    )


def kinds(changes: list[RowChange], method: InsertMethod) -> list[str]:
    return [" ".join(made.text.split()[:3]) for made in statements(changes, TABLES, method)]


def test_single_writes_one_statement_for_every_change() -> None:
    changes = [change(Operation(letter), key) for key, letter in enumerate("iuisdi", start=1)]

    assert kinds(changes, "single") == [
        'INSERT INTO "s"."a"',
        'UPDATE "s"."a" SET',
        'INSERT INTO "s"."a"',
        'UPDATE "s"."a" SET',
        'DELETE FROM "s"."a"',
        'INSERT INTO "s"."a"',
    ]


@pytest.mark.parametrize(
    ("method", "verb"), [("values", 'INSERT INTO "s".'), ("copy", 'COPY "s".')]
)
def test_inserts_that_follow_one_another_are_gathered_by_table(
    method: InsertMethod, verb: str
) -> None:
    changes = [
        change(Operation.INSERT, 11, 0),
        change(Operation.INSERT, 22, 1),
        change(Operation.INSERT, 33, 0),
        change(Operation.UPDATE, 9, 1),
        change(Operation.INSERT, 44, 1),
    ]

    made = statements(changes, TABLES, method)

    assert [one.text.startswith(verb) for one in made] == [True, True, False, True]
    whole = [one.text + (one.lines or "") for one in made]
    assert [[key for key in (11, 22, 33, 44) if str(key) in text] for text in whole] == [
        [11, 33],
        [22],
        [],
        [44],
    ]


def test_values_are_quoted() -> None:
    assert literals(row(7, "it's"), "now") == (
        "(7,'Zoë','O''Neil','z@example.test',NULL,1.20,'now','it''s','P1')"
    )
    assert literals(row(7), "now", first=1).startswith("('Zoë',")


def test_of_mariadb_a_time_has_no_zone_and_an_update_names_each_column() -> None:
    insert, update = (
        statements([change(operation, 7)], TABLES, "values", form_of("mariadb"))[0].text
        for operation in (Operation.INSERT, Operation.UPDATE)
    )

    assert insert.endswith("1.20,'2026-01-02 03:04:05.000678',NULL,'P1')")
    assert update.startswith("""UPDATE "s"."a" SET first_name = 'Zoë', last_name = 'O''Neil', """)
    assert update.endswith(
        "email = 'z@example.test', phone = NULL, balance = 1.20, created_at = '2026-01-02"
        " 03:04:05.000678', notes = NULL, probe = 'P1' WHERE id = 7"
    )


def test_a_fence_is_inserted() -> None:
    made = statement(change(Operation.FENCE, 7), TABLES[0])

    assert made.startswith('INSERT INTO "s"."a" (id, ')


def test_copied_lines_escape_what_copy_gives_a_meaning() -> None:
    assert (
        copy_line(row(7, "tab\tnew\nback\\slash"), "now").split("\t")[7] == r"tab\tnew\nback\\slash"
    )
    assert copy_line(row(7), "now").split("\t")[4] == r"\N"


def test_a_transaction_is_called_by_what_it_does() -> None:
    insert, update = change(Operation.INSERT, 1), change(Operation.UPDATE, 2)
    delete = [change(Operation.STAMP, 3), change(Operation.DELETE, 3)]

    assert operation_name([insert, insert]) == "insert"
    assert operation_name([update]) == "update"
    assert operation_name(delete) == "delete"
    assert operation_name([insert, *delete]) == "transaction"

"""What the options of rows and records need and exclude."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from cdc_users.measure.ledger.probe import LARGEST_TRANSACTION
from cdc_users.options.conflict import rows
from cdc_users.options.conflict.rule import Rule

HALF = LARGEST_TRANSACTION // 2


@pytest.mark.parametrize(
    ("rule", "values", "said"),
    [
        (rows.whole_transactions, {"rows": (10, 15, 7), "rows_per_transaction": 5}, ["--rows 7 "]),
        (rows.whole_transactions, {"rows": (7,)}, []),
        (
            rows.deletes_fit_a_transaction,
            {"rows_per_transaction": HALF + 1, "mix": (1, 0, 1)},
            [f"--rows-per-transaction {HALF + 1} with deletes in --mix must be at most {HALF:,}"],
        ),
        (rows.deletes_fit_a_transaction, {"rows_per_transaction": HALF, "mix": (1, 0, 1)}, []),
        (rows.deletes_fit_a_transaction, {"rows_per_transaction": HALF + 1, "mix": (1, 1, 0)}, []),
        (
            rows.insert_method_has_a_table,
            {"insert_method": "copy", "source": "topic"},
            ["--insert-method copy needs --source postgres"],
        ),
        (rows.insert_method_has_a_table, {"insert_method": "single", "source": "topic"}, []),
        (
            rows.insert_method_has_a_table,
            {"insert_method": "copy", "source": "mariadb"},
            ["--insert-method copy is PostgreSQL's; with --source mariadb use values"],
        ),
        (rows.insert_method_has_a_table, {"insert_method": "values", "source": "mariadb"}, []),
        (rows.skew_has_changes, {"key_skew": 0.5, "mix": (1, 0, 0)}, ["--key-skew needs updates"]),
        (rows.skew_has_changes, {"key_skew": 0.5, "mix": (1, 0, 1)}, []),
        (rows.tables_are_the_runs, {"tables": 2, "table": "a"}, ["--tables above 1 needs tables"]),
        (rows.tables_are_the_runs, {"tables": 2, "topic": "a"}, ["--tables above 1 needs tables"]),
        (rows.tables_are_the_runs, {"tables": 1, "table": "a"}, []),
        (rows.tables_are_the_runs, {"tables": 2, "sink": "postgres"}, ["--tables above 1 needs a"]),
        (
            rows.tables_are_the_runs,
            {"tables": 2, "sink": "iceberg", "iceberg_mode": "upsert"},
            ["--tables above 1 needs a sink that keeps"],
        ),
        (
            rows.tables_are_the_runs,
            {"tables": 2, "sink": "iceberg", "iceberg_mode": "append"},
            [],
        ),
        (rows.topic_alone, {"source": "postgres", "evolve_at": 5}, ["--evolve-at and --debezium"]),
        (rows.topic_alone, {"source": "topic", "evolve_at": 5}, []),
    ],
)
def test_rows_that_cannot_be_are_named_with_their_remedy(
    rule: Rule, values: Mapping[str, object], said: list[str]
) -> None:
    found = rule(values)

    assert len(found) == len(said)
    assert all(told.startswith(start) for told, start in zip(found, said, strict=True))

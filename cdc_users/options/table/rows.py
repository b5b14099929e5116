"""The options of the rows and records that are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cdc_users.measure.ledger.probe import LARGEST_TRANSACTION
from cdc_users.options import parse
from cdc_users.options.conflict import rows as conflict
from cdc_users.options.table.load import MOST_ROWS
from cdc_users.options.table.record import LEAVE, PRESSURE, SCALING, option
from cdc_users.users.workload.workload import InsertMethod, parse_mix, parse_skew

MOST_SEED = 10**18


@dataclass(frozen=True)
class RowOptions:
    """What each lane writes: rows, keys and operations."""

    TITLE: ClassVar = "Rows"

    rows_per_transaction: int = option(
        parse.Count(LARGEST_TRANSACTION),
        "Rows in each transaction.",
        default="1",
        not_in={PRESSURE: LEAVE, SCALING: LEAVE},
        rules=(conflict.whole_transactions, conflict.deletes_fit_a_transaction),
    )
    insert_method: InsertMethod = option(
        parse.choice("single", "values", "copy"),
        "single (one INSERT a row), values (one INSERT of many rows) or copy.",
        default="single",
        rules=(conflict.insert_method_has_a_table,),
    )
    row_bytes: int = option(
        parse.Count(10_000_000, least=0), "Payload added to each row, in bytes.", default="0"
    )
    mix: tuple[int, int, int] = option(
        parse_mix,
        "Weights of operations, e.g. insert=80,update=15,delete=5.",
        default="insert=100",
        takes="weights by operation",
    )
    key_skew: float = option(
        parse_skew,
        "Keys that updates and deletes take: uniform, or zipf:S, e.g. zipf:1.2.",
        default="uniform",
        takes="uniform or zipf:S",
        rules=(conflict.skew_has_changes,),
    )
    live_keys: int = option(
        parse.Count(1_000_000),
        "How many of its newest keys each writer chooses from.",
        default="1000",
    )
    tables: int = option(
        parse.Count(100),
        "The number of source tables; rows are spread over them.",
        default="1",
        rules=(conflict.tables_are_the_runs,),
    )
    seed: int = option(
        parse.Count(MOST_SEED, least=0),
        "The seed of all random choices: arrivals, keys, operations, payload.",
        default="1",
    )
    debezium_headers: bool = option(
        parse.flag,
        "Straight to the topic: yes sends Debezium's headers with each record.",
        default="no",
        takes=parse.YES_OR_NO,
        rules=(conflict.topic_alone,),
    )
    evolve_at: int | None = option(
        parse.Count(MOST_ROWS),
        "Straight to the topic: the arrival at which a column is added to the schema.",
        unset=None,
    )

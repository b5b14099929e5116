"""What the options of rows and records need and exclude."""

from __future__ import annotations

from collections.abc import Sequence

from cdc_users.measure.ledger.probe import LARGEST_TRANSACTION
from cdc_users.options.conflict.rule import OptionValues


def whole_transactions(values: OptionValues) -> Sequence[str]:
    """The rows must fill whole transactions."""
    size = values.get("rows_per_transaction") or 1
    return [
        f"--rows {rows} is not a multiple of --rows-per-transaction {size}; change one of the two"
        for rows in values.get("rows") or ()
        if rows % size
    ]


def deletes_fit_a_transaction(values: OptionValues) -> Sequence[str]:
    """A delete makes two events, and a probe counts a transaction's events up to a bound."""
    size, mix = values.get("rows_per_transaction") or 1, values.get("mix")
    most = LARGEST_TRANSACTION // 2
    if mix is not None and mix[2] and size > most:
        return [f"--rows-per-transaction {size} with deletes in --mix must be at most {most:,}"]
    return []


def insert_method_has_a_table(values: OptionValues) -> Sequence[str]:
    """Only a table takes INSERTs, and only PostgreSQL a COPY."""
    method = values.get("insert_method")
    if values.get("source") == "topic" and method not in ("single", None):
        return [f"--insert-method {method} needs --source postgres: a topic takes no INSERT"]
    if values.get("source") == "mariadb" and method == "copy":
        return ["--insert-method copy is PostgreSQL's; with --source mariadb use values"]
    return []


def skew_has_changes(values: OptionValues) -> Sequence[str]:
    """Only updates and deletes choose keys."""
    mix = values.get("mix")
    if (values.get("key_skew") or 0) > 0 and mix is not None and not any(mix[1:]):
        return ["--key-skew needs updates or deletes in --mix, e.g. insert=80,update=20"]
    return []


def tables_are_the_runs(values: OptionValues) -> Sequence[str]:
    """Several tables are the run's own; a table or topic of the user's own counts itself."""
    if (values.get("tables") or 1) > 1 and (values.get("table") or values.get("topic")):
        return [
            "--tables above 1 needs tables and topics of the run's own; leave it out, and name all"
            " of yours by --table"
        ]
    sink = values.get("sink")
    upserts = sink == "iceberg" and values.get("iceberg_mode") == "upsert"
    if (values.get("tables") or 1) > 1 and (sink == "postgres" or upserts):
        return [
            "--tables above 1 needs a sink that keeps their events apart, such as webhook: a table"
            " of current rows takes one table of the source"
        ]
    return []


def topic_alone(values: OptionValues) -> Sequence[str]:
    """These options are for records of the harness's own; from the database Debezium makes them."""
    if values.get("source") in ("postgres", "mariadb") and (
        values.get("evolve_at") or values.get("debezium_headers")
    ):
        return [
            "--evolve-at and --debezium-headers need --source topic; from the database Debezium"
            " decides"
        ]
    return []

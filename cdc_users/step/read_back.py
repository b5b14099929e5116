"""Finds the true outcome of transactions without an answer, by reading their rows.

A writer never touches the keys of such a transaction again, and a transaction exists completely or
not at all; so one look at its keys suffices.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import gevent

from cdc_users.measure.ledger.ledger import Outcomes, SequenceRange, subtract
from cdc_users.measure.ledger.probe import Operation, ProbeError, parse_probe
from cdc_users.users.source.look import SourceLook
from cdc_users.users.source.looks import source_look
from cdc_users.users.table_statement import keys_condition
from cdc_users.users.target import DatabaseTarget
from cdc_users.users.workload.expected_state import Done, transactions
from cdc_users.users.workload.keyspace import Touch
from cdc_users.users.workload.table.plan import TablePlan
from cdc_users.users.workload.table.row import key_texts
from cdc_users.users.workload.workload import Workload
from infra.client.sql import quoted, quoted_name

POLL_S = 0.05
KEYS_PER_QUERY = 10_000
#: By key, the sequence of the last write to its row; keys without a row are missing.
Found = Mapping[int, int]


@dataclass(frozen=True, slots=True)
class WrittenTables:
    """The tables that a run's writers have written to, and the workload with the size of a
    transaction, from which each transaction's keys follow.
    """

    target: DatabaseTarget
    run: str
    workload: Workload
    rows_per_transaction: int


def settle_unknown(
    written: WrittenTables, outcomes: Mapping[int, Outcomes], limit_s: float
) -> dict[int, Outcomes]:
    """The outcomes of one step's writers with everything unknown settled, once no lane of the run
    is at work. Outcomes that cannot be settled in time stay unknown.

    Raises TargetError if the source does not answer.
    """
    if not any(outcome.unknown for outcome in outcomes.values()):
        return dict(outcomes)
    with source_look(written.target, written.run) as look:
        if not _lanes_idle(look, limit_s):
            return dict(outcomes)
        return {
            writer: _settled(look, written, writer, outcome) for writer, outcome in outcomes.items()
        }


def _settled(look: SourceLook, written: WrittenTables, writer: int, known: Outcomes) -> Outcomes:
    doubtful = unknown_transactions(written.workload, written.rows_per_transaction, writer, known)
    keys = sorted({touch.key for done in doubtful for touch in done.touches})
    return decide(known, doubtful, key_sequences(look, written.target, keys))


def unknown_transactions(workload: Workload, size: int, writer: int, known: Outcomes) -> list[Done]:
    """The transactions of which a writer did not know the outcome."""
    if not known.unknown:
        return []
    return [
        done for done in transactions(workload, size, writer, known) if done.outcome == "unknown"
    ]


def decide(known: Outcomes, doubtful: Sequence[Done], found: Found) -> Outcomes:
    """A writer's outcomes, after the rows of doubtful transactions were read."""
    acked: list[SequenceRange] = [
        (done.first, done.last) for done in doubtful if _committed(done, found)
    ]
    return Outcomes(
        acked=[*known.acked, *acked], failed=[*known.failed, *subtract(known.unknown, acked)]
    )


def _committed(done: Done, found: Found) -> bool:
    return any(_there(touch, done.first + index, found) for index, touch in enumerate(done.touches))


def _there(touch: Touch, sequence: int, found: Found) -> bool:
    """Whether this event has happened.

    A stamp decides nothing: its row is gone, or was never stamped.
    """
    if touch.operation is Operation.DELETE:
        return touch.key not in found
    return touch.operation is not Operation.STAMP and found.get(touch.key) == sequence


def _lanes_idle(look: SourceLook, limit_s: float) -> bool:
    deadline_s = time.monotonic() + limit_s
    while time.monotonic() < deadline_s:
        if look.lanes_idle():
            return True
        gevent.sleep(POLL_S)
    return False


def key_sequences(look: SourceLook, target: DatabaseTarget, keys: Sequence[int]) -> dict[int, int]:
    """By key, the sequence of the last write to its row; keys without a row are missing."""
    if target.plans:
        return _read_own(look, target.plans, keys)
    return _read(look, target, keys)


def _read_own(look: SourceLook, plans: Sequence[TablePlan], keys: Sequence[int]) -> dict[int, int]:
    """`_read` for the user's own tables, whose keys are found by their texts."""
    found: dict[int, int] = {}
    for number, plan in enumerate(plans):
        mine = {key_texts(plan, key): key for key in keys if key % len(plans) == number}
        texts = list(mine)
        columns = ", ".join(f"{quoted(name)}::text" for name in plan.key)
        for start in range(0, len(texts), KEYS_PER_QUERY):
            condition = keys_condition(plan, texts[start : start + KEYS_PER_QUERY])
            table = quoted_name(plan.schema, plan.name)
            query = f"SELECT {quoted(plan.probe)}, {columns} FROM {table} WHERE {condition}"  # noqa: S608 - names and values are quoted
            rows = [(tuple(key), probe) for probe, *key in look.fetch(query)]
            found |= {mine[key]: _sequence(probe) for key, probe in rows if key in mine}
    return found


def _read(look: SourceLook, target: DatabaseTarget, keys: Sequence[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    for table in target.tables if keys else ():
        name = quoted_name(target.schema, table)
        for start in range(0, len(keys), KEYS_PER_QUERY):
            some = ",".join(map(str, keys[start : start + KEYS_PER_QUERY]))
            where = f"id IN ({some})"
            query = f"SELECT id, probe FROM {name} WHERE {where}"  # noqa: S608 - keys are numbers
            found |= {key: _sequence(probe) for key, probe in look.fetch(query)}
    return found


def _sequence(probe: str | None) -> int:
    """The sequence in a row's probe; 0, which no writer uses, if the row has no probe."""
    try:
        return parse_probe(probe or "").sequence
    except ProbeError:
        return 0
